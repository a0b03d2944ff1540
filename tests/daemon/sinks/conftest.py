from __future__ import annotations

import pytest

from rtpverify.daemon.sinks import queue
from tests.helpers.documents import Telling


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sink that failed try again at once."""
    monkeypatch.setattr(queue, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(queue, "LONGEST_WAIT_SECONDS", 0.02)


@pytest.fixture
def bench() -> Telling:
    """What a sink is opened for, and what makes events for it."""
    return Telling()
