import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.transport_faults import FirstHeader, TransportPlan

IDENTITY = FirstHeader(ssrc=0x11223344, payload_type=97, sequence=65530, timestamp=0xFFFFFF00)


def plan(*faults):
    """A stream of 1 ms packets of 48 frames."""
    return TransportPlan([parse_fault(fault) for fault in faults], IDENTITY, packet_frames=48, sample_rate_hz=48000)


def order(item, count):
    """The numbers of the packets in the order in which they go out."""
    out = item.transmissions(0, count)
    return out.number[np.argsort(out.position, kind="stable")].tolist()


def test_untouched_packets_count_up_and_wrap():
    out = plan().transmissions(0, 10)
    assert out.sequence.tolist() == [(65530 + k) % 65536 for k in range(10)]
    assert out.timestamp.tolist() == [(0xFFFFFF00 + 48 * k) % 2**32 for k in range(10)]
    assert (out.position == out.number).all()
    assert set(out.ssrc) == {0x11223344}


def test_loss_of_a_run():
    item = plan("loss:at=0.003,packets=2")
    assert order(item, 8) == [0, 1, 2, 5, 6, 7]
    (gap,) = item.expected(8)
    assert (gap.kind, gap.start_frame, gap.duration_frames, gap.size) == (Kind.GAP, 144, 96, {"packets_lost": 2})
    assert item.expected(5) == []  # nothing comes after it, so nobody can tell


def test_an_end_is_the_last_that_is_sent_or_told():
    item = plan("ended:at=0.004", "loss:at=0.002,packets=1", "loss:at=0.006,packets=1", "ssrc_change:at=0.005")
    assert order(item, 8) == [0, 1, 3]
    assert [(expected.kind, expected.start_frame) for expected in item.expected(8)] == [
        (Kind.GAP, 96),
        (Kind.ENDED, 192),
    ]
    assert item.expected(4) == plan("loss:at=0.002,packets=1").expected(4)
    assert list(item.goodbyes()) == []


def test_a_goodbye_takes_the_place_of_the_first_packet_that_is_not_sent():
    assert list(plan("ended:at=0.004,bye=yes").goodbyes()) == [(4, IDENTITY.ssrc, False)]
    later = plan("ended:at=0.004,bye=mux", "ssrc_change:at=0.002,ssrc=7", "ssrc_change:at=0.006,ssrc=8")
    assert list(later.goodbyes()) == [(4, 7, True)]
    assert list(plan("ended:at=0.004,bye=yes", "ended:at=0.002").goodbyes()) == []


def test_a_missing_stream_sends_nothing_or_starts_late():
    never = plan("missing", "loss:at=0.002,packets=1")
    assert order(never, 8) == []
    [expected] = never.expected(8)
    assert (expected.kind, expected.start_frame) == (Kind.MISSING, 0)
    late = plan("missing:seconds=0.005")
    out = late.transmissions(0, 8)
    assert (out.position == out.number + 5).all()
    assert late.expected(8) == []


def test_random_loss_is_what_was_announced():
    item = plan("loss:at=0.1,rate=0.05,seed=4,duration=2")
    sent = set(order(item, 3000))
    lost = [k for k in range(3000) if k not in sent]
    assert 60 < len(lost) < 140
    assert all(100 <= k < 2100 for k in lost)
    told = [
        number
        for gap in item.expected(3000)
        for number in range(gap.start_frame // 48, (gap.start_frame + gap.duration_frames) // 48)
    ]
    assert told == lost
    assert sum(gap.size["packets_lost"] for gap in item.expected(3000)) == len(lost)


def test_copies_reordered_and_late_packets():
    assert order(plan("duplicate:at=0.002,packets=2"), 5) == [0, 1, 2, 2, 3, 3, 4]
    assert order(plan("reorder:at=0.002,by=3"), 8) == [0, 1, 3, 4, 5, 2, 6, 7]
    late = plan("late:at=0.002,delay=0.004")
    assert order(late, 8) == [0, 1, 3, 4, 5, 6, 2, 7]
    assert [(item.kind, item.counted_only) for item in late.expected(8)] == [(Kind.GAP, False), (Kind.LATE, True)]


def test_stall_holds_packets_back_in_order():
    out = plan("stall:at=0.002,seconds=0.004").transmissions(0, 8)
    assert out.position.tolist() == [0, 1, 5.5, 5.5, 5.5, 5.5, 6, 7]
    (stall,) = plan("stall:at=0.002,seconds=0.004").expected(8)
    assert (stall.kind, stall.start_frame, stall.duration_frames) == (Kind.STALL, 96, 192)


def test_headers_change():
    jump = plan("timestamp_jump:at=0.002,frames=-100").transmissions(0, 4)
    assert np.diff(jump.timestamp).tolist() == [48, -52, 48]
    ssrc = plan("ssrc_change:at=0.002,ssrc=0xabcdef01").transmissions(0, 4)
    assert ssrc.ssrc.tolist() == [0x11223344] * 2 + [0xABCDEF01] * 2
    other = plan("payload_type_change:at=0.002,to=98").transmissions(0, 4)
    assert other.payload_type.tolist() == [97, 97, 98, 98]
    restart = plan("restart:at=0.002").transmissions(0, 4)
    assert (restart.sequence[2] - restart.sequence[1]) % 65536 != 1
    assert np.diff(restart.sequence % 65536)[2] == 1
    assert [item.expected(4)[0].kind for item in (plan("restart:at=0.002"), plan("ssrc_change:at=0.002"))] == [
        Kind.RESTART,
        Kind.SSRC_CHANGE,
    ]


@pytest.mark.parametrize(
    ("fault", "written"),
    [
        ("pattern=every,by=3,packets=2", [0, 48, 99, 144, 195, 240, 288]),
        ("pattern=shared,packets=3", [0, 48, 96, 96, 96, 240, 288]),
        ("pattern=frozen", [0, 48, 48, 48, 48, 48, 288]),
        ("pattern=backwards", [0, 48, 96, 48, 0, -48, 288]),
        ("pattern=rounded,by=40", [0, 48, 96, 136, 176, 216, 288]),
        ("pattern=counting,step=1", [0, 48, 96, 97, 98, 99, 288]),
    ],
)
def test_timestamps_that_are_wrong_for_four_packets(fault, written):
    item = plan(f"timestamp_error:at=0.002,duration=0.004,{fault}")
    out = item.transmissions(0, 7)
    assert ((out.timestamp - IDENTITY.timestamp + 2**31) % 2**32 - 2**31).tolist() == written
    off = [place - 48 * k for k, place in enumerate(written)]
    deviating = [k for k, frames in enumerate(off) if frames]
    [error] = item.expected(7)
    assert (error.kind, error.start_frame) == (Kind.TIMESTAMP_ERROR, 48 * deviating[0])
    assert error.duration_frames == 48 * (deviating[-1] + 1 - deviating[0])
    assert error.size == {"packets_deviating": len(deviating), "timestamp_deviation_frames": max(off, key=abs)}
    assert item.expected(2) == []


def test_scattered_timestamps():
    item = plan("timestamp_error:at=0.01,by=3,seed=5")
    out = item.transmissions(0, 2000)
    off = (out.timestamp - IDENTITY.timestamp - 48 * out.number + 2**31) % 2**32 - 2**31
    assert not off[:10].any()
    assert set(off.tolist()) == set(range(-3, 4))
    [error] = item.expected(2000)
    assert error.size["packets_deviating"] == np.count_nonzero(off)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=10))
@example(sizes=[1] * 400)  # some hold one packet, which is lost
def test_any_way_of_cutting_gives_the_same_packets(sizes):
    item = plan(
        "loss:at=0.05,rate=0.1",
        "duplicate:at=0.1,packets=30",
        "stall:at=0.2,seconds=0.1",
        "late:at=0.25,delay=0.2",
        "restart:at=0.3",
        "timestamp_error:at=0.32,by=7,duration=0.05",
        "ssrc_change:at=0.4",
    )
    whole = item.transmissions(0, sum(sizes))
    first, parts = 0, []
    for size in sizes:
        parts.append(item.transmissions(first, size))
        first += size
    for name in ("number", "position", "ssrc", "payload_type", "sequence", "timestamp"):
        assert (np.concatenate([getattr(part, name) for part in parts]) == getattr(whole, name)).all()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("loss:at=0,packets=1", "at=0 is not after the first packet"),
        ("slip:at=1,frames=3", "is a signal fault and needs audio"),
    ],
)
def test_a_fault_that_does_not_fit_is_told(fault, told):
    with pytest.raises(ConfigurationError, match=told):
        plan(fault)
