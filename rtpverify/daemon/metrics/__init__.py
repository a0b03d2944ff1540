"""The metrics: what is known at one moment (``snapshot``), which metric shows it (``families``), and its text."""

from rtpverify.daemon.metrics.exposition import Exposition
from rtpverify.daemon.metrics.snapshot import PACKET_COUNTERS, Snapshot, StreamSnapshot, countable_events

__all__ = ["PACKET_COUNTERS", "Exposition", "Snapshot", "StreamSnapshot", "countable_events"]
