"""The truth of a sender: every fault it made as an event, with the packets that a verifier reports."""

from hypothesis import given
from hypothesis import strategies as st

from rtpverify.events import GapSize
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sender.truth import truth
from rtpverify.sources.live.endpoint import Endpoint


def sent(*faults, seconds, sequence=65_500):
    """Return the truth of a sender that has sent for so long; nothing is sent."""
    settings = StreamSettings(
        Endpoint("127.0.0.1", 9), faults=[parse_fault(text) for text in faults], sequence=sequence, ssrc=1
    )
    with Sender([settings], duration_seconds=10.0) as sender:
        sender.frames_due = lambda _stream: round(seconds * 48000)
        return truth(sender)


def test_nothing_is_made_before_its_time():
    assert sent("slip:at=1,frames=48", "loss:at=0.5,packets=2", seconds=0.4) == []
    assert [str(event.kind) for event in sent("slip:at=1,frames=48", "loss:at=0.5,packets=2", seconds=0.6)] == ["gap"]


def test_a_stretch_is_as_long_as_it_was_sent():
    [half] = sent("dropout:at=1,duration=0.5", seconds=1.25)
    assert (half.duration_frames, half.open) == (12_000, True)
    [whole] = sent("dropout:at=1,duration=0.5", seconds=2)
    assert (whole.duration_frames, whole.open) == (24_000, False)
    assert half.id == whole.id


@given(packets=st.integers(1, 20), first=st.integers(1, 900), sequence=st.integers(0, 65_535))
def test_a_gap_names_the_packets_that_are_missing(packets, first, sequence):
    [gap] = sent(f"loss:at={first / 1000},packets={packets}", seconds=1, sequence=sequence)
    assert gap.packets == (sequence + first, sequence + first + packets - 1)
    assert gap.size == GapSize(packets_lost=packets)
    assert (gap.start_frame, gap.duration_frames) == (48 * first, 48 * packets)


def test_after_a_restart_no_packets_are_named():
    restart, slip = sent("restart:at=0.5", "slip:at=0.7,frames=48", seconds=1)
    assert restart.packets == (66_000, 66_000)
    assert slip.packets is None


def test_what_is_only_counted_is_no_fault():
    events = sent("duplicate:at=0.2,packets=3", "reorder:at=0.4", "late:at=0.6,delay=0.2", seconds=1)
    assert [(str(event.kind), event.fault) for event in events] == [
        ("duplicate", False),
        ("reorder", False),
        ("gap", True),
        ("late", False),
    ]
