"""The truth about what was sent: the faults that a sender made, as the events of a verifier that misses nothing."""

from __future__ import annotations

from rtpverify.events import SIZES, Event
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
    stream
        Which of the sender's streams, from 0.
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
        if sender.started_ns is not None:
            event.time_ns = sender.started_ns + event.start_frame * 1_000_000_000 // rate_hz
        event.message = f"{event.kind.replace('_', ' ')} made by the sender: {size(event, rate_hz)}"
        event.name(f"0x{identity.ssrc:08x}@{sender.started_ns}")
        events.append(event)
    return events


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
