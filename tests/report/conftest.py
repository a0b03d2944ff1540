"""Results as a verifier would return them, one of each verdict."""

import pytest

from rtpverify.events import Cause, ClickSize, Event, GapSize, Kind, SlipSize, StallSize, WordLengthSize
from rtpverify.result import Request, Result, Signal, StreamResult, Transport

_START_NS = 1_790_000_000_000_000_000


@pytest.fixture
def asked() -> Request:
    return Request(
        command="rtpverify check both.pcap --max-thd-n-db -60 --html 'a b.html'",
        reference="tone:997",
        encoding="L16/48000/2",
        profile="digital",
        limits={"max_thd_n_db": -60.0, "max_gain_db": None, "word_length_is_fault": False},
        version="1.2.3",
        time="2026-09-21T14:13:20.000000Z",
        host="bench-7",
    )


def _signal(channel: int, frequency_hz: float = 1000.00057) -> Signal:
    return Signal(
        channel=channel,
        frequency_hz=frequency_hz,
        level_dbfs=-20.0,
        dc_offset=-1.5e-5,
        residual_dbfs=-98.42,
        frequency_error_ppm=0.57,
        thd_db=-121.3,
        thd_plus_n_db=-78.42,
        effective_bits=16,
        blind_slip_frames=48,
    )


@pytest.fixture
def clean_stream() -> StreamResult:
    return StreamResult(
        sample_rate=48000,
        channels=2,
        encoding="L16",
        frames=482_976,
        ssrc=0x007C3D72,
        sender="192.0.2.7:5004",
        destination="239.1.2.3:5004",
        payload_type=98,
        packet_time_seconds=0.001,
        transport=Transport(10062, 10062, 0, 0, 0, 0, 21.3e-6, 24.6),
        signal=[_signal(1), _signal(2)],
        warnings=["1000 Hz at 48000 Hz cannot reveal slips of 48 frames and multiples; use 1283 Hz"],
    )


@pytest.fixture
def faulty_stream() -> StreamResult:
    events = [
        Event(
            SlipSize(slip_frames=48),
            70_000,
            message="the content jumped ahead by 48 frames while the timeline continued: the sender dropped them",
            packets=(67_000, 67_000),
            time_ns=_START_NS + 1_458_333_000,
        ),
        Event(
            GapSize(),
            48_000,
            96,
            message="2 packets lost",
            packets=(66_541, 66_542),
            time_ns=_START_NS + 1_000_000_000,
        ),
        Event(ClickSize(deviation=0.0312), 90_001, 1, channel=2, message="one frame <off> & wrong"),
        Event(StallSize(stall_seconds=0.25), 120_000, cause=Cause.UNKNOWN, open=True),
        Event(WordLengthSize(effective_bits=16), 0, channel=1, fault=False),
    ]
    return StreamResult(
        sample_rate=48000,
        channels=2,
        encoding="L24",
        frames=144_000,
        ssrc=0x5EED0001,
        sender="192.0.2.8:5004",
        destination="239.1.2.4:5004",
        payload_type=97,
        packet_time_seconds=0.001,
        transport=Transport(2998, 3000, 2, 0, 0, 0, 30e-6, None),
        signal=[_signal(1, 1283.0), Signal(channel=2)],
        events=events,
    )


@pytest.fixture
def passed(clean_stream: StreamResult) -> Result:
    return Result("clean.pcap", [clean_stream])


@pytest.fixture
def failed(clean_stream: StreamResult, faulty_stream: StreamResult) -> Result:
    return Result("both.pcap", [clean_stream, faulty_stream], {"rtcp": 12}, 3)


@pytest.fixture
def nothing() -> Result:
    return Result("rtp://239.1.2.3:5004")


@pytest.fixture
def many(faulty_stream: StreamResult) -> Result:
    """A slip after two hundred gaps."""
    gaps = [Event(GapSize(), 480 * index, 48, message="1 packet lost") for index in range(200)]
    slip = next(event for event in faulty_stream.events if event.kind is Kind.SLIP)
    slip.start_frame = 140_000
    faulty_stream.events = [*gaps, slip]
    return Result("many.pcap", [faulty_stream])
