"""Streams with faults, sent and received by this host at the same time."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtpverify.commands.selftest.cases import Setting
from rtpverify.commands.selftest.outcome import NEAR_SECONDS
from rtpverify.engine.expectation import StreamSpec
from rtpverify.events import Event, Kind
from rtpverify.result.event_wording import counted
from rtpverify.result.event_wording import seconds as written_seconds
from rtpverify.sender.faults import ExpectedEvent, parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import LOCALHOST, Endpoint

if TYPE_CHECKING:
    from rtpverify.result import Result, StreamResult
    from rtpverify.sender.signal import SentSignal

_HELD_UP = 0.5
"""Part of the stall limit by which this host may send late before a stall is its own."""
_COUNTED = {Kind.DUPLICATE: "packets_duplicated", Kind.REORDER: "packets_reordered", Kind.LATE: "packets_late"}


@dataclass(frozen=True, slots=True)
class Wire:
    """How streams are sent; see :class:`rtpverify.commands.selftest.run.Bench`."""

    interface: str | None
    seconds: float
    packet_seconds: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class Received:
    """What was made in a stream, and what was found in it.

    Attributes
    ----------
    was_counted
        Whether what is expected to be counted only was.
    """

    expected: list[ExpectedEvent]
    events: list[Event]
    was_counted: bool


@dataclass(frozen=True, slots=True)
class Host:
    """What this host did to the test: sent packets so late that streams stalled, or lost received ones."""

    late_seconds: float = 0.0
    packets_dropped: int = 0

    def warnings(self) -> list[str]:
        """Return a line for each.

        Returns
        -------
        list[str]
            Sentences.
        """
        lines = []
        if self.late_seconds:
            late = written_seconds(self.late_seconds)
            lines.append(f"this host sent packets up to {late} late; stalls that it made itself do not count")
        if self.packets_dropped:
            lost = counted(self.packets_dropped, "packet")
            lines.append(f"this host lost {lost} after it had received them: it is too busy for this test")
        return lines

    def __or__(self, other: Host) -> Host:
        return Host(max(self.late_seconds, other.late_seconds), self.packets_dropped + other.packets_dropped)


def send_all(
    faults: Sequence[str | None], setting: Setting, signal: SentSignal, wire: Wire
) -> tuple[list[Received], Host]:
    """Send a stream for each fault, and verify all of them.

    Parameters
    ----------
    faults
        As ``send --fault`` takes them; None: a clean stream.
    setting
        Format and limits.
    signal
        What is sent.
    wire
        Where it is sent.

    Returns
    -------
    list of Received
        In order.
    Host
        What this host did to the test.

    Raises
    ------
    SourceError
        Where a socket cannot be opened, or nothing can be sent.
    """
    from rtpverify.live.loop import run

    endpoints = _endpoints(len(faults), wire.interface)
    streams = [
        StreamSettings(
            destination=endpoint,
            encoding=setting.encoding,
            signal=signal,
            packet_time_seconds=wire.packet_seconds,
            faults=[] if fault is None else [parse_fault(fault)],
            seed=wire.seed,
            ttl=1,
        )
        for endpoint, fault in zip(endpoints, faults, strict=True)
    ]
    with Sender(streams) as sender:
        result = run(_verify(sender, endpoints, setting, wire.seconds))
        expected = [sender.expected(number, wire.seconds) for number in range(len(streams))]
        late_seconds = sender.progress.max_late_seconds
    stall_seconds = setting.limits.max_stall_seconds
    is_late = stall_seconds is not None and late_seconds > _HELD_UP * stall_seconds
    received = []
    for endpoint, items in zip(endpoints, expected, strict=True):
        found = [stream for stream in result.streams if stream.destination == endpoint.destination]
        events = [event for stream in found for event in stream.events]
        if is_late:
            events = [event for event in events if event.kind is not Kind.STALL or is_one_of(event, items, setting)]
        received.append(Received(items, events, _was_counted(items, found)))
    return received, Host(late_seconds if is_late else 0.0, result.receive_buffer_dropped)


def is_one_of(stall: Event, made: Sequence[ExpectedEvent], setting: Setting) -> bool:
    """Return whether a stall is one that was made, and not the sending host's own.

    Parameters
    ----------
    stall
        What was reported.
    made
        What was made in this stream.
    setting
        Format of the stream.

    Returns
    -------
    bool
        Whether it is near one that was made.
    """
    near = NEAR_SECONDS * setting.encoding.sample_rate_hz
    return any(item.kind is Kind.STALL and abs(item.start_frame - stall.start_frame) <= near for item in made)


def _was_counted(expected: Sequence[ExpectedEvent], found: Sequence[StreamResult]) -> bool:
    """Return whether what is only counted was."""
    names = [_COUNTED[item.kind] for item in expected if item.counted_only]
    return all(any(getattr(stream.transport, name, 0) for stream in found) for name in names)


async def _verify(sender: Sender, endpoints: Sequence[Endpoint], setting: Setting, seconds: float) -> Result:
    """Send, and verify so much of it; the streams last for longer, so that none of them has ended."""
    from rtpverify.engine.verifier import Verifier
    from rtpverify.live.loop import run_live
    from rtpverify.live.preload import load_for
    from rtpverify.sources.open_receiver import open_receiver

    specs = [
        StreamSpec(
            name=f"{number}",
            destination=endpoint.destination,
            encoding=setting.encoding,
            reference=setting.reference,
            limits=setting.limits,
        )
        for number, endpoint in enumerate(endpoints)
    ]
    verifier = Verifier(specs)
    load_for([setting.reference])
    stop = asyncio.Event()

    def on_tick(_now_ns: int) -> None:
        if sender.progress.elapsed_seconds > seconds or sender.wait(0):
            stop.set()

    with open_receiver(endpoints) as receiver:
        sender.start()
        await run_live(verifier, receiver, stop=stop, on_tick=on_tick)
        return verifier.result("selftest", receiver.dropped)


def _endpoints(count: int, interface: str | None) -> list[Endpoint]:
    """Return places that nobody uses: ports of loopback, or multicast groups on an interface."""
    with ExitStack() as stack:
        address = LOCALHOST if interface is None else ""
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for item in sockets:
            item.bind((address, 0))
        ports = [item.getsockname()[1] for item in sockets]
    if interface is None:
        return [Endpoint(LOCALHOST, port) for port in ports]
    group = f"239.255.{secrets.randbelow(250)}"
    return [Endpoint(f"{group}.{number + 1}", port, interface=interface) for number, port in enumerate(ports)]
