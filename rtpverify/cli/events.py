"""The command events."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from rtpverify.events import Cause, Kind


def _choice(kind: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([str(item) for item in kind])


@click.command(short_help="Query the event history of the daemon.")
@click.argument("store", required=False, type=click.Path(path_type=Path), metavar="[STORE|CONFIG]")
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="NAME",
    help="Only events of this stream; patterns with *, ? and [...]; may be repeated.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=_choice(Kind),
    metavar="KIND",
    help="Only events of this kind; may be repeated.",
)
@click.option(
    "--cause", "causes", multiple=True, type=_choice(Cause), help="Only events of this cause; may be repeated."
)
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only the event with this id; may be repeated.")
@click.option(
    "--since",
    metavar="TIME",
    help="Only events since this time (2026-11-22T14:03:07Z) or this long ago (90s, 2h, '1d 12h').",
)
@click.option("--until", metavar="TIME", help="Only events before this time, written as for --since.")
@click.option("--faults", is_flag=True, help="Only faults, not events within the limits.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Maximum number of events, the latest ones; 0 lists all.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="Output format; jsonl is one JSON object per line.",
)
@click.pass_context
def events(ctx: click.Context, /, store: Path | None, since: str | None, until: str | None, **options: Any) -> None:
    """List events of a history, in order of time.

    It is the file STORE, the one that the configuration CONFIG (.toml) keeps, or /var/lib/rtpverify/events.sqlite. The
    daemon may be writing to it.

    Exit status: 0 events found, 2 the request is unusable, 3 no such event.
    """
    from rtpverify.history import listing
    from rtpverify.history.query import Query, find
    from rtpverify.history.store import DEFAULT_PATH
    from rtpverify.history.time_text import parse_moment

    if store is not None and store.suffix == ".toml":
        from rtpverify.daemon.configuration import history_path_in

        store = history_path_in(store)
    now_ns = time.time_ns()
    query = Query(
        **{name: tuple(options[name]) for name in ("streams", "kinds", "causes", "ids")},
        since_ns=parse_moment(since, now_ns, "--since") if since else None,
        until_ns=parse_moment(until, now_ns, "--until") if until else None,
        faults_only=options["faults"],
        limit=options["limit"] or None,
    )
    found = find(store or DEFAULT_PATH, query)
    listing.write(found, options["form"], sys.stdout)
    ctx.exit(0 if found.events else 3)
