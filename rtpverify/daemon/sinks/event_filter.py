"""Which events a sink is for."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from rtpverify.daemon.sinks.base import ReportedEvent, SinkTable
from rtpverify.events import Cause, Kind


class ChoosingTable(SinkTable):
    """A section whose sink takes some events only: those that fit every choice made; an empty one leaves all."""

    streams: tuple[Annotated[str, Field(strict=True, min_length=1)], ...] = ()
    """Patterns of names, with ``*``, ``?`` and ``[...]``."""
    kinds: tuple[Kind, ...] = ()
    causes: tuple[Cause, ...] = ()
    faults_only: Annotated[bool, Field(strict=True)] = True
    """Leave out what is reported but within the limits."""

    def chosen(self, told: Sequence[ReportedEvent]) -> list[ReportedEvent]:
        """Return the events chosen of these, as they begin and as they end, without every change in between.

        Parameters
        ----------
        told
            Events with their streams.

        Returns
        -------
        list[ReportedEvent]
            In the same order.
        """
        return [item for item in told if (item.is_new or not item.event.open) and self._fits(item)]

    def _fits(self, told: ReportedEvent) -> bool:
        event = told.event
        return (
            (event.fault or not self.faults_only)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.causes or event.cause in self.causes)
            and (not self.streams or any(fnmatchcase(told.name, pattern) for pattern in self.streams))
        )
