"""``[recorder]``: evidence of every event, kept in a folder.

The event loop copies each batch of datagrams into a ring and notes which events are to be recorded. When the packets
after an event have arrived, a thread picks them out, has a process of its own make the files, and writes them, one
event after another. A disk that is slow, full or gone costs the evidence of some events, counted, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from rtpverify.daemon.config.base import PathField
from rtpverify.daemon.sinks.base import ReportedEvent, Sink, SinkContext
from rtpverify.daemon.sinks.event_filter import ChoosingTable
from rtpverify.daemon.sinks.queue import reason
from rtpverify.engine.presence import AwaitedStream
from rtpverify.engine.stream import Stream
from rtpverify.events import rfc3339
from rtpverify.evidence.case import Case, Span, packets_of, render
from rtpverify.evidence.folder import EVENT, EvidenceFolder
from rtpverify.evidence.packet_history import PacketHistory
from rtpverify.evidence.worker_process import Maker
from rtpverify.rtp.batch import PacketBatch

CAPACITY = 100
"""Most events that wait to be recorded."""
SETTLE_NS = 150_000_000
"""How much later than its last packet arrives an event is recorded: packets wait in the socket for a tick."""
TOLD_LATE_SECONDS = 5.0
"""How long after it began an event may be reported, for its packets still to be there."""
REMEMBERED = 1000
"""Events whose end is still added to what was recorded of them."""
AFTER_DEFECT_SECONDS = 1.0
"""A defect that comes again at once must not take the processor."""
STOP_SECONDS = 4.0
"""Most time for what waits, at the end."""

_Seconds = Annotated[float, Field(strict=True, ge=0, le=30)]


class RecorderTable(ChoosingTable):
    """``[recorder]``."""

    path: PathField
    before_seconds: _Seconds = 1.0
    after_seconds: _Seconds = 1.0
    longest_seconds: _Seconds = 2.0
    """Of an event that lasts, so much at most."""
    max_bytes: Annotated[int, Field(strict=True, ge=1 << 20)] = 1 << 30
    """Of the folder; the oldest evidence goes."""
    max_per_minute: Annotated[int, Field(strict=True, ge=1)] = 6
    """Events of one stream."""
    memory_bytes: Annotated[int, Field(strict=True, ge=1 << 20)] = 256 << 20
    """Of the packets remembered."""

    @property
    def span(self) -> Span:
        """How much is kept."""
        return Span(
            round(self.before_seconds * 1e9), round(self.after_seconds * 1e9), round(self.longest_seconds * 1e9)
        )


class _Allowance:
    """How many events of one stream may be recorded: so many at once, and so many a minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Take one, where there is one left."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * self._per_minute / 60.0, self._per_minute)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Recorder(Sink):
    """Records events.

    Parameters
    ----------
    table
        Its table of the configuration.
    context
        What it may know of the service.

    Attributes
    ----------
    path
        The folder, for :mod:`rtpverify.evidence.folder`.
    counts
        ``written`` (events recorded), ``dropped`` (found no room among those that wait), ``limited`` (too many of one
        stream), ``empty`` (none of their packets were there), ``failed`` (could not be written), ``removed`` (for the
        size of the folder).
    """

    def __init__(self, table: RecorderTable, context: SinkContext) -> None:
        super().__init__()
        self.path = table.path
        self._table = table
        self._log = context.log
        self._context = context
        self._span = table.span
        seconds = table.before_seconds + table.longest_seconds + table.after_seconds + TOLD_LATE_SECONDS
        self._ring = PacketHistory(seconds, table.memory_bytes)
        self._folder: EvidenceFolder | None = None
        self._maker = Maker()
        self._allowances: defaultdict[str, _Allowance] = defaultdict(lambda: _Allowance(table.max_per_minute))
        self._changed = threading.Condition()
        self._closing = False
        self._given_up = False
        """At the end: what is being made is left."""
        self._waiting: dict[str, Case] = {}
        self._recorded: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """What ``event.json`` says of events that still continued when they were recorded."""
        self._ended: dict[str, dict[str, Any]] = {}
        """Those that ended since."""
        self._at_work: Case | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        names = ("written", "dropped", "limited", "empty", "failed", "removed")
        self.counts.update(dict.fromkeys(names, 0))

    @property
    def waiting(self) -> int:
        """How many events wait to be recorded."""
        return len(self._waiting)

    @property
    def memory_bytes(self) -> int:
        """Memory that the packets take."""
        return self._ring.size_bytes

    @property
    def size_bytes(self) -> int | None:
        """Size of the folder, None before it could be read."""
        return self._folder.size_bytes if self._folder else None

    async def start(self) -> None:
        """Begin to record; a folder that cannot be made is tried again with each event."""
        self._thread.start()

    async def stop(self) -> None:
        """Record what waits, as far as its packets are there."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        with self._changed:
            self.counts["dropped"] += len(self._waiting)
            self._waiting.clear()
            self._given_up = True
        self._maker.close()

    def take(self, batch: PacketBatch) -> None:
        """Remember datagrams.

        Parameters
        ----------
        batch
            Datagrams in order of arrival; they are copied.
        """
        self._ring.put(batch)

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Note events.

        Parameters
        ----------
        told
            Events with their streams.
        """
        now_ns = time.time_ns()
        for item in self._table.chosen(told):
            if isinstance(item.stream, AwaitedStream):
                continue  # there is not one packet to keep
            if item.is_new:
                self._note(item, item.stream, now_ns)
            else:
                self._note_end(item)

    def _note(self, told: ReportedEvent, stream: Stream, now_ns: int) -> None:
        if not self._allowances[told.name].take():
            self.counts["limited"] += 1
        elif len(self._waiting) >= CAPACITY:
            self.counts["dropped"] += 1
        else:
            case = Case.of(stream, told.event, told.document, now_ns)
            with self._changed:
                self._waiting[told.event.id] = case
                self._changed.notify()

    def _note_end(self, told: ReportedEvent) -> None:
        """Take in how an event ended that waits, or was recorded while it continued."""
        with self._changed:
            case = self._waiting.get(told.event.id)
            if case is not None:
                case.renew(told.event, told.document)
                self._changed.notify()
            elif (description := self._recorded.pop(told.event.id, None)) is not None:
                self._ended[told.event.id] = description | {"event": told.document}
                self._changed.notify()
            elif self._at_work is not None and self._at_work.document["id"] == told.event.id:
                self._at_work.renew(told.event, told.document)

    # In the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._attempt(self._opened)
        while True:
            try:
                self._work()
                return
            except Exception as error:
                self._context.defects.take("outlet", "recorder", error)
            if self._closing:
                return
            time.sleep(AFTER_DEFECT_SECONDS)

    def _work(self) -> None:
        """Record what is reported, until the end."""
        while True:
            case, ended = self._next()
            for event_id, description in ended.items():
                self._attempt(lambda: self._renew(event_id, description))  # noqa: B023 - called at once
            if case is not None:
                self._attempt(lambda: self._record(case))  # noqa: B023 - called at once
            elif self._closing:
                return

    def _next(self) -> tuple[Case | None, dict[str, dict[str, Any]]]:
        """Wait for an event whose packets have arrived, or one that ended; at the end none is waited for."""
        with self._changed:
            while True:
                ended, self._ended = self._ended, {}
                first = min(self._waiting, key=lambda one: self._waiting[one].stop_ns(self._span), default=None)
                wait_seconds = None
                if first is not None:
                    due_ns = self._waiting[first].stop_ns(self._span) + SETTLE_NS
                    wait_seconds = (due_ns - time.time_ns()) / 1e9
                    if wait_seconds <= 0 or self._closing:
                        self._at_work = self._waiting.pop(first)
                        return self._at_work, ended
                if ended or self._closing:
                    return None, ended
                self._changed.wait(wait_seconds)

    def _attempt(self, work: Callable[[], object]) -> None:
        """Do something with the disk; where that fails, say so once. A mistake of ours costs that event, no more."""
        try:
            work()
        except Exception as error:
            if self._given_up:
                self.counts["dropped"] += 1
                return
            self.counts["failed"] += 1
            trouble = reason(error) if isinstance(error, OSError) else repr(error)
            if not isinstance(error, OSError):
                self._context.defects.take("outlet", "recorder", error)
            if trouble != self.trouble:
                self._log.error("evidence not written", folder=str(self.path), reason=trouble)
            self.trouble = trouble
        else:
            if self.trouble:
                self._log.info("evidence writable again", folder=str(self.path))
            self.trouble = None

    def _opened(self) -> EvidenceFolder:
        if self._folder is None:
            self._folder = EvidenceFolder(self.path, self._table.max_bytes)
        return self._folder

    def _record(self, case: Case) -> None:
        document = case.document
        kept = packets_of(case, self._ring.pieces(), self._span)
        if kept is None:
            self.counts["empty"] += 1
            return
        files = self._maker.files_of(case, kept)
        moment = document["time"] or rfc3339(case.start_ns) or ""
        self.counts["removed"] += self._opened().add(
            moment, document["stream"], document["kind"], document["id"], files
        )
        self.counts["written"] += 1
        if document["open"]:
            self._follow(case, json.loads(files[EVENT]))

    def _follow(self, case: Case, description: dict[str, Any]) -> None:
        """Be ready to add how an event ends that was recorded; it may have ended meanwhile."""
        event_id = case.document["id"]
        with self._changed:
            if not case.is_open:
                self._ended[event_id] = description | {"event": case.document}
                return
            self._recorded[event_id] = description
            while len(self._recorded) > REMEMBERED:
                self._recorded.popitem(last=False)

    def _renew(self, event_id: str, description: dict[str, Any]) -> None:
        self._opened().renew(event_id, render(description))
