"""A defect costs the stream that it concerns: an exception is raised at every boundary of the core, of one stream."""

from dataclasses import dataclass

import numpy as np
import pytest

import rtpverify.engine.frame_writer
import rtpverify.engine.pipeline
import rtpverify.engine.stream_result
import rtpverify.engine.verifier
import rtpverify.transport.arrivals
from rtpverify.detect.tone.blocks.channel_models import Lines
from rtpverify.detect.tone.detector import ToneBank
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.format_group import Analysis
from rtpverify.engine.pipeline import Intake
from rtpverify.engine.stream import Stream
from rtpverify.engine.verifier import Verifier
from rtpverify.reference import Tone
from rtpverify.result import Verdict
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.transport.arrivals import Arrivals
from rtpverify.transport.demux import Demux
from rtpverify.transport.sequence import SequenceTracker
from rtpverify.transport.stream_order import StreamOrder
from tests.helpers.faulty import packets

SECONDS = 2.0
NAMES = ("one", "two", "three")
VICTIM = "two"
FAULT = "loss:at=0.5,packets=3"
LATE_FAULT = "click:at=1.6,bit=4,channel=1"


class InjectedError(Exception):
    """What nobody expects."""


def flow_of(name):
    return Flow(f"192.0.2.{NAMES.index(name) + 1}:5004", f"239.1.2.{NAMES.index(name) + 1}:5004")


def batches():
    """Return what three senders of one format send, each batch holding packets of all of them."""
    flows = [flow_of(name) for name in NAMES]
    of_each = [
        packets([FAULT, LATE_FAULT], SECONDS, batch_packets=40, flow=flow, ssrc=100 + number)
        for number, flow in enumerate(flows)
    ]
    for together in zip(*of_each, strict=True):
        arenas = [batch.arena for batch in together]
        starts = np.cumsum([0, *map(len, arenas[:-1])])
        yield PacketBatch(
            np.concatenate(arenas),
            np.concatenate([batch.offset + start for batch, start in zip(together, starts, strict=True)]),
            np.concatenate([batch.length for batch in together]),
            np.concatenate([batch.arrival_ns for batch in together]),
            np.concatenate([np.full(len(batch), number) for number, batch in enumerate(together)]),
            flows,
        ).by_arrival()


def verify(names=NAMES):
    specs = [
        StreamSpec(
            name, destination=flow_of(name).destination, encoding=parse_rtpmap("L24/48000/2"), reference=Tone((1283.0,))
        )
        for name in names
    ]
    verifier = Verifier(specs)
    for batch in batches():
        verifier.feed(batch)
        verifier.advance(int(batch.arrival_ns[-1]))
    verifier.finish()
    return verifier


def figures(verifier, name):
    """Return what is counted of a name over all its streams, and the events, by what they say of the audio."""
    results = [verifier.result_of(stream) for stream in verifier.streams if stream.name == name]
    transports = [result.transport for result in results if result.transport]
    events = [(event.kind, event.channel, event.fault) for result in results for event in result.events]
    received = sum(transport.packets_received for transport in transports)
    return received, sum(transport.packets_lost for transport in transports), sorted(events, key=str)


@pytest.fixture(scope="module")
def untouched():
    verifier = verify()
    assert not verifier.failures
    return {name: figures(verifier, name) for name in NAMES}


@dataclass(frozen=True)
class Boundary:
    """A function that may fail, and how a call tells whether it is about the victim.

    ``counts`` is whether the victim's packets are counted to the end, ``names_it`` whether it is known whose failure it
    was, ``times`` how often it fails.
    """

    owner: object
    name: str
    concerns: object
    after_calls: int = 0
    counts: bool = True
    names_it: bool = True
    times: float = float("inf")

    def __str__(self):
        return f"{getattr(self.owner, '__name__', self.owner)}.{self.name}"


INDEX = NAMES.index(VICTIM)
"""Of the victim's stream, and its row in the detector: streams come up in order."""
LINES = (2 * INDEX, 2 * INDEX + 1)


def has_index(_, stream, *__):
    return INDEX in stream.tolist()


def is_victim(_, stream, *__):
    return stream.name == VICTIM


def is_row(_, row, *__, **___):
    return row == INDEX


def has_row(_, rows, *__):
    return INDEX in np.asarray(rows).tolist()


BOUNDARIES = [
    # Judging, several streams at once and one by one.
    Boundary(ToneBank, "process", has_row, 5),
    Boundary(ToneBank, "_process", has_row, 5),
    Boundary(ToneBank, "_judge", lambda _, lines, *__: LINES[0] in lines.tolist(), 3),
    Boundary(ToneBank, "_take_in", lambda _, new, *__: LINES[0] in new.lines.tolist(), 3),
    Boundary(ToneBank, "_unlock", lambda _, line, *__: line in LINES),
    Boundary(ToneBank, "_follow", lambda _, line, *__: line in LINES, 2),
    Boundary(ToneBank, "_compare_channels", is_row),
    Boundary(ToneBank, "take_events", is_row),
    Boundary(ToneBank, "horizon", is_row),
    Boundary(ToneBank, "finish", is_row),
    Boundary(ToneBank, "place", is_row, times=1),
    Boundary(ToneBank, "signal", is_row),
    Boundary(Analysis, "finish", is_row),
    Boundary(Lines, "go_on", lambda _, new, *__: LINES[0] in new.lines.tolist(), 3),
    # Decoding and writing.
    Boundary(
        rtpverify.engine.frame_writer.Tracks,
        "_write_rows",
        lambda _, __, batch, rows, ___: INDEX in batch.stream[rows],
        5,
    ),
    Boundary(rtpverify.engine.frame_writer.Tracks, "_begin", is_victim),
    Boundary(
        rtpverify.engine.frame_writer.Tracks, "_write_frames", lambda _, __, packets, ___: INDEX in packets.row, 5
    ),
    Boundary(rtpverify.engine.verifier, "decide", lambda *_, **__: True, 1, times=1),
    # Transport, and what is told of it.
    Boundary(Intake, "take", lambda _, __, stream, *___: INDEX in stream.tolist(), 5, counts=False),
    Boundary(SequenceTracker, "update", has_index, 5, counts=False),
    Boundary(SequenceTracker, "_judge", lambda _, index, *__: index == INDEX, 1, counts=False),
    Boundary(Arrivals, "_take", lambda _, accepted: INDEX in accepted.stream.tolist(), 5),
    Boundary(Intake, "_watch_arrivals", lambda _, batch, *__: INDEX in batch.stream.tolist(), 5, names_it=False),
    Boundary(rtpverify.transport.arrivals.Timing, "update", lambda _, stream, *__: INDEX in stream.tolist()),
    Boundary(rtpverify.engine.pipeline, "gap_event", lambda stream, *_: stream.name == VICTIM),
    Boundary(Stream, "told", lambda stream, *_: stream.name == VICTIM),
    Boundary(rtpverify.engine.verifier, "past_limits", lambda stream, *_: stream.name == VICTIM),
    # Putting figures together.
    Boundary(rtpverify.engine.verifier, "stream_result", lambda stream, *_: stream.name == VICTIM, counts=False),
    Boundary(rtpverify.engine.stream_result, "_add_signal", lambda stream, *_: stream.name == VICTIM),
    # Before it is known whose packets they are.
    Boundary(Demux, "assign", lambda _, rtp, *__: INDEX in rtp.flow.tolist(), 5, counts=False),
    Boundary(rtpverify.engine.verifier, "parse", lambda batch: INDEX in batch.flow.tolist(), 5, counts=False),
]


def inject(monkeypatch, boundary):
    """Let a function raise for the victim; return how often it has."""
    original, raised, calls = getattr(boundary.owner, boundary.name), [], []

    def failing(*args, **options):
        if boundary.concerns(*args, **options):
            calls.append(1)
            if boundary.after_calls < len(calls) <= boundary.after_calls + boundary.times:
                raised.append(1)
                raise InjectedError("in the middle of it")
        return original(*args, **options)

    monkeypatch.setattr(boundary.owner, boundary.name, failing)
    return raised


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_others_lose_nothing(boundary, untouched, monkeypatch):
    raised = inject(monkeypatch, boundary)
    verifier = verify()
    result = verifier.result("test")
    assert raised
    # Contained, and seen: in the failures with the traceback, and in the verdict.
    assert {type(failure.error) for failure in verifier.failures} == {InjectedError}
    assert all("in the middle of it" in failure.traceback for failure in verifier.failures)
    assert result.verdict is not Verdict.PASS
    assert result.exit_status == 70
    for name in NAMES:
        received, lost, events = figures(verifier, name)
        if name != VICTIM:
            assert (received, lost) == untouched[name][:2]
            assert events == untouched[name][2]
        elif boundary.counts:
            assert (received, lost) == untouched[name][:2]
    victims = [verifier.result_of(stream) for stream in verifier.streams if stream.name == VICTIM]
    if boundary.names_it:
        assert VICTIM in {failure.stream for failure in verifier.failures}
        assert Verdict.PASS not in {one.verdict for one in victims}
        assert any("internal error in rtpverify" in (one.inconclusive or "") for one in victims)


def test_packets_of_who_is_given_up_are_counted(monkeypatch):
    inject(monkeypatch, Boundary(SequenceTracker, "update", has_index, 5))
    verifier = verify()
    victims = [verifier.result_of(stream) for stream in verifier.streams if stream.name == VICTIM]
    received = sum(one.transport.packets_received for one in victims if one.transport)
    assert 0 < received < 1997
    assert received + verifier.discarded["failed"] == 1997


@pytest.mark.parametrize("times", [1, float("inf")])
@pytest.mark.parametrize("name", ["packet", "end_update"])
def test_packets_that_are_judged_one_by_one_cost_their_own_stream_alone(name, times, untouched, monkeypatch):
    """It fails in the middle of it: of the others nothing is judged anew, and none begins again."""
    original, calls = getattr(StreamOrder, name), []

    def failing(order, *args):
        original(order, *args)
        if order.stream == INDEX and order.counts.received > 300:
            calls.append(1)
            if len(calls) <= times:
                raise InjectedError("in the middle of it")

    monkeypatch.setattr(StreamOrder, name, failing)
    verifier = verify()
    assert calls
    assert {(failure.stream, failure.where) for failure in verifier.failures} == {(VICTIM, "transport")}
    others = [stream for stream in verifier.streams if stream.name != VICTIM]
    assert [(stream.closed, stream.restarted_frame) for stream in others] == [(None, None), (None, None)]
    assert all(figures(verifier, name) == untouched[name] for name in NAMES if name != VICTIM)
    # It goes on as another stream with the very packets at which it failed, and shows what happens then.
    assert [stream.name for stream in verifier.streams].count(VICTIM) == 2
    received, _, events = figures(verifier, VICTIM)
    assert received + verifier.discarded["failed"] == untouched[VICTIM][0]
    assert any(event[0] == "click" for event in events) is (verifier.discarded["failed"] == 0)


def test_step_over_several_streams_that_no_single_one_fails(untouched, monkeypatch):
    """What fails for two streams together, and for neither alone, is done for each by itself from then on."""
    inject(monkeypatch, Boundary(Intake, "take", lambda _, __, stream, *___: len(set(stream.tolist())) > 1, 5))
    verifier = verify()
    assert len(verifier.failures) == 1
    assert [figures(verifier, name) for name in NAMES] == [untouched[name] for name in NAMES]


def test_reference_that_cannot_hold_is_the_callers_mistake():
    spec = StreamSpec("one", encoding=parse_rtpmap("L24/48000/2"), reference=Tone((1283.0, 997.0, 440.0)))
    verifier = Verifier([spec])
    for batch in packets([], 0.5):
        verifier.feed(batch)
    verifier.finish()
    (result,) = verifier.result("test").streams
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.inconclusive == "reference tone: 3 frequencies for a stream of 2 channel(s)"
    assert result.transport.packets_received == 500
