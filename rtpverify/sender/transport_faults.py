"""Transport faults applied: which packets of a stream go out, when, and with which header.

A pure function of the packet's number: the same stream comes out however it is asked for. Time is counted in packet
times, so it knows no clock. The first packet is never touched, unless the stream is missing: the verifier counts from
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind
from rtpverify.sender.faults import ExpectedEvent, Fault
from rtpverify.sender.signal import uniform


@dataclass(frozen=True, slots=True)
class FirstHeader:
    """What the header of the first packet says."""

    ssrc: int
    payload_type: int
    sequence: int
    timestamp: int


@dataclass(slots=True)
class Transmissions:
    """Packets to send; arrays of shape (n,), dtype int64 unless said otherwise.

    Attributes
    ----------
    number
        Which packet of the stream, from 0: that is its audio.
    position
        When it goes out, in packet times, float64: after the packet of that number, before the next. Equal to
        ``number`` where nothing holds it up.
    last
        The last packet asked for, sent or not.
    """

    last: int

    number: NDArray[np.int64]
    position: NDArray[np.float64]
    ssrc: NDArray[np.int64]
    payload_type: NDArray[np.int64]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]


def _ends(fault: Fault) -> bool:
    """Return whether no packet goes out after a fault sets in."""
    return fault.kind == "ended" or (fault.kind == "missing" and "seconds" not in fault.values)


class TransportPlan:
    """What becomes of the packets of one stream.

    Parameters
    ----------
    faults
        Transport faults.
    identity
        The numbers of the first packet.
    packet_frames
        Frames of a packet.
    sample_rate_hz
        Frames per second.

    Raises
    ------
    ConfigurationError
        For a signal fault, or one that sets in before the second packet.
    """

    def __init__(
        self, faults: Sequence[Fault], identity: FirstHeader, *, packet_frames: int, sample_rate_hz: int
    ) -> None:
        self.faults = tuple(faults)
        self._identity = identity
        self._packet_frames = packet_frames
        self._sample_rate_hz = sample_rate_hz
        for fault in faults:
            if not fault.transport:
                raise ConfigurationError(f"{fault.place}: {fault.kind} is a signal fault and needs audio, not packets")
            if self._first(fault) < 1 and fault.kind != "missing":
                raise ConfigurationError(f"{fault.place}: at={fault.at_seconds:g} is not after the first packet")

    def transmissions(self, first: int, count: int) -> Transmissions:
        """Return what is sent of the packets ``first`` to ``first + count - 1``, copies after their originals.

        Parameters
        ----------
        first
            The first of them, from 0.
        count
            How many.

        Returns
        -------
        Transmissions
            What is sent, in order.
        """
        number = np.arange(first, first + count, dtype=np.int64)
        number = np.repeat(number, self._copies(number))
        again = np.zeros(len(number), np.bool_)
        again[1:] = number[1:] == number[:-1]
        position = number + 0.25 * again
        out = Transmissions(
            last=first + count - 1,
            number=number,
            position=position,
            ssrc=np.full(len(number), self._identity.ssrc, np.int64),
            payload_type=np.full(len(number), self._identity.payload_type, np.int64),
            sequence=self._identity.sequence + number,
            timestamp=self._identity.timestamp + number * self._packet_frames,
        )
        for fault in self.faults:
            self._delay(fault, out)
            self._rewrite(fault, out)
        out.sequence &= 0xFFFF
        out.timestamp &= 0xFFFFFFFF
        return out

    @property
    def end(self) -> int | None:
        """How many packets go out at most; None where nothing ends the stream."""
        ends = [self._first(fault) for fault in self.faults if _ends(fault)]
        return min(ends, default=None)

    def goodbyes(self) -> Iterator[tuple[int, int, bool]]:
        """Yield which packet's place a BYE takes, from which SSRC, and whether it goes to the port of packets.

        Yields
        ------
        tuple[int, int, bool]
            Packet, SSRC, and whether it goes to the port of packets.
        """
        for fault in self.faults:
            if fault.kind == "ended" and fault.values["bye"] != "no" and self._first(fault) == self.end:
                before = [other for other in self.faults if other.kind == "ssrc_change"]
                before = [other for other in before if self._first(other) <= self._first(fault)]
                ssrc = self._other_ssrc(max(before, key=self._first)) if before else self._identity.ssrc
                yield self._first(fault), ssrc, fault.values["bye"] == "mux"

    def expected(self, packets: int) -> list[ExpectedEvent]:
        """Return what a perfect verifier reports of a stream of so many packets.

        Frames are those of the audio: a ``timestamp_jump`` or ``restart`` does not move what comes after it.

        Parameters
        ----------
        packets
            How many packets are sent.

        Returns
        -------
        list[ExpectedEvent]
            In order of time.
        """
        sent = packets if self.end is None else min(packets, self.end)
        found = [
            expected
            for fault in self.faults
            for expected in self._expect(fault, packets if _ends(fault) and self._first(fault) == self.end else sent)
        ]
        return sorted(found, key=lambda item: item.start_frame)

    def _first(self, fault: Fault) -> int:
        """Return the number of the packet that carries the frame at which a fault sets in."""
        return fault.start_frame(self._sample_rate_hz) // self._packet_frames

    def _end(self, fault: Fault) -> int | None:
        end_frame = fault.end_frame(self._sample_rate_hz)
        return None if end_frame is None else -(-end_frame // self._packet_frames)

    def _packets(self, seconds: float) -> int:
        return max(1, round(seconds * self._sample_rate_hz / self._packet_frames))

    def _lost(self, fault: Fault, number: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which packets a loss takes, shape of ``number``, which must be consecutive."""
        first = self._first(fault)
        if "packets" in fault.values:
            lost: NDArray[np.bool_] = (number >= first) & (number < first + fault.values["packets"])
            return lost
        end = self._end(fault)
        draw = uniform(fault.values["seed"], int(number[0]), len(number), 1)[:, 0] + 0.5
        lost = (draw < fault.values["rate"]) & (number >= first)
        if end is not None:
            lost &= number < end
        return lost

    def _copies(self, number: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each packet is sent, shape of ``number``."""
        copies = np.ones(len(number), np.int64)
        for fault in self.faults:
            if fault.kind == "duplicate":
                first = self._first(fault)
                copies[(number >= first) & (number < first + fault.values["packets"])] += 1
        for fault in self.faults:
            if fault.kind == "loss":
                copies[self._lost(fault, number)] = 0
        if self.end is not None:
            copies[number >= self.end] = 0
        return copies

    def _delay(self, fault: Fault, out: Transmissions) -> None:
        first = self._first(fault)
        if fault.kind == "reorder":
            out.position[out.number == first] += fault.values["by"] + 0.5
        elif fault.kind == "late":
            out.position[out.number == first] += self._packets(fault.values["delay"]) + 0.5
        elif fault.kind == "stall":
            end = first + self._packets(fault.values["seconds"])
            held = (out.number >= first) & (out.number < end)
            # A packet late on its own account stays so.
            out.position[held] = np.maximum(out.position[held], end - 0.5)
        elif fault.kind == "missing" and "seconds" in fault.values:
            out.position += self._packets(fault.values["seconds"])

    def _rewrite(self, fault: Fault, out: Transmissions) -> None:
        after = out.number >= self._first(fault)
        if fault.kind == "timestamp_jump":
            out.timestamp[after] += fault.values["frames"]
        elif fault.kind == "timestamp_error":
            out.timestamp += self._deviation(fault, out.number)
        elif fault.kind == "ssrc_change":
            out.ssrc[after] = self._other_ssrc(fault)
        elif fault.kind == "payload_type_change":
            out.payload_type[after] = fault.values["to"]
        elif fault.kind == "restart":
            sequence, timestamp = np.random.default_rng(fault.values["seed"]).integers(1 << 16, 1 << 31, 2)
            out.sequence[after] += sequence
            out.timestamp[after] += timestamp

    def _deviation(self, fault: Fault, number: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how far the timestamp of each packet is off, shape of ``number``."""
        since, frames, values = number - self._first(fault), self._packet_frames, fault.values
        place, by, packets = since * frames, values["by"], values["packets"]
        if values["pattern"] == "scattered":
            first, last = (int(number[0]), int(number[-1])) if len(number) else (0, -1)
            draw = uniform(values["seed"], first, last - first + 1, 1)[number - first, 0] + 0.5
            off = np.floor(draw * (2 * by + 1)).astype(np.int64) - by
        else:
            written = {
                "every": place + by * (since % packets == 0),
                "shared": since // packets * packets * frames,
                "frozen": np.full(len(number), -frames),
                "backwards": -place,
                "rounded": place // by * by,
                "counting": since * values["step"],
            }
            off = written[values["pattern"]] - place
        end = self._end(fault)
        return np.where((since >= 0) & (number < (number + 1 if end is None else end)), off, 0)

    def _expect_timestamp_error(self, fault: Fault, packets: int) -> list[ExpectedEvent]:
        """Return one error from the first packet that is off to the last one."""
        first = self._first(fault)
        off = self._deviation(fault, np.arange(first, packets, dtype=np.int64))
        deviating = np.flatnonzero(off)
        if len(deviating) == 0:
            return []
        size = {
            "packets_deviating": len(deviating),
            "timestamp_deviation_frames": int(off[deviating[np.abs(off[deviating]).argmax()]]),
        }
        start, stop = int(deviating[0]), int(deviating[-1]) + 1
        frames = self._packet_frames
        return [ExpectedEvent(Kind.TIMESTAMP_ERROR, (first + start) * frames, (stop - start) * frames, size=size)]

    def _other_ssrc(self, fault: Fault) -> int:
        ssrc: int = fault.values.get("ssrc", self._identity.ssrc ^ 0x5A5A5A5A)
        return ssrc

    def _expect(self, fault: Fault, packets: int) -> list[ExpectedEvent]:
        if self._first(fault) >= packets:
            return []
        start_frame = self._first(fault) * self._packet_frames
        values = fault.values
        if fault.kind == "loss":
            return self._expect_gaps(fault, packets)
        if fault.kind == "timestamp_error":
            return self._expect_timestamp_error(fault, packets)
        if fault.kind == "duplicate":
            size = {"packets_counted": min(values["packets"], packets - self._first(fault))}
            return [ExpectedEvent(Kind.DUPLICATE, start_frame, size=size, counted_only=True)]
        if fault.kind == "reorder":
            return [ExpectedEvent(Kind.REORDER, start_frame, size={"packets_counted": 1}, counted_only=True)]
        if fault.kind == "late":
            return [
                ExpectedEvent(Kind.GAP, start_frame, self._packet_frames, size={"packets_lost": 1}),
                ExpectedEvent(Kind.LATE, start_frame, size={"packets_counted": 1}, counted_only=True),
            ]
        if fault.kind == "stall":
            return [ExpectedEvent(Kind.STALL, start_frame, self._packets(values["seconds"]) * self._packet_frames)]
        if fault.kind == "missing" and not _ends(fault):
            return []  # a sender that starts late is missing only to those who do not wait
        sizes: dict[str, dict[str, object]] = {
            "timestamp_jump": {"timestamp_jump_frames": values.get("frames")},
            "ssrc_change": {"to_ssrc": f"0x{self._other_ssrc(fault):08x}"},
            "payload_type_change": {"to_payload_type": values.get("to")},
        }
        return [ExpectedEvent(Kind(fault.kind), start_frame, size=sizes.get(fault.kind, {}))]

    def _expect_gaps(self, fault: Fault, packets: int) -> list[ExpectedEvent]:
        """Return a gap for each run of lost packets; a run at the very end cannot be seen."""
        first = self._first(fault)
        lost = self._lost(fault, np.arange(first, packets, dtype=np.int64))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]])))
        return [
            ExpectedEvent(
                Kind.GAP,
                (first + int(start)) * self._packet_frames,
                int(end - start) * self._packet_frames,
                size={"packets_lost": int(end - start)},
            )
            for start, end in edges.reshape(-1, 2)
            if end < len(lost)
        ]
