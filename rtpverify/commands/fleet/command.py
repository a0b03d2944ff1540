"""Show how all benches fare: once, in a terminal for as long as one looks, or as a page and for Prometheus."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from rtpverify.commands.fleet.benches import Fleet
from rtpverify.commands.fleet.configuration import FleetConfiguration, page_at, read_configuration
from rtpverify.commands.fleet.reader import follow, read_once
from rtpverify.commands.fleet.server import FleetServer
from rtpverify.commands.fleet.table import rendered
from rtpverify.commands.output import replacing
from rtpverify.daemon.log import LogWriter, make_logger
from rtpverify.daemon.nats.server import require_nats
from rtpverify.daemon.web.answers import Health
from rtpverify.errors import RequestError
from rtpverify.live.loop import run, stopped_by_signals

_LOOK_SECONDS = 1.0


def show(place: str, *, as_json: bool = False) -> int:
    """Print how all benches fare now.

    Parameters
    ----------
    place
        What :func:`~rtpverify.commands.fleet.configuration.read_configuration` takes.
    as_json
        As JSON, with every stream.

    Returns
    -------
    int
        1 where a bench is down or has a fault, 3 where one is not verified, or none has published, else 0.

    Raises
    ------
    RequestError
        Where the request is unusable, or the server cannot be reached.
    """
    configuration = _configuration(place)
    fleet = run(read_once(configuration.nats))
    now_ns = time.time_ns()
    if as_json:
        print(json.dumps(fleet.document(now_ns, with_streams=True), ensure_ascii=False, indent=2))
    else:
        Console().print(rendered(fleet, now_ns))
    states = {bench.health(now_ns)[0] for bench in fleet.benches.values()}
    if states & {Health.DOWN, Health.FAULT}:
        return 1
    return 0 if states and Health.UNJUDGED not in states else 3


def watch(place: str) -> None:
    """Show how all benches fare until Ctrl-C or SIGTERM.

    Parameters
    ----------
    place
        As of :func:`show`.

    Raises
    ------
    RequestError
        Where the request is unusable.
    """
    configuration = _configuration(place)
    console = Console(stderr=True)
    if not console.is_terminal:
        raise RequestError("--watch: standard error is no terminal")

    async def main() -> None:
        fleet, stop = Fleet(), asyncio.Event()
        trouble: list[str | None] = ["connecting"]
        with stopped_by_signals(stop), Live(console=console, auto_refresh=False, screen=True) as live:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(follow(configuration.nats, fleet, stop, trouble.append))
                while not stop.is_set():
                    live.update(rendered(fleet, time.time_ns(), trouble[-1]), refresh=True)
                    await asyncio.sleep(_LOOK_SECONDS / 4)

    run(main())


def serve(place: str, listen: str | None, targets: Path | None, *, with_page: bool = False) -> None:
    """Serve the page, and write targets for Prometheus, until Ctrl-C or SIGTERM.

    Parameters
    ----------
    place
        As of :func:`show`.
    listen
        Where the page is.
    targets
        A file for Prometheus' ``file_sd_configs``, written whenever benches come, go or move.
    with_page
        Serve the page where the file says, in ``[page]``.

    Raises
    ------
    RequestError
        Where the request is unusable.
    SourceError
        Where the address cannot be obtained.
    OutputError
        Where the file cannot be written.
    """
    configuration = _configuration(place)
    table = page_at(listen) if listen is not None else configuration.page if with_page else None
    if with_page and table is None:
        raise RequestError(f"--page: {place} has no [page]; give --listen ADDRESS:PORT")

    async def main() -> None:
        fleet, stop = Fleet(), asyncio.Event()
        server = None if table is None else FleetServer(table, fleet, log)

        def note(trouble: str | None) -> None:
            if server is not None:
                server.trouble = trouble
            if trouble:
                log.error("nats not reached", reason=trouble)
            else:
                log.info("nats reached", to=configuration.nats.place)

        with stopped_by_signals(stop):
            if server is not None:
                await server.http.start("listen")
                log.info("listening", page=server.http.url)
            try:
                async with asyncio.TaskGroup() as tasks:
                    on_event = server.tell if server is not None else lambda _: None
                    tasks.create_task(follow(configuration.nats, fleet, stop, note, on_event))
                    if server is not None:
                        tasks.create_task(server.show(stop))
                    if targets is not None:
                        tasks.create_task(_write_targets(fleet, targets, stop))
            finally:
                if server is not None:
                    await server.http.stop()

    with LogWriter(sys.stderr) as writer:
        log = make_logger(writer, "console")
        run(main())


async def _write_targets(fleet: Fleet, path: Path, stop: asyncio.Event) -> None:
    """Write the targets as they change; a file of before stays until the first bench is known."""
    written: str | None = None
    while not stop.is_set():
        text = json.dumps(fleet.targets(), indent=2) + "\n"
        if fleet.benches and text != written:
            with replacing("--targets", path) as new:
                new.write_text(text)
            written = text
        await asyncio.sleep(_LOOK_SECONDS)


def _configuration(place: str) -> FleetConfiguration:
    require_nats()
    return read_configuration(place)
