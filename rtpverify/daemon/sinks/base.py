"""Where the daemon's findings go: log, history, webhook, page.

Rules: a sink is called on the event loop, besides reception, so none of its calls waits, and what it keeps for
something slow (a disk, a browser, another host) is bounded: what does not fit is counted in ``counts``. A sink that
fails says so once (log, ``trouble``) and verification continues; only :meth:`Sink.start` may raise, for what the caller
can mend. What it raises all the same costs that call.

A sink and the table of its section are in one module; one line of
:class:`rtpverify.daemon.configuration.Configuration` names the section, one of :mod:`rtpverify.daemon.sink_set` the
sink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from rtpverify.daemon.config.base import Table
from rtpverify.engine.verifier import StreamEvent

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from rtpverify.daemon.defects import Defects
    from rtpverify.rtp.batch import PacketBatch


class ReportedEvent(StreamEvent):
    """An event as sinks get it.

    ``stream`` and ``event`` are as the verifier holds them: they change while the event continues. ``is_new`` is False
    where an event that was reported before has changed, such as ended.
    """

    @property
    def name(self) -> str:
        """Configured name of the stream."""
        return self.stream.name

    @cached_property
    def document(self) -> dict[str, Any]:
        """The event in its published JSON form, with its ``stream``; made once for all sinks, not to be changed.

        Ask for it before ``tell`` returns: it shows the event as it is at the first call.
        """
        return {"stream": self.name, **self.event.to_dict()}


class Sink:
    """Takes events; every method but ``tell`` may be left as it is.

    Attributes
    ----------
    counts
        What became of events and files, by bounded outcomes such as ``written``, ``dropped``, ``failed``; they never
        fall. Shown as ``rtpverify_outlet_total{outlet,outcome}``.
    trouble
        Why it does not do its work at present; None while it does. Not ready while it is.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.trouble: str | None = None

    @property
    def waiting(self) -> int:
        """How many items wait to be written or sent."""
        return 0

    async def start(self) -> None:
        """Open what it writes to.

        Raises
        ------
        RequestError
            Where that cannot be obtained and the daemon should not run without it.
        """

    async def stop(self) -> None:
        """Write the rest, within seconds, and close everything. Called once, also where ``start`` raised."""

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Take events that are new or have changed.

        Parameters
        ----------
        told
            Events with their streams.
        """

    def take(self, batch: PacketBatch) -> None:
        """Take datagrams before they are verified; the arena is overwritten after this call.

        Parameters
        ----------
        batch
            Datagrams in order of arrival.
        """

    def tick(self, now_ns: int) -> None:
        """Take note of the time; called after every drain.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.
        """


class SinkContext(Protocol):
    """What every sink may use of the service."""

    @property
    def log(self) -> FilteringBoundLogger:
        """The daemon's log."""

    @property
    def defects(self) -> Defects:
        """What contains exceptions that nobody expected, and reports them; for any thread."""


class SinkTable(Table):
    """A section of the configuration for which :mod:`rtpverify.daemon.sink_set` makes a sink."""
