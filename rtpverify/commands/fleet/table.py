"""A fleet in the terminal: one line for each bench, the worst first."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from rtpverify.commands.fleet.benches import Fleet, FleetBench
from rtpverify.daemon.web.answers import Health
from rtpverify.report.printable import printable

STYLES = {
    Health.DOWN: "bold red",
    Health.FAULT: "bold red",
    Health.UNJUDGED: "bold yellow",
    Health.RECENT: "yellow",
    Health.WAITING: "dim",
    Health.OK: "green",
}


def rendered(fleet: Fleet, now_ns: int, trouble: str | None = None) -> Group:
    """Return a fleet as rich shows it.

    Parameters
    ----------
    fleet
        What is known.
    now_ns
        The time, in ns since the Unix epoch.
    trouble
        Why nothing new is known.

    Returns
    -------
    Group
        A table, and a line that sums it up.
    """
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("State", "Site", "Bench"):
        table.add_column(title, no_wrap=True)
    for title in ("Streams", "Faults", "Lost"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Status", overflow="fold")
    benches = fleet.in_order(now_ns)
    for bench in benches:
        table.add_row(*_cells(bench, now_ns))
    parts = [table] if benches else []
    lines = [Text(trouble, "bold red")] if trouble else []
    return Group(*parts, Text(summary(fleet, now_ns), "bold"), *lines)


def _cells(bench: FleetBench, now_ns: int) -> list[Text | str]:
    health, reason = bench.health(now_ns)
    streams = bench.streams
    return [
        Text(str(health), STYLES[health]),
        Text(printable(bench.site)),
        Text(printable(bench.name)),
        f"{len(streams):,}",
        f"{sum(line['faults'] for line in streams):,}",
        f"{sum(line['packets_lost'] for line in streams):,}",
        Text(printable(reason)),
    ]


def summary(fleet: Fleet, now_ns: int) -> str:
    """Return one line on all benches.

    Parameters
    ----------
    fleet
        What is known.
    now_ns
        The time, in ns since the Unix epoch.

    Returns
    -------
    str
        How many there are, and how many are not well.
    """
    if not fleet.benches:
        return "no bench has published yet"
    states = [bench.health(now_ns)[0] for bench in fleet.benches.values()]
    bad = sum(state in (Health.DOWN, Health.FAULT) for state in states)
    unverified = sum(state is Health.UNJUDGED for state in states)
    streams = sum(len(bench.streams) for bench in fleet.benches.values())
    parts = [f"{len(states)} bench{'es' if len(states) > 1 else ''}, {streams:,} stream{'s' if streams != 1 else ''}"]
    parts += [f"{bad} with a fault or down"] if bad else []
    parts += [f"{unverified} not verified"] if unverified else []
    return ": ".join([parts[0], ", ".join(parts[1:]) or "no current fault"])
