"""``rtpverify.send``: a device that is made of software, and the truth about what it sent."""

import asyncio

import numpy as np
import pytest
import soundfile

import rtpverify
from tests.helpers.patience import PATIENCE_SECONDS, wait_until
from tests.helpers.ports import free_port

PATIENT = {"max_stall_seconds": 60}


@pytest.fixture
def source():
    return f"rtp://127.0.0.1:{free_port()}"


def told(events):
    return [
        (event.kind, event.start_frame, event.duration_frames, event.channel, event.packets)
        for event in events
        if event.fault
    ]


def test_what_is_found_is_what_was_made(source):
    faults = ["loss:at=0.2,packets=3", "slip:at=0.4,frames=48", "click:at=0.5,bit=4,channel=2"]
    faults += ["dropout:at=0.6,duration=0.01", "duplicate:at=0.7,packets=2"]
    with (
        rtpverify.verify(source, encoding="L16/44100/2", reference="tone:997", limits=PATIENT) as verifier,
        rtpverify.send(source, encoding="L16/44100/2", frequency=997, faults=faults, duration=0.9) as sender,
    ):
        verifier.wait_for_audio(PATIENCE_SECONDS)
    assert told(verifier.events()) == told(sender.truth)
    assert [str(event.kind) for event in sender.truth] == ["gap", "slip", "click", "dropout", "duplicate"]
    gap, slip, *_ = sender.truth
    assert (gap.size.packets_lost, slip.size.slip_frames) == (3, 48)
    assert [event.fault for event in sender.truth] == [True] * 4 + [False]
    assert verifier.result.streams[0].ssrc == sender.ssrc
    assert all(event.to_dict()["time"] and event.id for event in sender.truth)


def test_in_an_event_loop(source):
    async def test():
        async with (
            rtpverify.verify(source, encoding="L24/48000/2", reference="tone", limits=PATIENT) as verifier,
            rtpverify.send(source, duration=0.4) as sender,
        ):
            await verifier.wait_for_audio_async(PATIENCE_SECONDS)
        verifier.result.assert_clean()
        assert sender.truth == []

    asyncio.run(test())


def test_truth_is_of_what_was_sent_so_far(source):
    with rtpverify.send(source, faults=["gain:at=0.05,db=-1", "slip:at=3600,frames=48"]) as sender:
        wait_until(lambda: sender.truth)
        [gain] = sender.truth
        assert (str(gain.kind), gain.start_frame, gain.open) == ("gain", 2400, True)
        sender.stop()
        [later] = sender.truth
        assert later.duration_frames >= gain.duration_frames
        assert later.id == gain.id


def test_a_recording_is_sent_to_its_end(source, tmp_path):
    audio = np.round(np.random.default_rng(1).uniform(-0.1, 0.1, (14400, 2)) * 2**15) / 2**15
    soundfile.write(tmp_path / "speech.wav", audio, 48000, "PCM_16")
    with rtpverify.verify(source, encoding="L16/48000/2", reference="none", limits=PATIENT) as verifier:
        with rtpverify.send(source, file=tmp_path / "speech.wav"):
            verifier.wait_for_audio(PATIENCE_SECONDS)
        wait_until(lambda: verifier.result.streams[0].frames == 14400)


def test_an_exception_ends_the_sending(source):
    def test():
        with rtpverify.send(source, duration=3600):
            1 / 0  # noqa: B018

    with pytest.raises(ZeroDivisionError):
        test()


def test_faults_by_probability_and_two_destinations(source):
    other = f"rtp://127.0.0.1:{free_port()}"
    faults = ["loss:at=0.1,packets=5,leg=1", "loss:at=0.102,packets=5,leg=2", "click:per_second=20,size=0.1"]
    with rtpverify.send(source, second_destination=other, faults=faults, duration=0.5, seed=3) as sender:
        pass
    [gap] = [event for event in sender.truth if str(event.kind) == "gap"]
    assert (gap.start_frame, gap.duration_frames) == (4896, 144)
    clicks = [event.start_frame for event in sender.truth if str(event.kind) == "click"]
    assert len(clicks) > 3
    with rtpverify.send(source, second_destination=other, faults=faults, duration=0.5, seed=3) as again:
        pass
    assert [event.start_frame for event in again.truth] == [event.start_frame for event in sender.truth]


def test_bad_requests(source):
    for options, words in (
        ({"faults": ["los:at=1"]}, "unknown fault 'los'"),
        ({"faults": "slip:at=1"}, "frames is missing"),
        ({"frequency": [997, 998, 999]}, "3 frequencies for 2 channel"),
        ({"frequency": 0}, "is not a frequency above 0 Hz"),
        ({"duration": -1}, "duration: -1"),
        ({"file": "none.wav"}, "none.wav: No such file"),
        ({"interface": "nosuch0"}, "no interface 'nosuch0'"),
    ):
        with pytest.raises(rtpverify.RequestError, match=words), rtpverify.send(source, **options):
            pytest.fail("the block begins")
    with pytest.raises(rtpverify.RequestError, match="not begun; use it as a context manager"):
        rtpverify.send(source).stop()
    with rtpverify.send(source) as sender:
        pass
    with pytest.raises(rtpverify.RequestError, match=r"has ended; call rtpverify\.send again"), sender:
        pytest.fail("the block begins")
