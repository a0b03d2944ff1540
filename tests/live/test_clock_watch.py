import numpy as np
import pytest

from rtpverify.live.clock_watch import ClockWatch
from rtpverify.rtp.batch import PacketBatch

SECOND_NS = 1_000_000_000


@pytest.fixture
def clocks(monkeypatch):
    """The clocks of a host: what passes, and what the wall clock is set forward."""
    state = {"steady": 7 * SECOND_NS, "wall": 10**18}
    monkeypatch.setattr("time.monotonic_ns", lambda: state["steady"])
    monkeypatch.setattr("time.time_ns", lambda: state["wall"])

    def pass_time(seconds, step_seconds=0.0):
        state["steady"] += round(seconds * SECOND_NS)
        state["wall"] += round((seconds + step_seconds) * SECOND_NS)

    return pass_time


def test_a_clock_that_is_slewed_was_not_set(clocks):
    watch = ClockWatch()
    for _ in range(1000):
        clocks(0.06, 0.06 * 500e-6)
        assert watch.take_step() == 0


@pytest.mark.parametrize("step_seconds", [3600.0, 2.0, 0.2, -0.2, -2.0, -3600.0])
def test_packets_before_and_after_a_step_are_told_apart(clocks, step_seconds):
    watch = ClockWatch()
    clocks(0.06, step_seconds)
    step_ns = watch.take_step()
    assert step_ns == round(step_seconds * SECOND_NS)
    true_ns = 10**18 + np.arange(0, 60, 5) * 1_000_000
    arrival_ns = np.where(np.arange(12) < 7, true_ns, true_ns + step_ns)
    zeros = np.zeros(12, np.int64)
    batch = PacketBatch(zeros.astype(np.uint8), zeros, zeros, arrival_ns, zeros, [])
    watch.correct(batch, step_ns)
    assert (batch.arrival_ns == true_ns + step_ns).all()
    assert watch.take_step() == 0
