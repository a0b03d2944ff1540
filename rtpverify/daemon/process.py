"""The life of the daemon: from its start, at which signals are minded first of all, to its end.

SIGTERM and SIGINT end it cleanly at any time, also while it starts up; SIGHUP has the configuration read again.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rtpverify.live.signals import STOP_SIGNALS, mind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from rtpverify.daemon.configuration import Configuration

RELOAD_SIGNALS = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none


class _Signals:
    """Minds signals from now on, and hands them to whoever cares once there is somebody."""

    def __init__(self) -> None:
        self._seen: list[int] = []
        for number in (*STOP_SIGNALS, *RELOAD_SIGNALS):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._seen.append(number)

    def hand_over(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """Call ``stop`` and ``reload`` on the loop from now on, and for what came before."""
        for number in (*STOP_SIGNALS, *RELOAD_SIGNALS):
            mind(loop, number, stop if number in STOP_SIGNALS else reload)
        for seen in self._seen:
            loop.call_soon(stop if seen in STOP_SIGNALS else reload)


def serve(path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Parameters
    ----------
    path
        File of the configuration.

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    ConfigurationError
        With every mistake of the configuration.
    SourceError
        Where a port cannot be obtained, or a socket fails.
    """
    signals = _Signals()
    from rtpverify.daemon.configuration import read_config
    from rtpverify.daemon.descriptors import raise_limit
    from rtpverify.daemon.log import LogWriter, make_logger
    from rtpverify.live.loop import run

    raise_limit()
    configuration = read_config(path)
    with LogWriter(sys.stderr) as writer:
        run(_serve(configuration, make_logger(writer, configuration.log.format), path, signals))
    return 0


async def _serve(configuration: Configuration, log: FilteringBoundLogger, path: Path, signals: _Signals) -> None:
    import asyncio

    from rtpverify.daemon.sd_notify import Notifier
    from rtpverify.daemon.service import Service

    stop = asyncio.Event()
    notifier = Notifier.from_environment()
    service = Service(configuration, log, path=path, notifier=notifier)

    def end() -> None:
        notifier.stopping()
        stop.set()

    signals.hand_over(asyncio.get_running_loop(), end, service.ask_reload)
    async with service:
        await service.run(stop)


def check(path: Path) -> str:
    """Check a configuration, and the folders it names; return a line that says what it holds.

    Parameters
    ----------
    path
        File of the configuration.

    Returns
    -------
    str
        Without a newline.

    Raises
    ------
    ConfigurationError
        With every mistake, one line each.
    """
    from rtpverify.daemon.configuration import read_config
    from rtpverify.daemon.streams.sdp_folder import SdpFolder
    from rtpverify.errors import ConfigurationError

    configuration = read_config(path)
    looks = [SdpFolder(table).look(at_once=True) for table in configuration.folder]
    mistakes = [mistake for look in looks for mistake in look.mistakes]
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    count = len(configuration.stream) + sum(len(streams) for look in looks for streams in look.streams.values())
    announced = ", and sessions as they are announced" if configuration.announced else ""
    return f"{path}: {count} stream{'' if count == 1 else 's'}{announced}"
