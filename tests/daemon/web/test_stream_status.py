"""How a stream fares is said rightly also where senders change, streams go, and this host is the one that is late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtpverify.daemon.web import stream_status
from rtpverify.daemon.web.answers import Health
from rtpverify.daemon.web.stream_status import Board
from rtpverify.reference import Recording
from tests.daemon.web.bench import START_NS, Bench, Sender
from tests.helpers.programme import Audio

SECOND_NS = 1_000_000_000


def watched(*senders: tuple[Sender, dict[str, Any]]) -> tuple[Bench, Board]:
    """Return a bench that was fed what some senders send, and a board that looked at it at every step."""
    bench = Bench()
    seen = Board(bench)

    class Looker:
        trouble = None

        def tell(self, told):  # type: ignore[no-untyped-def]
            seen.tell(told, bench.now_ns)

        def tick(self, now_ns: int) -> None:
            seen.look(now_ns)

    bench.sinks["board"] = Looker()  # type: ignore[assignment]
    bench.feed(sorted(packet for sender, options in senders for packet in sender.send(**options)))
    return bench, seen


# Two that send at a time, for a while, are two streams of the verifier.
FIRST = Sender(seconds=2.0, ssrc=1)
SECOND = Sender(seconds=5.0, ssrc=2, timestamp=12345, sequence=7)
LATER: dict[str, Any] = {"start_ns": START_NS + SECOND_NS}


def test_counts_go_on_where_a_sender_comes_back_as_another() -> None:
    bench, seen = watched((FIRST, {"lost": (500, 501)}), (SECOND, {"lost": (3000,), **LATER}))
    assert len(bench.verifier.streams) == 2
    line = seen.line("a")
    assert line["packets_lost"] == 3
    assert line["packets_expected"] == pytest.approx(7000, abs=300)
    times, figures, channels = seen.history("a")
    assert channels == 2
    assert np.all(np.diff(times) > 0)
    assert figures[:, 1].sum() == 3


def test_what_this_host_has_not_read_yet_is_not_missing() -> None:
    bench, seen = watched((Sender(seconds=1.0), {}))
    bench.pass_time(5, caught_up=False)
    assert seen.line("a")["health"] == Health.OK
    # Once it has caught up, what is silent is silent.
    bench.pass_time(3)
    assert seen.line("a")["health"] == Health.DOWN


def test_a_stream_that_is_not_followed_any_more_is_forgotten() -> None:
    bench, seen = watched((Sender(seconds=1.0), {}))
    del bench.states["a"]
    bench.pass_time(1)
    assert [line["name"] for line in seen.overview()] == ["b"]
    assert seen.stream("a") is None


def test_a_fault_of_before_is_over_where_another_sender_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_status, "FRESH_NS", SECOND_NS)
    first = Sender(seconds=2.0, ssrc=1, dropouts={48_000: 48_000 * 9})
    bench, seen = watched((first, {}), (SECOND, LATER))
    assert len(bench.verifier.streams) == 2
    line = seen.line("a")
    assert line["open_faults"] == []
    assert line["health"] == Health.RECENT


def test_what_cannot_be_judged_says_why() -> None:
    bench, seen = watched((Sender(seconds=1.0), {}))
    (stream,) = bench.verifier.streams
    stream.encoding = None
    assert seen.line("a")["reason"] == "payload type 97: encoding unknown"
    assert seen.line("a")["health"] == Health.UNJUDGED


def test_a_history_keeps_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_status, "SAMPLES", 4)
    _, seen = watched((Sender(seconds=5.0), {}))
    times, figures, _ = seen.history("a")
    assert len(times) == len(figures) == 4
    assert np.diff(times) == pytest.approx([0.5] * 3, abs=0.15)
    assert len(seen.history("a", times[2])[0]) == 1


def test_losses_of_the_last_points_are_the_present_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_status, "LOSS_SAMPLES", 4)
    _, seen = watched((Sender(seconds=2.0), {"lost": range(100, 200)}))
    assert seen.line("a")["loss_ratio"] == pytest.approx(0.05, abs=0.02)
    _, seen = watched((Sender(seconds=4.0), {"lost": range(100, 200)}))
    assert seen.line("a")["packets_lost"] == 100
    assert seen.line("a")["loss_ratio"] == 0


def test_two_that_send_at_a_time_do_not_take_turns() -> None:
    bench = Bench()
    seen = Board(bench)
    shown = []
    packets = sorted(FIRST.send() + SECOND.send(**LATER))
    for start in range(0, 2800, 100):
        bench.feed(packets[start : start + 100])
        seen.look(bench.now_ns)
        stream = seen.stream("a")
        shown.append(stream.ssrc if stream else None)
    assert set(shown) <= {None, 1}


def test_what_the_verifier_forgot_is_shown_no_more_and_its_losses_stay() -> None:
    bench, seen = watched((Sender(seconds=1.0), {"lost": (500, 501)}))
    stream = seen.stream("a")
    assert stream is not None
    bench.verifier.forget(stream)
    # At once: another stream may have its place by now.
    assert seen.stream("a") is None
    bench.pass_time(0.3)
    line = seen.line("a")
    assert (line["health"], line["packets_lost"], line["level_dbfs"]) == (Health.WAITING, 2, [])
    bench.feed(Sender(seconds=1.0, timestamp=99, sequence=5).send(lost=(300,), start_ns=START_NS + 3 * SECOND_NS))
    assert seen.line("a")["packets_lost"] == 3
    assert seen.stream("a") is not stream


def test_what_is_judged_is_that_of_the_present_expectation() -> None:
    bench, seen = watched((Sender(seconds=1.0), {}))
    spec = bench.verifier.specs[0]
    bench.verifier.remove(spec)
    bench.verifier.add(replace(spec, reference=None))
    bench.feed(Sender(seconds=1.0, timestamp=99, sequence=5).send(start_ns=START_NS + 3 * SECOND_NS))
    line = seen.line("a")
    assert (line["judged"], line["reference"], line["health"]) == ("transport", None, Health.OK)


def test_what_a_stream_will_be_held_against_is_known_before_it_comes() -> None:
    bench, seen = watched()
    seen.look(START_NS)
    assert (seen.line("a")["reference"], seen.line("b")["reference"]) == ("tone", None)
    spec = bench.verifier.specs[0]
    bench.verifier.remove(spec)
    recording = Recording(Path("music.wav"), lambda _: Audio(np.zeros((48000, 2))), 2, 48000)
    bench.verifier.add(replace(spec, reference=recording))
    seen.look(START_NS + SECOND_NS)
    assert (seen.line("a")["judged"], seen.line("a")["reference"]) == ("signal", "recording")
