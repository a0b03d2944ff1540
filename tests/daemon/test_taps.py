"""Streams of a daemon that are picked from what passes an interface, next to one that is sent to it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import structlog

from rtpverify.daemon.configuration import parse_config
from rtpverify.daemon.service import Service
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.cable import needs_cable
from tests.helpers.patience import until

TEXT = """
[metrics]
listen = "127.0.0.1:0"
[[stream]]
name = "near"
source = "rtp://127.0.0.1:{near}"
encoding = "L24/48000/2"
reference = "tone:1283"
[[stream]]
name = "passing"
source = "rtp://127.0.0.1:{passing}"
interface = "capture://lo"
encoding = "L24/48000/2"
reference = "tone:1283"
"""


@needs_cable
async def test_a_stream_that_passes_is_verified_as_one_that_is_received(tmp_path: Path) -> None:
    with ExitStack() as stack:
        # The second port is another program's: the daemon could not open it.
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        near, passing = (sock.getsockname()[1] for sock in sockets)
        sockets[0].close()
        text = TEXT.format(near=near, passing=passing)
        stop = asyncio.Event()
        async with Service(parse_config(text, tmp_path / "c.toml"), structlog.get_logger().bind()) as service:
            running = asyncio.create_task(service.run(stop))
            settings = [StreamSettings(Endpoint("127.0.0.1", port), ssrc=port) for port in (near, passing)]
            with Sender(settings, duration_seconds=60.0) as sender:
                sending = asyncio.create_task(asyncio.to_thread(sender.run))
                await until(lambda: all(followed(service, name) for name in ("near", "passing")))
                sender.stop()
                await sending
            stop.set()
            result = await running
    assert {stream.destination for stream in result.streams} == {f"127.0.0.1:{port}" for port in (near, passing)}
    for stream in result.streams:
        # A busy machine may hold the sender up.
        assert not any(event.fault for event in stream.events if event.kind not in ("ended", "stall"))
        assert [round(signal.frequency_hz or 0.0, 6) for signal in stream.signal] == [1283.0, 1283.0]


def followed(service: Service, name: str) -> bool:
    """Return whether a second of a stream was verified."""
    return any(one.name == name and service.verifier.result_of(one).frames > 48000 for one in service.verifier.streams)
