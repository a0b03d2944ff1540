"""What the demonstration shows: progress while it runs, and a table at its end. On a pipe: plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rtpverify.demo.match import Finding, match

if TYPE_CHECKING:
    from rtpverify.daemon.service import Service
    from rtpverify.events import Event
    from rtpverify.sender.faults import Expected

RATE_HZ = 48000
CHANNELS = 2
WRONG = Text("✗", style="bold red")
PENDING = Text("…", style="dim")
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


class View:
    """Shows a service under a known fault sequence; a context that owns the screen.

    Parameters
    ----------
    injected
        What a perfect verifier reports, by name of the stream.
    seconds
        Length of the streams.
    """

    def __init__(
        self, console: Console, service: Service, injected: Mapping[str, Sequence[Expected]], seconds: float
    ) -> None:
        self._console = console
        self._service = service
        self._injected = injected
        self._seconds = seconds
        self._told: set[str] = set()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, faults: Sequence[str]) -> None:
        """Announce what is to come."""
        self._console.print(
            f"Two streams over loopback for {self._seconds:g} s: L24/48000/2, a tone of 1283 Hz, one clean, one with"
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
                what, frame = _cells(event)
                self._console.print(f"{name}: found {what} at frame {frame}", highlight=False, soft_wrap=True)

    def end(self) -> int:
        """Show the outcome; return 0 where every fault was found and nothing else."""
        if self._live is not None:
            self._live.stop()
        findings = [finding for _, finding in self._match()]
        matched = sum(finding.matched for finding in findings)
        extra = sum(finding.injected is None for finding in findings)
        silent = [state.name for state in self._service.states.values() if state.result is None]
        self._console.print(self._streams(), self._findings(WRONG))
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

    def _streams(self) -> Table:
        table = Table(title="Streams", title_justify="left")
        for column in ("stream", "verdict", "packets", "lost", "level dBFS", "Hz", "residual dBFS", "events"):
            table.add_column(column, justify="left" if column in ("stream", "verdict") else "right")
        for state in self._service.states.values():
            fields = state.summary()
            table.add_row(
                state.name,
                fields.get("verdict", "waiting"),
                *(str(fields.get(name, "")) for name in ("received", "lost")),
                *(_list(fields.get(name, ())) for name in ("level_dbfs", "frequency_hz", "residual_dbfs")),
                str(fields.get("events", "")),
            )
        return table

    def _findings(self, missing: Text) -> Table:
        """Return the table of what was injected against what was found; ``missing`` marks what was not found."""
        table = Table(title="Injected against found", title_justify="left")
        for column in ("stream", "at", "injected", "frame", "found", "frame", ""):
            table.add_column(column, justify="right" if column in ("at", "frame") else "left", no_wrap=column == "at")
        for name, finding in self._match():
            side = finding.injected or finding.found
            at = "" if side is None else f"{side.start_frame / RATE_HZ:.3f} s"
            mark = Text("✓", style="bold green") if finding.matched else WRONG if finding.found else missing
            table.add_row(name, at, *_cells(finding.injected), *_cells(finding.found), mark)
        return table


def _cells(side: Expected | Event | None) -> tuple[str, str]:
    """Return what happened with its sizes, and the frame."""
    if side is None:
        return "", ""
    return f"{side.kind}{_sizes(side)}", str(side.start_frame)


def _sizes(side: Expected | Event) -> str:
    """Write the size of a fault, or else how long it lasts, and its channel."""
    parts = [
        f"{side.size[name]:+d} {unit}" if name == "slip_frames" else f"{side.size[name]:.4g} {unit}"
        for name, unit in _UNITS.items()
        if side.size.get(name) is not None
    ]
    if not parts and side.duration_frames:
        parts = [f"{side.duration_frames} frames"]
    if side.channel is not None:
        parts.append(f"channel {side.channel}")
    return ", ".join(["", *parts])


def _list(values: Sequence[float | None]) -> str:
    """Write one value per channel, or one for all where they agree."""
    return "/".join("-" if value is None else str(value) for value in dict.fromkeys(values))
