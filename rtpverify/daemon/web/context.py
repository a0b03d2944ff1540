"""What the HTTP server may see of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from rtpverify.daemon.sinks.base import Sink, SinkContext

if TYPE_CHECKING:
    from rtpverify.daemon.metrics import Snapshot
    from rtpverify.daemon.streams.state import StreamState
    from rtpverify.engine.verifier import Verifier

AnySink = TypeVar("AnySink", bound=Sink)


class ServiceView(SinkContext, Protocol):
    """The service, as those see it who show it."""

    @property
    def verifier(self) -> Verifier:
        """What verifies; only to be asked on the event loop."""

    @property
    def states(self) -> Mapping[str, StreamState]:
        """What is known of each configured stream, by name; streams come and go."""

    @property
    def snapshot(self) -> Snapshot:
        """What a scrape may see; never changed, so good for any thread."""

    @property
    def sinks(self) -> Mapping[str, Sink]:
        """Every sink, by the section of the configuration that made it."""

    def sink(self, kind: type[AnySink]) -> AnySink | None:
        """Return the sink of a kind, where there is one.

        Parameters
        ----------
        kind
            Class of the sink.
        """

    @property
    def behind_seconds(self) -> float:
        """How late this host is with the packets that arrived."""

    def unready(self) -> list[str]:
        """Return why the daemon does not do its whole work at present; nothing while it does."""
