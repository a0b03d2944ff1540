"""The audio of a device that labgrid switches on. Run with: pytest --lg-env env.yaml"""

import os

import pytest

STREAM = os.environ.get("DEVICE_STREAM", "rtp://127.0.0.1:5004")
pytestmark = pytest.mark.rtp(encoding="L24/48000/2", reference="tone:1283", limits={"max_stall_seconds": 5})


@pytest.fixture
def power(target):
    """The switch of the device, which is off before and after."""
    switch = target.get_driver("PowerProtocol")
    switch.off()
    yield switch
    switch.off()


def test_audio_from_the_moment_it_is_switched_on(power, rtp_verifier):
    verifier = rtp_verifier(STREAM, duration=2)  # listens before there is anything to hear
    power.on()
    verifier.wait_for_audio(timeout=60)
    # The test lasts until two seconds are verified, and fails unless they are clean.


def test_audio_stops_when_it_is_switched_off(power, rtp_verifier):
    verifier = rtp_verifier(STREAM, until_end=True)  # it is meant to stop
    power.on()
    verifier.wait_for_audio(timeout=60)
    power.off()
    assert verifier.wait(timeout=60), "it is off and still sends"
    verifier.result.assert_clean()
