"""Questions to the events: all of the history where one is kept, else the latest, kept in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtpverify.daemon.sinks.history import History
from rtpverify.history.query import Query, find

Document = dict[str, Any]
"""An event in its published JSON form, with its ``stream``."""

KEPT = 2000
"""Events kept in memory."""
WAIT_SECONDS, MOST_WAITS = 0.02, 25
"""How long, and how often, an answer waits for a history that has not written yet what was reported."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events; None leaves all.

    Attributes
    ----------
    since_ns, until_ns
        Arrival of the event's first packet, or when it was reported where that is not known: from, and before.
    skip
        So many of the latest are omitted: those of one moment that were shown before.
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
    """Events, latest first, each with its moment in ns since the Unix epoch."""

    events: list[tuple[int, Document]]
    more: bool


class RecentEvents:
    """The latest events, in memory; what is older, or was reported before the daemon began, is in a history."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[int, Document]] = OrderedDict()

    def add(self, documents: Sequence[Document], times_ns: Sequence[int]) -> None:
        """Take events with their moments; one that is known is replaced and keeps its moment.

        Parameters
        ----------
        documents
            Events as they are shown.
        times_ns
            Moment of each, in ns since the Unix epoch.
        """
        for document, time_ns in zip(documents, times_ns, strict=True):
            known = self._events.get(document["id"])
            self._events[document["id"]] = (known[0] if known else time_ns, document)
            if len(self._events) > KEPT:
                self._events.popitem(last=False)

    async def get(self, event_id: str, history: History | None = None) -> Document | None:
        """Return an event, None where it is not known.

        Parameters
        ----------
        event_id
            Id of the event.
        history
            Where older ones are; None where there is no history.

        Returns
        -------
        Document or None
            As it is shown.

        Raises
        ------
        SourceError
            Where the history cannot be read.
        """
        known = self._events.get(event_id)
        if known is not None or history is None:
            return known[1] if known else None
        found = await asyncio.to_thread(find, history.path, Query(ids=(event_id,), limit=1))
        return found.events[0] if found.events else None

    async def find(self, query: EventQuery, history: History | None = None) -> EventPage:
        """Return the events that a query asks for; what a history has not written yet is waited for a moment.

        Parameters
        ----------
        query
            What is asked for.
        history
            Where older ones are; None where there is no history.

        Returns
        -------
        EventPage
            The latest first.

        Raises
        ------
        SourceError
            Where the history cannot be read.
        """
        if history is None or history.trouble:
            return self._find(query)
        tries = MOST_WAITS
        while history.waiting and tries:
            await asyncio.sleep(WAIT_SECONDS)
            tries -= 1
        return await asyncio.to_thread(_find_in, history, query)

    def _find(self, query: EventQuery) -> EventPage:
        # Of one moment, what was reported last comes first.
        latest_first = list(reversed(self._events.values()))
        latest_first.sort(key=_moment, reverse=True)
        fitting = [item for item in latest_first if _fits(query, *item)][query.skip :]
        return EventPage(fitting[: query.limit], len(fitting) > query.limit)


def _find_in(history: History, query: EventQuery) -> EventPage:
    """Return the events of a history that a query asks for."""

    def one_of(name: str | None) -> tuple[str, ...]:
        return () if name is None else (name,)

    found = find(
        history.path,
        Query(
            streams=one_of(query.stream),
            kinds=one_of(query.kind),
            causes=one_of(query.cause),
            since_ns=query.since_ns,
            until_ns=query.until_ns,
            limit=query.skip + query.limit,
        ),
    )
    latest_first = list(zip(found.times_ns, found.events, strict=True))[::-1]
    return EventPage(latest_first[query.skip :], found.total > query.skip + query.limit)


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
