"""Questions to the events: the latest, kept in memory, or all of the history where one is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
"""An event in its published JSON form, with its ``stream``."""

KEPT = 2000
"""Events kept in memory."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events; None leaves all.

    Attributes
    ----------
    since_ns, until_ns
        Arrival of the event's first packet, or when it was told where that is not known: from, and before.
    skip
        So many of the latest are left out: those of one moment that were shown before.
    """

    stream: str | None = None
    kind: str | None = None
    cause: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    skip: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, the latest first, each with its moment in ns since the Unix epoch."""

    events: list[tuple[int, Document]]
    more: bool


class EventLog:
    """The latest events, in memory."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[int, Document]] = OrderedDict()

    def add(self, documents: Sequence[Document], times_ns: Sequence[int]) -> None:
        """Take events with their moments; one that is known is replaced and keeps its moment."""
        for document, time_ns in zip(documents, times_ns, strict=True):
            known = self._events.get(document["id"])
            self._events[document["id"]] = (known[0] if known else time_ns, document)
            if len(self._events) > KEPT:
                self._events.popitem(last=False)

    def get(self, event_id: str) -> Document | None:
        """Return an event."""
        known = self._events.get(event_id)
        return known[1] if known else None

    def find(self, query: EventQuery) -> EventPage:
        """Return the events that a query asks for."""
        # Of one moment, what was told last comes first.
        latest_first = list(reversed(self._events.values()))
        latest_first.sort(key=_moment, reverse=True)
        fitting = [item for item in latest_first if _fits(query, *item)][query.skip :]
        return EventPage(fitting[: query.limit], len(fitting) > query.limit)


def _moment(item: tuple[int, Document]) -> int:
    return item[0]


def _fits(query: EventQuery, time_ns: int, document: Document) -> bool:
    return (
        query.stream in (None, document["stream"])
        and query.kind in (None, document["kind"])
        and query.cause in (None, document["cause"])
        and (query.since_ns is None or time_ns >= query.since_ns)
        and (query.until_ns is None or time_ns < query.until_ns)
    )
