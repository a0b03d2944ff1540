"""Paced RTP over UDP: many streams from one thread.

Packets are due on absolute deadlines of the monotonic clock, computed in whole numbers, so the sender keeps its rate
for ever; what a busy machine delays is sent as soon as it runs again. Where the audio repeats it is encoded once;
otherwise it is encoded a tenth of a second at a time. The kernel gathers header and payload by itself (``sendmmsg``),
so no payload is copied here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import heapq
import math
import secrets
import socket
import struct
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import RequestError, SourceError
from rtpverify.rtp.batch import HEADER_BYTES
from rtpverify.rtp.payload import Encoding, encode
from rtpverify.rtp.rtcp import write_goodbye
from rtpverify.sender.exact_timers import exact_timers
from rtpverify.sender.faults import ExpectedEvent, Fault
from rtpverify.sender.signal import Dither, SentSignal
from rtpverify.sender.signal_faults import FOREVER, DamagedSignal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sender.transport_faults import FirstHeader, Transmissions, TransportPlan
from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.sockets import interface_index, scope, sockaddr

DEFAULT_ENCODING = Encoding("L24", 48000, 2)
DEFAULT_PAYLOAD_TYPE = 97
DEFAULT_DESTINATION = Endpoint("127.0.0.1", 5004)

_MAX_DATAGRAM_BYTES = 65507
_MAX_MESSAGES = 1024
"""UIO_MAXIOV: the most messages one call takes."""
_MAX_LOOP_BYTES = 4 << 20
_BLOCK_SECONDS = 0.1
_PLANNED_PACKETS = 1024
_MIN_TICK_NS, _MAX_TICK_NS = 100_000, 4_000_000
LATE_EDGES_SECONDS = tuple(scale * 10.0**exponent for exponent in (-5, -4, -3, -2) for scale in (1, 2, 5))
"""What pacing is reported by."""
_SEND_BUFFER_BYTES = 4 << 20

_HEADER = np.dtype([("first", "u1"), ("second", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")])
"""The fixed RTP header (RFC 3550 section 5.1)."""
_VERSION = 0x80

USUAL_PACKET_SECONDS = (0.001, 1 / 3000, 0.00025, 0.000125)
"""Packet times of AES67 (section 7.2) and ST 2110-30, the longest first."""
MAX_PAYLOAD_BYTES = 1440
"""Longest payload that AES67 (section 6.3) allows; with its headers it fits an Ethernet frame."""

LastPacket = Literal["short", "drop"]
"""What becomes of the frames at the end of a signal that fill no packet: a shorter packet, or none."""

_Address = tuple[str, int] | tuple[str, int, int, int]
"""As Python's sockets take it."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream to send.

    Attributes
    ----------
    destination
        Where to; its ``sender`` is the address to send from, its ``interface`` the one multicast leaves by.
    signal
        The audio; None is the default tone. Its format must be the encoding's.
    packet_time_seconds
        Rounded to whole frames; None: the longest in ``USUAL_PACKET_SECONDS`` whose payload fits an Ethernet frame.
    last_packet
        Whether the last frames of a signal that ends are sent though they fill no packet.
    ssrc, sequence, timestamp
        Of the first packet; None draws them at random (RFC 3550 section 5.1).
    dither, noise_dbfs, seed
        Of the quantiser, see :class:`rtpverify.sender.signal_faults.DamagedSignal`.
    ttl
        Time to live of multicast packets.
    """

    destination: Endpoint = DEFAULT_DESTINATION
    encoding: Encoding = DEFAULT_ENCODING
    signal: SentSignal | None = None
    packet_time_seconds: float | None = None
    last_packet: LastPacket = "short"
    payload_type: int = DEFAULT_PAYLOAD_TYPE
    ssrc: int | None = None
    sequence: int | None = None
    timestamp: int | None = None
    faults: Sequence[Fault] = ()
    dither: Dither = "none"
    noise_dbfs: float | None = None
    seed: int = 0
    ttl: int = 16

    @property
    def packet_frames(self) -> int:
        """Frames of one packet."""
        if self.packet_time_seconds is not None:
            return round(self.packet_time_seconds * self.encoding.sample_rate_hz)
        most = MAX_PAYLOAD_BYTES // self.encoding.bytes_per_frame
        usual = (round(seconds * self.encoding.sample_rate_hz) for seconds in USUAL_PACKET_SECONDS)
        return next((frames for frames in usual if 1 <= frames <= most), max(1, most))

    @property
    def payload_bytes(self) -> int:
        """Bytes of one packet's payload."""
        return self.packet_frames * self.encoding.bytes_per_frame


class _Stream:
    """One stream: its audio as payload bytes, block after block, and what becomes of its packets."""

    def __init__(self, settings: StreamSettings) -> None:
        encoding = settings.encoding
        signal = settings.signal or ToneSignal(sample_rate_hz=encoding.sample_rate_hz, channels=encoding.channels)
        place = f"send {settings.destination}"
        if (signal.sample_rate_hz, signal.channels) != (encoding.sample_rate_hz, encoding.channels):
            raise RequestError(
                f"{place}: audio of {signal.sample_rate_hz} Hz and {signal.channels} channel(s) does not fit {encoding}"
            )
        self.packet_frames = settings.packet_frames
        self.payload_bytes = settings.payload_bytes
        if not 1 <= self.payload_bytes <= _MAX_DATAGRAM_BYTES - HEADER_BYTES:
            raise RequestError(
                f"{place}: packet time {self.packet_frames / encoding.sample_rate_hz:g} s makes payloads of "
                f"{self.payload_bytes} bytes"
            )
        for name, value, limit in (
            ("payload type", settings.payload_type, 127),
            ("ssrc", settings.ssrc, 0xFFFFFFFF),
            ("sequence", settings.sequence, 0xFFFF),
            ("timestamp", settings.timestamp, 0xFFFFFFFF),
        ):
            if value is not None and not 0 <= value <= limit:
                raise RequestError(f"{place}: {name} {value} is not from 0 to {limit}")
        self.settings = settings
        self.signal = DamagedSignal(
            signal,
            [fault for fault in settings.faults if not fault.transport],
            bits=encoding.bits,
            dither=settings.dither,
            noise_dbfs=settings.noise_dbfs,
            seed=settings.seed,
        )
        self.identity = FirstHeader(
            ssrc=secrets.randbits(32) if settings.ssrc is None else settings.ssrc,
            payload_type=settings.payload_type,
            sequence=secrets.randbits(16) if settings.sequence is None else settings.sequence,
            timestamp=secrets.randbits(32) if settings.timestamp is None else settings.timestamp,
        )
        self.plan = TransportPlan(
            [fault for fault in settings.faults if fault.transport],
            self.identity,
            packet_frames=self.packet_frames,
            sample_rate_hz=encoding.sample_rate_hz,
        )
        self.end_packet, self.last_frames = self._end(place)
        self.loop_packets = self._loop_packets()

    def _end(self, place: str) -> tuple[int, int]:
        """Return how many packets the signal makes, and the frames of the last one."""
        frames = self.signal.frames
        if frames is None:
            return FOREVER, self.packet_frames
        packets, rest = divmod(frames, self.packet_frames)
        if rest and self.settings.last_packet == "short":
            return packets + 1, rest
        if not packets:
            raise RequestError(
                f"{place}: {frames} frames do not fill a packet of {self.packet_frames}: nothing to send"
            )
        return packets, self.packet_frames

    def payloads(self, first: int, count: int) -> NDArray[np.uint8]:
        """Return the payloads of ``count`` packets, shape (count * payload_bytes,)."""
        samples = self.signal.read(first * self.packet_frames, count * self.packet_frames)
        return np.frombuffer(encode(self.settings.encoding, samples), np.uint8)

    def _loop_packets(self) -> int | None:
        """Return after how many packets the payloads repeat, or None where they don't, or too late to keep them all."""
        period_frames = self.signal.period_frames
        if period_frames is None:
            return None
        packets = math.lcm(period_frames, self.packet_frames) // self.packet_frames
        return packets if packets * self.payload_bytes <= _MAX_LOOP_BYTES else None


class _Group:
    """Streams with one packet clock and payload size, sent through one socket: one matrix of messages a tick.

    Rows are packets, columns streams; ``next`` is the number of the next packet of every stream.
    """

    def __init__(self, sock: socket.socket, streams: Sequence[_Stream]) -> None:
        self._socket = sock
        self._streams = streams
        self._rate_hz = streams[0].settings.encoding.sample_rate_hz
        self._packet_frames = streams[0].packet_frames
        self._payload_bytes = streams[0].payload_bytes
        self._goodbyes = [list(stream.plan.goodbyes()) for stream in streams]
        self._faulty = [column for column, stream in enumerate(streams) if stream.plan.faults]
        self._plans: dict[int, Transmissions] = {}
        self._end = np.array([stream.end_packet for stream in streams], np.int64)
        self._short = self._end - 1
        """The last packet of each stream, which may be shorter than the others."""
        self._short_bytes = np.array(
            [stream.last_frames * stream.settings.encoding.bytes_per_frame for stream in streams], np.int64
        )
        self.stop_after(FOREVER)
        self.next = 0
        self.sent = 0
        self.refused = 0
        self._waiting: list[tuple[float, int, bytes, _Address]] = []
        """What goes out later: when, in packet times; a number that keeps order; the datagram, and where it goes."""
        self._waited = 0

        columns = len(streams)
        self._block_packets = max(1, round(_BLOCK_SECONDS * self._rate_hz / self._packet_frames))
        self._blocks: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)] * columns
        self._block_address = np.zeros(columns, np.int64)
        self._block_first = np.zeros(columns, np.int64)
        self._block_length = np.ones(columns, np.int64)
        self._block_end = np.zeros(columns, np.int64)
        self._first_block_end = 0

        self._rows = max(1, _MAX_MESSAGES // columns)
        self._sequence = np.array([stream.identity.sequence for stream in streams], np.int64)
        self._timestamp = np.array([stream.identity.timestamp for stream in streams], np.int64)
        self._headers = np.zeros((self._rows, columns), _HEADER)
        self._headers["first"] = _VERSION
        self._headers["second"] = [stream.identity.payload_type for stream in streams]
        self._headers["ssrc"] = [stream.identity.ssrc for stream in streams]
        self._columns = np.tile(np.arange(columns), self._rows)
        self._addresses = [socket_address(stream.settings.destination) for stream in streams]
        self._rtcp_addresses = [socket_address(stream.settings.destination.with_rtcp().parts[-1]) for stream in streams]
        names = [_name(stream.settings.destination) for stream in streams]
        self._names = np.array([list(name) for name in names], np.uint8)
        self._messages, self._buffers = mmsg.messages(self._rows * columns, 2)
        header = self._messages["header"]
        header["name"] = np.tile(mmsg.addresses(self._names), self._rows)
        header["name_length"] = self._names.shape[1]
        self._buffers["base"][:, 0] = mmsg.addresses(self._headers.reshape(-1))
        self._buffers["length"] = [HEADER_BYTES, self._payload_bytes]

    @property
    def done(self) -> bool:
        """Whether every stream has ended and nothing waits."""
        return self.next >= self._last_end and not self._waiting

    @property
    def destination(self) -> str:
        """Where the packets go, the first stream's standing for all."""
        return self._streams[0].settings.destination.destination

    @property
    def packet_seconds(self) -> float:
        """The packet time."""
        return self._packet_frames / self._rate_hz

    def sends(self, stream: _Stream) -> bool:
        """Return whether a stream is one of this group."""
        return stream in self._streams

    def frames_due(self, stream: _Stream) -> int:
        """Return how many frames of a stream have had their turn so far."""
        packets = min(self.next, int(self._end[self._streams.index(stream)]))
        frames = packets * self._packet_frames
        return frames if stream.signal.frames is None else min(frames, stream.signal.frames)

    def stop_after(self, packets: int) -> None:
        """End every stream after so many packets, if not before."""
        self._end = np.minimum(self._end, packets)
        self._first_end, self._last_end = int(self._end.min()), int(self._end.max())

    @property
    def due_ns(self) -> int:
        """When the next packet is due, in ns since the start: the next one of the streams, or one that was held up."""
        if self.next < self._last_end:
            return -(-self.next * self._packet_frames * 1_000_000_000 // self._rate_hz)
        return math.ceil(self._waiting[0][0] * self._packet_frames * 1e9 / self._rate_hz) + 1 if self._waiting else 0

    def prepare(self) -> None:
        """Encode the first blocks, so that the first packets are on time."""
        if self.next >= self._first_block_end:
            self._encode()

    def send_due(self, elapsed_ns: int) -> None:
        """Send every packet due at a time since the start."""
        due = min(elapsed_ns * self._rate_hz // (self._packet_frames * 1_000_000_000) + 1, self._last_end)
        while self.next < due:
            if self.next >= self._first_block_end:
                self._encode()
            rows = min(due - self.next, self._rows, self._first_block_end - self.next)
            if self._faulty:
                # What is held up goes out between two packets.
                rows = 1
                self._send_waiting(self.next)
            self._send_rows(rows)
            self.next += rows
        if self.next >= self._last_end:
            self._send_waiting(elapsed_ns * self._rate_hz / (self._packet_frames * 1e9))

    def _encode(self) -> None:
        """Renew the blocks that are used up. The first ones differ in length, so that not all end in the same tick."""
        for column in np.flatnonzero(self._block_end <= self.next).tolist():
            stream = self._streams[column]
            first, count, end = 0, stream.loop_packets, FOREVER
            if count is None:
                first = self.next
                count = self._block_packets if first else 1 + column % self._block_packets
                end = first + count
            block = stream.payloads(first, count)
            self._blocks[column] = block
            self._block_address[column] = block.ctypes.data
            self._block_first[column], self._block_length[column], self._block_end[column] = first, count, end
        self._first_block_end = int(self._block_end.min())

    def _send_rows(self, rows: int) -> None:
        """Send the next ``rows`` packets of every stream."""
        number = np.arange(self.next, self.next + rows, dtype=np.int64)[:, None]
        headers = self._headers[:rows]
        headers["sequence"] = (self._sequence + number) & 0xFFFF
        headers["timestamp"] = (self._timestamp + number * self._packet_frames) & 0xFFFFFFFF
        place = (number - self._block_first) % self._block_length
        count = rows * len(self._streams)
        payload = self._block_address + place * self._payload_bytes
        self._buffers["base"][:count, 1] = payload.reshape(-1)
        if self.next + rows >= self._first_end:
            length = np.where(number == self._short, self._short_bytes, self._payload_bytes)
            self._buffers["length"][:count, 1] = length.reshape(-1)
        if not self._faulty and self.next + rows <= self._first_end:
            self._hand_over(slice(0, count))
            return
        keep = number < self._end
        for column in self._faulty:
            keep[0, column] &= self._disturb(column, int(payload[0, column]))
        self._hand_over(np.flatnonzero(keep))

    def _disturb(self, column: int, payload_address: int) -> bool:
        """Apply the transport faults of a stream to its next packet; return whether it goes out now."""
        if self.next >= self._end[column]:
            return False
        out = self._plans.get(column)
        if out is None or self.next > out.last:
            out = self._plans[column] = self._streams[column].plan.transmissions(self.next, _PLANNED_PACKETS)
        prompt = False
        header = self._headers[0, column : column + 1]
        for k in range(*np.searchsorted(out.number, [self.next, self.next + 1])):
            header["second"] = out.payload_type[k]
            header["sequence"] = out.sequence[k]
            header["timestamp"] = out.timestamp[k]
            header["ssrc"] = out.ssrc[k]
            if out.position[k] == self.next:
                prompt = True
                continue
            payload = ctypes.string_at(payload_address, int(self._buffers["length"][column, 1]))
            self._hold(float(out.position[k]), header.tobytes() + payload, self._addresses[column])
        for number, ssrc, mux in self._goodbyes[column]:
            if number == self.next:
                address = self._addresses[column] if mux else self._rtcp_addresses[column]
                self._hold(float(number), write_goodbye(ssrc, f"rtpverify-{ssrc:08x}"), address)
        return prompt

    def _hold(self, position: float, datagram: bytes, address: _Address) -> None:
        """Send a datagram later."""
        heapq.heappush(self._waiting, (position, self._waited, datagram, address))
        self._waited += 1

    def _send_waiting(self, position: float) -> None:
        """Send what was held up until before ``position``."""
        while self._waiting and self._waiting[0][0] < position:
            _, _, datagram, address = heapq.heappop(self._waiting)
            self._socket.sendto(datagram, address)
            self.sent += 1

    def _hand_over(self, which: slice | NDArray[np.int64]) -> None:
        """Give messages to the kernel; a full queue of the interface loses one, anything else ends the sending."""
        messages = self._messages[which]
        if not mmsg.available:
            for buffers, column in zip(self._buffers[which], self._columns[which], strict=True):
                datagram = b"".join(ctypes.string_at(int(part["base"]), int(part["length"])) for part in buffers)
                self._socket.sendto(datagram, self._addresses[column])
                self.sent += 1
            return
        done = 0
        while done < len(messages):
            address = messages.ctypes.data + done * mmsg.MESSAGE.itemsize
            try:
                count = mmsg.send(self._socket.fileno(), address, min(len(messages) - done, _MAX_MESSAGES))
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.refused += 1
                done += 1
                continue
            self.sent += count
            done += count


@dataclass(slots=True)
class Progress:
    """How far the sending is.

    Attributes
    ----------
    packets_sent
        Of all streams, copies included.
    packets_refused
        Packets this host's network interface had no room for.
    max_late_seconds
        By how much the latest packet missed its time.
    """

    elapsed_seconds: float = 0.0
    packets_sent: int = 0
    packets_refused: int = 0
    max_late_seconds: float = 0.0
    late: list[int] = field(default_factory=lambda: [0] * (len(LATE_EDGES_SECONDS) + 1))
    """How often packets went to the kernel at most so late: up to each of :data:`LATE_EDGES_SECONDS`, and later."""

    def add_late(self, seconds: float) -> None:
        """Take in by how much the packets that were sent together missed their time.

        Parameters
        ----------
        seconds
            How late they were sent.
        """
        self.late[bisect_left(LATE_EDGES_SECONDS, seconds)] += 1
        self.max_late_seconds = max(self.max_late_seconds, seconds)

    def late_seconds(self, part: float) -> float:
        """Return a bound on how late this part of all packets was, such as 0.99.

        Parameters
        ----------
        part
            From 0 to 1.

        Returns
        -------
        float
            In seconds.
        """
        wanted, seen = part * sum(self.late), 0
        for edge, count in zip(LATE_EDGES_SECONDS, self.late, strict=False):
            seen += count
            if seen >= wanted:
                return min(edge, self.max_late_seconds)
        return self.max_late_seconds


class Sender:
    """Sends streams in step, in a thread of its own (:meth:`start`, :meth:`stop`) or in the caller's (:meth:`run`).

    Parameters
    ----------
    streams
        What is sent.
    duration_seconds
        None sends until stopped, or until every signal is over.

    Attributes
    ----------
    progress
        Kept up to date while it runs.
    started_ns
        When it began to send, in ns since the Unix epoch (UTC); None before.

    Raises
    ------
    RequestError
        For settings that fit no stream, an address that cannot be sent from, an unknown interface.
    """

    def __init__(self, streams: Sequence[StreamSettings], *, duration_seconds: float | None = None) -> None:
        self.progress = Progress()
        self.started_ns: int | None = None
        self._streams = [_Stream(settings) for settings in streams]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._sockets: dict[tuple[bool, str | None, str | None, int], socket.socket] = {}
        groups: dict[tuple[int, int, int, int], list[_Stream]] = {}
        try:
            for stream in self._streams:
                sock = self._socket(stream.settings)
                key = (
                    sock.fileno(),
                    stream.settings.encoding.sample_rate_hz,
                    stream.packet_frames,
                    stream.payload_bytes,
                )
                groups.setdefault(key, []).append(stream)
        except BaseException:
            self._close()
            raise
        by_descriptor = {sock.fileno(): sock for sock in self._sockets.values()}
        self._groups = [_Group(by_descriptor[key[0]], members) for key, members in groups.items()]
        for group in self._groups:
            if duration_seconds is not None:
                group.stop_after(round(duration_seconds / group.packet_seconds))

    @property
    def identities(self) -> list[FirstHeader]:
        """SSRC, payload type, first sequence number and timestamp of each stream."""
        return [stream.identity for stream in self._streams]

    @property
    def settings(self) -> list[StreamSettings]:
        """What each stream was asked to be."""
        return [stream.settings for stream in self._streams]

    def frames_due(self, stream: int) -> int:
        """Return how many frames of a stream have had their turn so far, sent or lost on purpose.

        Parameters
        ----------
        stream
            Which stream, from 0.

        Returns
        -------
        int
            Frames.
        """
        item = self._streams[stream]
        return next(group.frames_due(item) for group in self._groups if group.sends(item))

    def send_rtcp(self, stream: int, datagram: bytes) -> None:
        """Send a datagram to the port after that of a stream's packets; where nobody listens, it is lost.

        Parameters
        ----------
        stream
            Which stream, from 0.
        datagram
            A compound packet.
        """
        settings = self._streams[stream].settings
        with contextlib.suppress(OSError):
            self._socket(settings).sendto(datagram, socket_address(settings.destination.with_rtcp().parts[-1]))

    def expected(self, stream: int, duration_seconds: float) -> list[ExpectedEvent]:
        """Return what a perfect verifier reports of a stream that was sent for so long, in order of time.

        Parameters
        ----------
        stream
            Which stream, from 0.
        duration_seconds
            For how long it was sent.

        Returns
        -------
        list[ExpectedEvent]
            In order of time.
        """
        item = self._streams[stream]
        frames = round(duration_seconds * item.settings.encoding.sample_rate_hz)
        transport = item.plan.expected(frames // item.packet_frames)
        if item.plan.end is not None:
            frames = min(frames, item.plan.end * item.packet_frames)
        signal = [expected for expected in item.signal.expected if expected.start_frame < frames]
        return sorted([*signal, *transport], key=lambda expected: expected.start_frame)

    def start(self) -> None:
        """Send from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run_thread, name="rtpverify-sender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending and close the sockets.

        Raises
        ------
        SourceError
            Where sending had failed.
        """
        self._stop.set()
        self.wait()
        self._close()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the end of what is sent.

        Parameters
        ----------
        timeout_seconds
            How long to wait at most; None: for as long as it takes.

        Returns
        -------
        bool
            Whether it came.

        Raises
        ------
        SourceError
            Where sending failed.
        """
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                return False
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def run(self, on_progress: Callable[[Progress], None] | None = None, every_seconds: float = 1.0) -> Progress:
        """Send to the end; call ``on_progress`` now and then.

        Parameters
        ----------
        on_progress
            Takes how far it is.
        every_seconds
            How often that is.

        Returns
        -------
        Progress
            How far it came.

        Raises
        ------
        SourceError
            Where a packet cannot be sent, or the audio cannot be read; the message names destination or file.
        """
        for group in self._groups:
            group.prepare()
        with exact_timers():
            self._run(on_progress, round(every_seconds * 1e9))
        return self.progress

    def _run(self, on_progress: Callable[[Progress], None] | None, every_ns: int) -> None:
        """Sleep until packets are due, and send them, to the end."""
        start_ns, self.started_ns = time.monotonic_ns(), time.time_ns()
        due_ns = deadline_ns = report_ns = start_ns
        while not self._stop.is_set():
            now_ns = time.monotonic_ns()
            has_due = any(group.due_ns <= now_ns - start_ns for group in self._groups if not group.done)
            self._send_due(now_ns - start_ns)
            self._account(now_ns - start_ns)
            if has_due:
                self.progress.add_late((time.monotonic_ns() - due_ns) / 1e9)
            if on_progress is not None and now_ns >= report_ns:
                on_progress(self.progress)
                report_ns += every_ns
            if all(group.done for group in self._groups):
                return
            now_ns = time.monotonic_ns()
            due_ns = start_ns + min(group.due_ns for group in self._groups if not group.done)
            deadline_ns = min(max(due_ns, deadline_ns + _MIN_TICK_NS), now_ns + _MAX_TICK_NS)
            time.sleep(max(0, deadline_ns - now_ns) / 1e9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run_thread(self) -> None:
        try:
            self.run()
        except RequestError as error:
            self._error = error

    def _send_due(self, elapsed_ns: int) -> None:
        for group in self._groups:
            try:
                group.send_due(elapsed_ns)
            except OSError as error:
                raise SourceError(f"{group.destination}: cannot send: {error.strerror}") from error

    def _account(self, elapsed_ns: int) -> None:
        self.progress.elapsed_seconds = elapsed_ns / 1e9
        self.progress.packets_sent = sum(group.sent for group in self._groups)
        self.progress.packets_refused = sum(group.refused for group in self._groups)

    def _socket(self, settings: StreamSettings) -> socket.socket:
        """Return the socket that streams with these properties share."""
        destination = settings.destination
        key = (destination.is_ipv6, destination.sender, destination.interface, settings.ttl)
        if key not in self._sockets:
            self._sockets[key] = open_socket(destination, settings.ttl)
        return self._sockets[key]

    def _close(self) -> None:
        for sock in self._sockets.values():
            sock.close()


def _name(destination: Endpoint) -> bytes:
    """Return the destination as the kernel takes it."""
    return sockaddr(destination.address, destination.port, _index(destination))


def socket_address(destination: Endpoint) -> _Address:
    """Return a destination as Python's sockets take it.

    Parameters
    ----------
    destination
        Address, port and interface.

    Returns
    -------
    _Address
        For IPv6 with flow label and scope.
    """
    if not destination.is_ipv6:
        return destination.address, destination.port
    return destination.address, destination.port, 0, scope(destination.address, _index(destination))


def _index(destination: Endpoint) -> int:
    return 0 if destination.interface is None else interface_index(destination.interface)


def open_socket(destination: Endpoint, ttl: int) -> socket.socket:
    """Open a socket to send from.

    Parameters
    ----------
    destination
        Address, port and interface.
    ttl
        Time to live of multicast packets.

    Returns
    -------
    socket.socket
        A UDP socket.

    Raises
    ------
    SourceError
        Where the address or the interface is not there.
    """
    sock = socket.socket(socket.AF_INET6 if destination.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        index = _index(destination)
        if destination.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            if index:
                request = struct.pack("@4s4si", bytes(4), bytes(4), index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        if destination.sender is not None:
            sock.bind((destination.sender, 0))
    except OSError as error:
        sock.close()
        sender = "" if destination.sender is None else f" from {destination.sender}"
        raise SourceError(f"{destination.destination}: cannot send{sender}: {error.strerror or error}") from error
    return sock


def send(
    streams: Sequence[StreamSettings],
    duration_seconds: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Send streams and return when they are over; see :class:`Sender` for the errors.

    Parameters
    ----------
    streams
        What is sent.
    duration_seconds
        None: until every signal is over.
    on_progress
        Takes how far it is, once a second.

    Returns
    -------
    Progress
        How far it came.
    """
    with Sender(streams, duration_seconds=duration_seconds) as sender:
        return sender.run(on_progress)
