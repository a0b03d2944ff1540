from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rtpverify.commands.demo.view import DemoScreen
from rtpverify.daemon.streams.state import StreamState
from rtpverify.engine.expectation import StreamSpec
from rtpverify.events import ClickSize, Event, GapSize, Kind
from rtpverify.result import StreamResult, Transport
from rtpverify.sender.faults import ExpectedEvent

GAP = ExpectedEvent(Kind.GAP, 48000, 144, size={"packets_lost": 3})
FOUND = Event(GapSize(packets_lost=3), 48000, 144, id="a")
CLICK = Event(ClickSize(deviation=0.25), 96000, 1, channel=2, id="b")


def outcome(events: list[Event] | None) -> tuple[int, str]:
    """Return exit status and text for a stream with one injected gap; None: nothing arrived."""
    state = StreamState(StreamSpec(name="faulty"))
    if events is not None:
        identity: Any = SimpleNamespace(first_arrival_ns=1, encoding=None)
        state.add(identity)
        result = StreamResult(transport=Transport(packets_received=7), events=events)
        measured: Any = SimpleNamespace(
            result_of=lambda _: result, present=lambda *_: [], last_arrival_ns=lambda stream: stream.first_arrival_ns
        )
        state.refresh(measured, 0)
    service: Any = SimpleNamespace(states={"faulty": state}, metrics_url="http://127.0.0.1:1/metrics")
    console = Console(file=io.StringIO(), width=120)
    with DemoScreen(console, service, {"faulty": [GAP]}, 10.0) as view:
        view.begin(["loss:at=1,packets=3"])
        view.update()
        view.update()
        status = view.end()
    assert isinstance(console.file, io.StringIO)
    return status, console.file.getvalue()


def test_what_matches_is_good() -> None:
    status, text = outcome([FOUND])
    assert status == 0
    assert "✗" not in text
    assert text.count("faulty: found gap, 3 packets at frame 48000\n") == 1
    assert "1 of 1 injected faults found, no other events" in text


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([], "0 of 1 injected faults found"),
        ([FOUND, CLICK], "faulty: click, 0.25 FS, channel 2"),
        ([FOUND, CLICK], "1 of 1 injected faults found, 1 other events"),
        (None, "stream faulty: nothing arrived"),
    ],
)
def test_what_does_not_match_is_told(events: list[Event] | None, says: str) -> None:
    status, text = outcome(events)
    assert status == 1
    assert "✗" in text
    assert says in text
