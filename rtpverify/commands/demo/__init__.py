"""``rtpverify demo``: the main job on loopback, with nothing prepared.

Another process sends two streams, one clean and one with faults that are announced; the daemon's own service verifies
them live, and what was injected is compared with what was found.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.commands.ending import exit_status
from rtpverify.errors import SourceError

if TYPE_CHECKING:
    from rich.console import Console

    from rtpverify.commands.demo.view import DemoScreen
    from rtpverify.daemon.service import Service
    from rtpverify.sender.rtp_sender import StreamSettings

SECONDS = 10.0
"""How long the streams are."""
SETTLE_SECONDS = 0.5
"""How long after the last packet the end is verified."""
LIMIT_SECONDS = 60.0
"""When it ends whatever happens; a busy machine may take long to start the sender."""
FRAME_SECONDS = 0.2
"""Time between two pictures of the progress."""

FAULTS = (
    "loss:at=1.5,packets=3",
    "slip:at=2.5,frames=48",
    "dropout:at=3.5,duration=0.004",
    "click:at=4.5,bit=6,channel=1",
    "slip:at=5.5,frames=-96",
    "gain:at=6.5,db=-0.5,duration=0.5",
    "distortion:at=7.5,harmonics_db=-60/-70,duration=0.5",
    "dc_offset:at=8.5,offset=0.001,duration=0.5,channel=2",
)
"""What is injected into the second stream."""

# A busy machine may hold up the sender: that would be a stall, and none was injected.
CONFIGURATION = """
metrics.listen = "127.0.0.1:0"

[[stream]]
name = "clean"
source = "rtp://127.0.0.1:{clean}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 5

[[stream]]
name = "faulty"
source = "rtp://127.0.0.1:{faulty}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 5
"""


def demo(console: Console | None = None) -> int:
    """Run the demonstration.

    Parameters
    ----------
    console
        Where it is shown; None: standard output.

    Returns
    -------
    int
        0 where every fault was found and nothing else, 1 otherwise.

    Raises
    ------
    SourceError
        Where loopback cannot be used.
    """
    from rich.console import Console as RichConsole

    from rtpverify.live.loop import run

    return run(_demo(console or RichConsole()))


async def _demo(console: Console) -> int:
    from rtpverify.commands.demo.view import DemoScreen
    from rtpverify.daemon.configuration import parse_config
    from rtpverify.daemon.log import make_logger
    from rtpverify.daemon.service import Service
    from rtpverify.engine.presence import Ends
    from rtpverify.sender.faults import parse_fault
    from rtpverify.sender.rtp_sender import Sender, StreamSettings

    ports = dict(zip(("clean", "faulty"), _free_ports(2), strict=True))
    configuration = parse_config(CONFIGURATION.format(**ports), Path("demo"))
    streams = [
        StreamSettings(
            table.followed.endpoints[0], faults=[parse_fault(text) for text in FAULTS] if table.name == "faulty" else ()
        )
        for table in configuration.stream
    ]
    with Sender(streams) as sender:
        injected = {table.name: sender.expected(number, SECONDS) for number, table in enumerate(configuration.stream)}
    with ExitStack() as stack:
        log = make_logger(stack.enter_context(Path(os.devnull).open("w")), "json")
        service = Service(configuration, log, ends=Ends.ALLOWED)
        view = stack.enter_context(DemoScreen(console, service, injected, SECONDS))
        async with service:
            view.begin(FAULTS)
            await _verify(service, streams, view)
        return view.end()


async def _verify(service: Service, streams: Sequence[StreamSettings], view: DemoScreen) -> None:
    """Let another process send the streams, and verify until it has ended."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(list(streams), SECONDS), daemon=True)
    with _interrupts_ignored():  # as the other process does then: this one ends it
        process.start()
    give_up = loop.time() + LIMIT_SECONDS
    verification = asyncio.create_task(service.run(stop))
    try:
        while process.is_alive() and loop.time() < give_up and not verification.done():
            view.update()
            await asyncio.sleep(FRAME_SECONDS)
        if not verification.done():
            await asyncio.sleep(SETTLE_SECONDS)
        stop.set()
        await verification
    finally:
        _end(process)
    if process.exitcode:
        error = SourceError(f"demo: the sender on 127.0.0.1 ended with status {process.exitcode}")
        error.exit_status = max(process.exitcode, error.exit_status)
        raise error


def _end(process: BaseProcess) -> None:
    """Let the sender go."""
    process.join(0.1)
    if process.is_alive():
        process.terminate()
        process.join()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _send(streams: list[StreamSettings], seconds: float) -> None:
    """Send; runs in the other process, whose defects are reported as those of this one."""
    from rtpverify.sender.rtp_sender import send

    def run() -> int:
        send(streams, seconds)
        return 0

    sys.exit(exit_status(run))


def _free_ports(count: int) -> list[int]:
    """Return UDP ports that nobody uses on loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
