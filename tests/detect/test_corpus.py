"""Every kind of fault, of random size in random streams: found, named, located and told once.

``make corpus`` draws many more, others each time; a failure prints the case, which can be given to
:class:`corpus.Case` as it stands.
"""

import os
from dataclasses import replace

import pytest

from rtpverify.events import DropoutSize, Kind
from tests.helpers import corpus
from tests.helpers.corpus import Case, complaints, draw, draw_stream
from tests.helpers.seeds import generator

PER_KIND = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))
"""Random cases of each kind."""


def judge(case, **fixed):
    """Fail with everything that is wrong with a case."""
    case = replace(case, **fixed)
    wrong = complaints(case, case.run())
    assert not wrong, f"{case}:\n  " + "\n  ".join(wrong)


@pytest.fixture
def rng(request):
    return generator(request.node.name)


@pytest.mark.parametrize("kind", corpus.KINDS)
def test_random_faults(rng, kind):
    for _ in range(PER_KIND):
        judge(draw(rng, kind))


EVERY_KIND = [
    "slip:at={t},frames=48",
    "slip:at={t},frames=-480",
    "dropout:at={t},frames=48",
    "dropout:at={t},frames=480,mode=hold",
    "repeat:at={t},frames=480",
    "click:at={t},size=0.05",
    "click:at={t},bit=8",
]
"""Faults of an instant, which can stand anywhere."""


def at(frame, rate_hz=48000):
    return repr(frame / rate_hz)


@pytest.mark.parametrize("first", EVERY_KIND)
@pytest.mark.parametrize("second", ["click:at={t},size=0.05", "dropout:at={t},frames=48", "slip:at={t},frames=48"])
def test_two_faults_100_frames_apart_are_two_events(rng, first, second):
    frame = rng.randrange(48_000, 60_000)
    lasts = {
        "dropout:at={t},frames=48": 48,
        "dropout:at={t},frames=480,mode=hold": 480,
        "repeat:at={t},frames=480": 480,
    }
    later = frame + lasts.get(first, 1) + 100
    dither = rng.choice(["none", "tpdf"])
    judge(Case((first.format(t=at(frame)), second.format(t=at(later))), dither=dither, frequencies_hz=(1283.0,)))


@pytest.mark.parametrize("fault", EVERY_KIND)
@pytest.mark.parametrize("end", [False, True], ids=["first 50 ms", "last 50 ms"])
def test_the_edges_of_the_stream_are_not_blind(rng, fault, end):
    frame = rng.randrange(200, 1800)
    if end:
        frame = 96_000 - 2_300 + frame
    judge(Case((fault.format(t=at(frame)),), dither=rng.choice(["none", "tpdf"]), seconds=2.0))


@pytest.mark.parametrize("fault", EVERY_KIND)
@pytest.mark.parametrize("db", [-3.0, 0.5])
def test_a_fault_inside_a_level_step(rng, fault, db):
    start = rng.randrange(40_000, 50_000)
    frame = start + rng.randrange(8_000, 16_000)
    step = f"gain:at={at(start)},db={db},duration=0.6"
    judge(Case((step, fault.format(t=at(frame))), dither=rng.choice(["none", "tpdf"])))


@pytest.mark.parametrize("channel", [1, 3, 8])
@pytest.mark.parametrize("fault", [*EVERY_KIND, "gain:at={t},db=-1", "noise:at={t},dbfs=-50", "silence:at=0"])
def test_faults_on_one_of_eight_channels(rng, fault, channel):
    text = f"{fault.format(t=at(rng.randrange(40_000, 60_000)))},channel={channel}"
    case = Case((text,), channels=8, seconds=2.5)
    result = case.run()
    assert not complaints(case, result), case
    assert {event.channel for event in result.events} == {channel}


@pytest.mark.parametrize("fault", [*EVERY_KIND, "gain:at={t},db=-1,channel=2", "frequency:at={t},ppm=50,channel=1"])
def test_a_tone_per_channel(rng, fault):
    text = fault.format(t=at(rng.randrange(50_000, 60_000)))
    judge(Case((text,), channels=3, frequencies_hz=(997.0, 1499.0, 3001.0), dither=rng.choice(["none", "tpdf"])))


@pytest.mark.parametrize("fault", ["", *EVERY_KIND, "gain:at={t},db=-1", "frequency:at={t},hz=2500,channel=1"])
def test_a_tone_found_by_regression(rng, fault):
    text = fault.format(t=at(rng.randrange(50_000, 60_000)))
    hz = float(rng.randrange(300, 6000))
    case = Case((text,) if text else (), frequencies_hz=(hz,), told=False)
    if fault.startswith(("slip", "repeat")):
        case = replace(case, frequencies_hz=(1283.0,))
    result = case.run()
    assert not complaints(case, result), case
    if not fault.startswith("frequency"):
        found = [signal.frequency_hz for signal in result.signal]
        assert found == pytest.approx([case.frequencies_hz[0]] * 2, rel=1e-6)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("where", ["20 Hz", "100 Hz", "middle", "near half the rate"])
def test_any_frequency_at_any_rate(rng, rate_hz, where):
    hz = {"20 Hz": 20.0, "100 Hz": 100.0, "middle": rate_hz / 4 - 33.0, "near half the rate": rate_hz / 2 - 60.0}[where]
    faults = ["", f"dropout:at={rng.uniform(1.1, 1.4):.4f},frames={rate_hz // 10}", "gain:at=1.3,db=-1"]
    for fault in faults:
        judge(Case((fault,) if fault else (), rate_hz=rate_hz, channels=1, frequencies_hz=(hz,), bits=24))


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("level_dbfs", [-60.0, -40.0, -20.0, -1.0, -0.001])
def test_any_level(rng, bits, level_dbfs):
    dithers = ["none", "tpdf"] if level_dbfs < -0.01 else ["none"]
    for dither in dithers:
        stream = Case(bits=bits, level_dbfs=level_dbfs, dither=dither, channels=1)
        result = stream.run()
        assert not complaints(stream, result), stream
        assert result.signal[0].level_dbfs == pytest.approx(level_dbfs, abs=0.01)
        click = 4 * corpus.least_click(stream)
        if click < 1.9 - 2 * stream.amplitude:
            judge(stream, faults=(f"click:at={rng.uniform(1.2, 1.6):.5f},size={click}",))
        judge(stream, faults=(f"dropout:at={rng.uniform(1.2, 1.6):.5f},frames=4800",))


@pytest.mark.parametrize("channels", [1, 64])
def test_one_to_64_channels(rng, channels):
    judge(Case((f"click:at={rng.uniform(0.5, 0.9)},size=0.1,channel={channels}",), channels=channels, seconds=1.5))


def test_streams_that_start_in_silence_stop_and_start_again(rng):
    for mode in ("none", "tpdf"):
        first, second = rng.uniform(0.2, 0.6), rng.uniform(1.5, 2.0)
        judge(
            Case(
                (f"silence:at=0,duration={first}", f"dropout:at={second},duration=0.5", "slip:at=3.4,frames=48"),
                dither=mode,
                seconds=4.5,
            )
        )


def test_a_stream_that_stops_for_good(rng):
    case = Case((f"silence:at={rng.uniform(1.2, 1.6)}",), seconds=2.5)
    judge(case)


def test_swapped_channels_are_named(rng):
    judge(Case((f"channel_swap:at={rng.uniform(1.2, 1.6)}",), frequencies_hz=(997.0, 1499.0), seconds=2.5))
    judge(Case(("channel_swap:at=0",), frequencies_hz=(997.0, 1499.0), seconds=2.5))


def test_the_kinds_cover_the_contract():
    """Every kind of damage to the signal is drawn, or stands in a test of its own."""
    transport = {"gap", "duplicate", "reorder", "late", "stall", "jitter", "ssrc_change", "payload_type_change"}
    transport |= {"timestamp_error", "ended", "missing", "sender_change"}
    elsewhere = {"timestamp_jump", "restart", "mismatch", "channel_swap"}
    assert set(map(str, Kind)) - transport - elsewhere == set(corpus.KINDS)


def test_the_corpus_can_fail():
    """A verifier that misses, misnames or misplaces a fault is caught, and so is one that invents one."""
    case = Case(("click:at=1.0,size=0.1",))
    result = case.run()
    assert not complaints(case, result)
    click = result.events[0]
    click.start_frame += 1
    assert len(complaints(case, result)) == 2
    click.start_frame -= 1
    click.size = DropoutSize()
    assert len(complaints(case, result)) == 2
    result.events.clear()
    assert len(complaints(case, result)) == 1
    assert complaints(replace(case, faults=()), replace(case, faults=("click:at=1.0,size=0.1",)).run())
    assert not complaints(draw_stream(generator("1")), draw_stream(generator("1")).run())


@pytest.mark.parametrize(
    "case",
    [
        Case(
            faults=("noise:at=1.529584,dbfs=-67.68,seed=644383,duration=0.6356",),
            rate_hz=44100,
            channels=1,
            dither="tpdf",
            noise_dbfs=-80.0,
            frequencies_hz=(2237.0,),
            level_dbfs=-20.0,
            seed=1646424502,
        ),
        Case(
            faults=("noise:at=1.233369,dbfs=-114.73,seed=310541",),
            channels=2,
            bits=24,
            dither="tpdf",
            frequencies_hz=(1283.0,),
            level_dbfs=-20.0,
            seed=2731535740,
        ),
    ],
)
def test_noise_in_which_one_sine_after_another_seems_to_fit(case):
    judge(case)


@pytest.mark.parametrize(
    "fault", ["gain:at=1.173264,drift_db_per_second=-0.716", "gain:at=1.2,drift_db_per_second=0.5"]
)
def test_a_level_that_drifts_in_db_is_no_noise_where_every_step_of_24_bits_counts(fault):
    judge(Case(faults=(fault,), rate_hz=96000, channels=1, bits=24, frequencies_hz=(1283.0,), level_dbfs=-20.0, seed=7))


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("fault", ["word_length:at=0,bits=11", "word_length:at=1.168149,bits=11", ""])
def test_a_tone_that_beats_with_its_rounding_is_steady(fault, bits):
    level_dbfs = -20.0 if fault else -20.0 - 6.0206 * (bits - 11)
    judge(Case((fault,) if fault else (), channels=1, bits=bits, frequencies_hz=(1283.0,), level_dbfs=level_dbfs))


@pytest.mark.parametrize("at_seconds", [0.62, 0.7, 0.83])
@pytest.mark.parametrize("bits", [6, 8])
@pytest.mark.parametrize("frequency_hz", [100.0, 150.0, 997.0])
def test_a_word_length_that_holds_values_is_no_dropout(at_seconds, bits, frequency_hz):
    fault = f"word_length:at={at_seconds},bits={bits}"
    judge(Case((fault,), channels=1, dither="tpdf", frequencies_hz=(frequency_hz,), seconds=1.6))


@pytest.mark.parametrize(
    "case",
    [
        Case(("distortion:at=1.301561,harmonics_db=-69.52/-69.52",), channels=1, bits=24, frequencies_hz=(3428.0,)),
        Case(("slip:at=1.2892,frames=-48",), channels=1, frequencies_hz=(2401.0,), level_dbfs=-20.0),
        Case(
            ("dc_offset:at=1.015602,offset=0.00017267,duration=0.5866,channel=2",),
            rate_hz=44100,
            noise_dbfs=-60.0,
            frequencies_hz=(1283.0,),
            seed=2593286611,
        ),
        Case(("clipping:at=1.473520,level=0.152608,duration=0.5703",), channels=1, bits=24, frequencies_hz=(1283.0,)),
    ],
    ids=[
        "few phases near the peaks",
        "phases that come again but not to the step",
        "begun and ended within a second",
        "clipped until now",
    ],
)
def test_found_by_random_cases(case):
    judge(case)
