"""``check --watch``: a live check in the terminal while it runs, a row for each channel of each stream."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rtpverify.errors import RequestError
from rtpverify.live.watcher import Watcher
from rtpverify.report import wording
from rtpverify.result import Verdict
from rtpverify.result.event_wording import UNMEASURED, event_row, number, seconds

if TYPE_CHECKING:
    from rtpverify.engine.stream import Stream
    from rtpverify.engine.verifier import Verifier
    from rtpverify.result import Result, Signal, StreamResult

_EVERY_NS = 250_000_000
_EVENTS = 6
_METER_CELLS, _METER_DBFS = 16, 60.0
_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


class TerminalWatcher(Watcher):
    """Shows a live check on standard error; a context that owns the screen.

    Parameters
    ----------
    console
        Where it is shown; None: standard error.

    Raises
    ------
    RequestError
        Where standard error is no terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        if not self._console.is_terminal:
            raise RequestError("--watch: standard error is no terminal; without --watch the summary comes at the end")
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._verifier: Verifier | None = None
        self._found: Callable[[], Result] | None = None
        self._due_ns = 0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, verifier: Verifier, found: Callable[[], Result]) -> None:
        """Take what is shown.

        Parameters
        ----------
        verifier
            What is shown.
        found
            Returns the result so far.
        """
        self._verifier, self._found = verifier, found

    def tick(self, now_ns: int) -> bool:
        """Draw, four times a second; never end the check.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.

        Returns
        -------
        bool
            False.
        """
        if now_ns >= self._due_ns and self._verifier is not None and self._found is not None:
            self._due_ns = now_ns + _EVERY_NS
            self._live.update(self._picture(self._found(), self._verifier), refresh=True)
        return False

    def _picture(self, result: Result, verifier: Verifier) -> Group:
        verdict = Text(f"{result.verdict.upper()}  ", _STYLES[result.verdict]) + Text(wording.headline(result), "")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("Stream", "Ch", "Level", "", "Residual", "Received", "Lost", "Jitter", "Events"):
            right = title in ("Level", "Residual", "Received", "Lost", "Events")
            table.add_column(title, justify="right" if right else "left", no_wrap=True)
        for stream, found in zip(verifier.streams, result.streams, strict=False):
            _add_rows(table, stream, found, verifier.present(stream, found.signal) or found.signal)
        if not verifier.streams:
            table.add_row("waiting for packets")
        return Group(verdict, table, *_latest(result), Text("Ctrl-C ends the check", "dim"))


def _add_rows(table: Table, stream: Stream, found: StreamResult, present: list[Signal]) -> None:
    """Add a row for each channel; what is of the stream as a whole is in the first."""
    wire = found.transport
    faults = sum(event.fault for event in found.events)
    whole = (
        f"{wire.packets_received:,}" if wire else UNMEASURED,
        Text(f"{wire.packets_lost:,}" if wire else UNMEASURED, "red" if wire and wire.packets_lost else ""),
        seconds(wire.jitter_seconds if wire else None),
        Text(f"{faults:,}", "red" if faults else "green"),
    )
    name = f"0x{stream.ssrc:08x} {stream.flow.destination}"
    if not present:
        table.add_row(name, "", "", "", "", *whole)
    for row, signal in enumerate(present):
        table.add_row(
            name if row == 0 else "",
            str(signal.channel),
            number(signal.level_dbfs, ".1f"),
            _meter(signal.level_dbfs),
            number(signal.residual_dbfs, ".1f"),
            *(whole if row == 0 else ()),
        )


def _meter(level_dbfs: float | None) -> Text:
    """Return a bar from -60 dBFS to full scale."""
    part = 0.0 if level_dbfs is None else min(max(1.0 + level_dbfs / _METER_DBFS, 0.0), 1.0)
    filled = round(part * _METER_CELLS)
    return Text("█" * filled, "green") + Text("·" * (_METER_CELLS - filled), "dim")


def _latest(result: Result) -> list[Text]:
    """Return a line for each of the latest events."""
    pairs = [(event, stream) for stream in result.streams for event in stream.events]
    pairs.sort(key=lambda pair: pair[0].time_ns or 0)
    lines = []
    for event, stream in pairs[-_EVENTS:]:
        time, _, channel, kind, cause, _, size = event_row(event, stream.sample_rate)
        style = "red" if event.fault else "dim"
        lines.append(
            Text(f"{time:>12} s  ch {channel:<4}{kind} ({cause})  {size}", style, no_wrap=True, overflow="crop")
        )
    return lines
