"""Sleeps of a sender end in time, and those of everybody else as before."""

import ctypes
import sys

import pytest

from rtpverify.sender.exact_timers import exact_timers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="timer slack is Linux's")


def slack_ns():
    """Return that of this thread, as prctl(2) gives it for PR_GET_TIMERSLACK."""
    return ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)


def test_the_slack_is_what_it_was_afterwards():
    before = slack_ns()
    with exact_timers():
        assert slack_ns() == 1
    assert slack_ns() == before


def test_another_system_has_none(monkeypatch):
    monkeypatch.setattr(sys, "platform", "plan9")
    with exact_timers():
        pass
