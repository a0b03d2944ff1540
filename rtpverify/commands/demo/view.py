"""What the demonstration shows: progress while it runs, and a table at its end. On a pipe: plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rtpverify.commands.demo.match import Finding, match
from rtpverify.events import EventSize

if TYPE_CHECKING:
    from rtpverify.daemon.service import Service
    from rtpverify.events import Event
    from rtpverify.sender.faults import ExpectedEvent

RATE_HZ = 48000
CHANNELS = 2
RIGHT = Text("✓", style="bold green")
WRONG = Text("✗", style="bold red")
PENDING = Text("…", style="dim")
_STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_UNITS = {
    "slip_frames": "frames",
    "packets": "packets",
    "packets_lost": "packets",
    "gain_db": "dB",
    "deviation": "FS",
    "dc_offset": "FS",
    "thd_db": "dB",
    "frequency_hz": "Hz",
}
"""Sizes shown, and their units."""


class DemoScreen:
    """Shows a service under a known fault sequence; a context that owns the screen.

    Parameters
    ----------
    console
        Where it is shown.
    service
        What is shown.
    injected
        What a perfect verifier reports, by name of the stream.
    seconds
        Length of the streams.
    """

    def __init__(
        self, console: Console, service: Service, injected: Mapping[str, Sequence[ExpectedEvent]], seconds: float
    ) -> None:
        self._console = console
        self._service = service
        self._injected = injected
        self._seconds = seconds
        self._told: set[str] = set()
        # A pipe that is forced to take colours is no place for a picture that moves.
        moving = console.is_terminal and console.file.isatty()
        self._live = Live(console=console, auto_refresh=False, transient=True) if moving else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, faults: Sequence[str]) -> None:
        """Announce what is to come.

        Parameters
        ----------
        faults
            As ``send --fault`` takes them.
        """
        self._console.print(
            f"Two streams over loopback for {self._seconds:g} s: L24/48000/2, a tone of 1283 Hz, one clean, one with",
            soft_wrap=True,
        )
        for fault in faults:
            self._console.print(f"  {fault}", highlight=False)
        self._console.print(f"Metrics while this runs: {self._service.metrics_url}")
        if self._live is not None:
            self._live.start()

    def update(self) -> None:
        """Show how far it is."""
        if self._live is not None:
            results = [state.result for state in self._service.states.values()]
            seconds = max(result.frames / RATE_HZ if result else 0.0 for result in results)
            bar = ProgressBar(total=self._seconds, completed=min(seconds, self._seconds), width=60)
            self._live.update(Group(bar, self._streams(), self._findings(PENDING)), refresh=True)
            return
        for name, finding in self._match():
            event = finding.found
            if event is not None and event.id not in self._told:
                self._told.add(event.id)
                text = f"{name}: found {_words(event)} at frame {event.start_frame}"
                self._console.print(text, highlight=False, soft_wrap=True)

    def end(self) -> int:
        """Show the outcome.

        Returns
        -------
        int
            0 where every fault was found and nothing else, 1 otherwise.
        """
        if self._live is not None:
            self._live.stop()
        else:
            self.update()  # what became certain at the end
        findings = [finding for _, finding in self._match()]
        matched = sum(finding.matched for finding in findings)
        extra = sum(finding.injected is None for finding in findings)
        silent = [state.name for state in self._service.states.values() if state.result is None]
        self._console.print(self._streams(whole=True), self._findings(WRONG))
        for name in silent:
            self._console.print(f"stream {name}: nothing arrived", style="bold red")
        good = matched == len(findings) and not silent
        text = f"{matched} of {len(findings) - extra} injected faults found, {extra or 'no'} other events"
        self._console.print("✓" if good else "✗", text, style="bold green" if good else "bold red")
        return 0 if good else 1

    def _match(self) -> list[tuple[str, Finding]]:
        """Return the findings of every stream with its name."""
        findings = []
        for name, injected in self._injected.items():
            result = self._service.states[name].result
            told = [item for item in injected if not item.counted_only]
            findings += [(name, finding) for finding in match(told, result.events if result else [], CHANNELS)]
        return findings

    def _streams(self, *, whole: bool = False) -> Table:
        """Return the table of the streams as they are now, or as a ``whole``: once all is verified nothing is open."""
        table = _table("Streams")
        for column in ("stream", "verdict"):
            table.add_column(column)
        for column in ("packets", "lost", "level dBFS", "Hz", "residual dBFS", "events"):
            table.add_column(column, justify="right")
        for state in self._service.states.values():
            fields = state.summary(whole=whole)
            verdict = fields.get("verdict", "")
            table.add_row(
                state.name,
                Text(verdict, style=_STYLES.get(verdict, "")),
                *(str(fields.get(name, "")) for name in ("received", "lost")),
                *(_list(fields.get(name, ())) for name in ("level_dbfs", "frequency_hz", "residual_dbfs")),
                str(fields.get("events", "")),
            )
        return table

    def _findings(self, missing: Text) -> Table:
        """Return the table of what was injected against what was found; ``missing`` marks what was not found."""
        table = _table("Injected against found")
        for column in ("at", "frame"):
            table.add_column(column, justify="right", no_wrap=True)
        for column in ("injected", "found", "at frame", ""):
            table.add_column(column, justify="right" if column == "at frame" else "left")
        for name, finding in self._match():
            injected, found = finding.injected, finding.found
            mark = RIGHT if finding.matched else WRONG if found else missing
            words = _words(found)
            if injected is None:
                words = f"{name}: {words}"
            frame = injected.start_frame if injected else 0
            table.add_row(
                f"{frame / RATE_HZ:.3f} s" if injected else "",
                str(frame) if injected else "",
                _words(injected),
                words,
                str(found.start_frame) if found else "",
                mark,
            )
        return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _words(side: ExpectedEvent | Event | None) -> str:
    """Write what happened: its kind, its size or else how long it lasts, and its channel."""
    if side is None:
        return ""
    size = side.size.as_dict() if isinstance(side.size, EventSize) else side.size
    parts = [
        f"{size[name]:+d} {unit}" if name == "slip_frames" else f"{size[name]:.4g} {unit}"
        for name, unit in _UNITS.items()
        if size.get(name) is not None
    ]
    if not parts and side.duration_frames:
        parts = [f"{side.duration_frames} frames"]
    if side.channel is not None:
        parts.append(f"channel {side.channel}")
    return ", ".join([f"{side.kind}", *parts])


def _list(values: Sequence[float | None]) -> str:
    """Write one value per channel, or one for all where they agree."""
    return "/".join("-" if value is None else str(value) for value in dict.fromkeys(values))
