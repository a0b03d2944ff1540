"""What is known of all benches: the latest message of each daemon and stream, and the latest events.

Nothing here waits or asks: messages come in, in any order and more than once, and the state is read.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rtpverify.daemon.nats.messages import BENCH_SCHEMA, EVENT_SCHEMA, STATE_SCHEMA
from rtpverify.daemon.web.answers import Health
from rtpverify.events import rfc3339

SCHEMA = "rtpverify.fleet/1"
MOST_EVENTS = 1000
"""Kept, the latest."""
_MISSED = 3
"""A daemon that was not heard for so many of its intervals is silent."""
_SLACK_NS = 2_000_000_000
_RANKS = {health: rank for rank, health in enumerate(Health)}

Document = dict[str, Any]


@dataclass(slots=True)
class FleetBench:
    """One daemon.

    Attributes
    ----------
    site, name
        Its names.
    about
        Its latest message; None while only its streams are known.
    lines
        The latest line of each of its streams, by name.
    heard_ns
        When it was heard last, in ns since the Unix epoch.
    """

    site: str
    name: str
    about: Document | None = None
    lines: dict[str, Document] = field(default_factory=dict)
    heard_ns: int = 0

    @property
    def streams(self) -> list[Document]:
        """The lines of the streams that it has now, the worst first."""
        names = self.lines if self.about is None else self.about["streams"]
        lines = [self.lines[name] for name in names if name in self.lines]
        return sorted(lines, key=lambda line: (_RANKS[Health(line["health"])], line["name"]))

    def health(self, now_ns: int) -> tuple[Health, str]:
        """Return how it fares, and why that is said.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.

        Returns
        -------
        tuple[Health, str]
            That of its worst stream, where the daemon itself is well.
        """
        about, silent_ns = self.about, now_ns - self.heard_ns
        if about is not None and about["state"] == "stopped":
            return Health.WAITING, f"stopped at {about['time'][:19].replace('T', ' ')} UTC"
        if about is None or silent_ns > _MISSED * round(about["state_seconds"] * 1e9) + _SLACK_NS:
            return Health.DOWN, f"nothing heard for {max(0, silent_ns) / 1e9:.0f} s"
        streams = self.streams
        worst = Health(streams[0]["health"]) if streams else Health.WAITING
        if about["reasons"] and _RANKS[worst] > _RANKS[Health.UNJUDGED]:
            return Health.UNJUDGED, about["reasons"][0]
        counted = Counter(line["health"] for line in streams)
        said = [f"{counted[health]} {_WORDS[health]}" for health in Health if counted[health] and health in _WORDS]
        return worst, ", ".join(said) or (f"no fault in {len(streams)} streams" if streams else "no stream yet")

    def document(self, now_ns: int) -> Document:
        """Return it as it is published, without its streams.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.

        Returns
        -------
        dict[str, Any]
            In JSON's types.
        """
        health, reason = self.health(now_ns)
        about, streams = self.about or {}, self.streams
        return {
            "site": self.site,
            "bench": self.name,
            "health": str(health),
            "reason": reason,
            "version": about.get("version"),
            "url": about.get("url"),
            "heard": rfc3339(self.heard_ns),
            "streams": {**dict.fromkeys(map(str, Health), 0), **Counter(line["health"] for line in streams)},
            "faults": sum(line["faults"] for line in streams),
            "packets_lost": sum(line["packets_lost"] for line in streams),
            "packets_expected": sum(line["packets_expected"] for line in streams),
            "events_waiting": about.get("events_waiting"),
            "events_lost": about.get("events_lost"),
            "reasons": about.get("reasons", []),
        }


_WORDS = {
    Health.DOWN: "down",
    Health.FAULT: "with a fault",
    Health.UNJUDGED: "not verified",
    Health.RECENT: "with a recent fault",
    Health.WAITING: "waiting",
}


class Fleet:
    """All benches.

    Attributes
    ----------
    benches
        By site and name.
    events
        The latest, in the order in which they came; of each event its latest state.
    """

    def __init__(self) -> None:
        self.benches: dict[tuple[str, str], FleetBench] = {}
        self.events: dict[tuple[str, str, str, str], Document] = {}
        self._order: deque[tuple[str, str, str, str]] = deque()

    def take(self, content: bytes, sent_ns: int) -> Document | None:
        """Take a message.

        Parameters
        ----------
        content
            What was published.
        sent_ns
            When the server got it, in ns since the Unix epoch.

        Returns
        -------
        dict[str, Any] or None
            The event, where it is one that is new or has changed, with its ``site`` and ``bench``.
        """
        try:
            message = json.loads(content)
            schema, site, bench = message["schema"], message["site"], message["bench"]
            if schema == EVENT_SCHEMA:
                return self._take_event(site, bench, message["event"])
            if schema in (STATE_SCHEMA, BENCH_SCHEMA):
                one = self.benches.setdefault((site, bench), FleetBench(site, bench))
                one.heard_ns = max(one.heard_ns, sent_ns)
                if schema == BENCH_SCHEMA:
                    one.about = message
                    one.lines = {name: one.lines[name] for name in message["streams"] if name in one.lines}
                else:
                    line = message["stream"]
                    Health(line["health"])
                    one.lines[line["name"]] = line
        except (ValueError, KeyError, TypeError):
            return None  # another program's, or a later version's
        return None

    def _take_event(self, site: str, bench: str, event: Document) -> Document | None:
        key = site, bench, event["stream"], event["id"]
        document = {"site": site, "bench": bench, **event}
        if self.events.get(key) == document:
            return None
        if key not in self.events:
            self._order.append(key)
            while len(self._order) > MOST_EVENTS:
                del self.events[self._order.popleft()]
        self.events[key] = document
        return document

    def in_order(self, now_ns: int) -> list[FleetBench]:
        """Return the benches, the worst first.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.

        Returns
        -------
        list[FleetBench]
            Those of one state by site and name.
        """
        return sorted(
            self.benches.values(), key=lambda bench: (_RANKS[bench.health(now_ns)[0]], bench.site, bench.name)
        )

    def document(self, now_ns: int, *, with_streams: bool = False) -> Document:
        """Return all of it as it is published.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.
        with_streams
            Whether each bench has its streams as ``lines``.

        Returns
        -------
        dict[str, Any]
            In JSON's types.
        """
        benches = [
            {**bench.document(now_ns), **({"lines": bench.streams} if with_streams else {})}
            for bench in self.in_order(now_ns)
        ]
        return {"schema": SCHEMA, "time": rfc3339(now_ns), "benches": benches}

    def targets(self) -> list[Document]:
        """Return the daemons for Prometheus, as its service discovery has them.

        Returns
        -------
        list[dict[str, Any]]
            A group for each daemon that others can reach, with its site and name as labels.
        """
        return [
            {
                "targets": [urlsplit(url).netloc],
                "labels": {"site": bench.site, "bench": bench.name, "__scheme__": urlsplit(url).scheme},
            }
            for bench, url in self._reachable()
        ]

    def _reachable(self) -> Iterator[tuple[FleetBench, str]]:
        for _, bench in sorted(self.benches.items()):
            if bench.about is not None and bench.about["state"] == "running" and bench.about["url"]:
                yield bench, bench.about["url"]
