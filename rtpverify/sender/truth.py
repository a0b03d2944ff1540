"""The truth about what was sent: the faults that a sender made, as the events of a verifier that misses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtpverify.events import SIZES, Event, Kind
from rtpverify.result.event_wording import size
from rtpverify.sender.faults import ExpectedEvent
from rtpverify.sender.rtp_sender import Sender


def truth(sender: Sender, stream: int = 0) -> list[Event]:
    """Return the events that a sender has made so far in one of its streams, in order of time.

    Frames count from the first one sent. An event is ``open`` where it lasted to the end of what was sent; ``time_ns``
    is when its first frame was due; ``packets`` the extended sequence numbers that carried it, or are missing. What a
    verifier counts without calling it a fault (copies, packets out of order) has ``fault`` false.

    Parameters
    ----------
    sender
        What sends it.
    stream
        Which of the sender's streams, from 0.

    Returns
    -------
    list[Event]
        In the form in which a verifier reports them.
    """
    settings, identity = sender.settings[stream], sender.identities[stream]
    rate_hz, sent = settings.encoding.sample_rate_hz, sender.frames_due(stream)
    restarts = [fault.start_frame(rate_hz) for fault in settings.faults if fault.kind == "restart"]
    numbered_until = min(restarts, default=sent)
    events = []
    for expected in sender.expected(stream, sent / rate_hz):
        event = _event(expected, sent)
        if event.start_frame <= numbered_until:
            event.packets = _packets(event, settings.packet_frames, identity.sequence)
        events.append(_named(event, sender, stream))
    return events


def _named(event: Event, sender: Sender, stream: int) -> Event:
    """Return an event with its time, message and id."""
    rate_hz, ssrc = sender.settings[stream].encoding.sample_rate_hz, sender.identities[stream].ssrc
    if sender.started_ns is not None:
        event.time_ns = sender.started_ns + event.start_frame * 1_000_000_000 // rate_hz
    event.message = f"{event.kind.replace('_', ' ')} made by the sender: {size(event, rate_hz)}"
    event.name(f"0x{ssrc:08x}@{sender.started_ns}")
    return event


def merged_truth(sender: Sender, legs: Sequence[int]) -> list[Event]:
    """Return the events of streams that carry the same packets (ST 2022-7), as a verifier reports them once merged.

    A packet is lost where no leg brings it; anything else counts where it happens on all of them.

    Parameters
    ----------
    sender
        What sends them.
    legs
        Which of the sender's streams.

    Returns
    -------
    list[Event]
        In the form in which a verifier reports them.
    """
    first, *others = [truth(sender, leg) for leg in legs]
    for events in others:
        found = {_what(event) for event in events}
        same = [event for event in first if event.kind is not Kind.GAP and _what(event) in found]
        first = sorted([*same, *_gaps_of_both(sender, legs[0], first, events)], key=lambda event: event.start_frame)
    return first


def _what(event: Event) -> tuple[object, ...]:
    """Return what makes events of two legs the same."""
    return event.kind, event.start_frame, event.duration_frames, event.channel, repr(event.size)


def _gaps_of_both(sender: Sender, leg: int, some: Sequence[Event], others: Sequence[Event]) -> Iterator[Event]:
    """Yield the gaps where both lists have one."""
    settings, identity = sender.settings[leg], sender.identities[leg]
    for one in (event for event in some if event.kind is Kind.GAP):
        for other in (event for event in others if event.kind is Kind.GAP):
            start = max(one.start_frame, other.start_frame)
            stop = min(one.start_frame + one.duration_frames, other.start_frame + other.duration_frames)
            if start < stop:
                expected = ExpectedEvent(
                    Kind.GAP, start, stop - start, size={"packets_lost": (stop - start) // settings.packet_frames}
                )
                event = _event(expected, sender.frames_due(leg))
                event.packets = _packets(event, settings.packet_frames, identity.sequence)
                yield _named(event, sender, leg)


def _event(expected: ExpectedEvent, sent: int) -> Event:
    """Return what is expected as an event of a stream of which so many frames were sent."""
    left = sent - expected.start_frame
    is_open = expected.duration_frames is None or expected.duration_frames > left
    return Event(
        SIZES[expected.kind](**dict(expected.size)),
        expected.start_frame,
        left if expected.duration_frames is None else min(expected.duration_frames, left),
        expected.channel,
        fault=not expected.counted_only,
        open=is_open,
    )


def _packets(event: Event, packet_frames: int, first_sequence: int) -> tuple[int, int]:
    """Return the first and last extended sequence number of an event."""
    last_frame = event.start_frame + max(event.duration_frames - 1, 0)
    return first_sequence + event.start_frame // packet_frames, first_sequence + last_frame // packet_frames
