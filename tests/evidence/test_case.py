"""From packets to evidence, and from evidence back to the event: what is kept shows what was told."""

from __future__ import annotations

import json
import pickle
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.cli import app as cli
from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.evidence.case import Case, Span, files_of, packets_of
from rtpverify.evidence.folder import AUDIO, EVENT, PACKETS, PLOT
from rtpverify.evidence.packet_history import PacketHistory
from rtpverify.limits import PROFILES, Limits, with_values
from rtpverify.reference import Tone
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.transport.redundancy import LegEnds
from tests.helpers.faulty import FLOW, START_NS, packets
from tests.helpers.programme import Played, music, quantised

OTHER_LEG = Flow("198.51.100.7:5004", "239.1.2.4:5004")
SECOND_NS = 1_000_000_000
SPAN = Span(SECOND_NS, SECOND_NS, 2 * SECOND_NS)
LIGHT = "L24/16000/2"
"""A third of the work of 48 kHz."""


def light(fault: str, seconds: float) -> Iterator[PacketBatch]:
    """Yield packets of 4 ms with a fault."""
    return packets([fault], seconds, encoding=LIGHT, packet_frames=64)


class Bench:
    """A verifier, the ring beside it, and a case for each event told."""

    def __init__(self, seconds: float = 9.0, **spec: Any) -> None:
        self.ring = PacketHistory(seconds, 1 << 30)
        spec = {"encoding": parse_rtpmap(LIGHT), "reference": parse_reference("tone:1283")} | spec
        self.verifier = Verifier([StreamSpec("left", **spec)])
        self.cases: dict[str, Case] = {}

    def run(self, batches: Iterator[PacketBatch]) -> Bench:
        for batch in batches:
            self._feed(batch)
        self._tell(self.verifier.finish(), START_NS)
        return self

    def _feed(self, batch: PacketBatch) -> None:
        self.ring.put(batch)
        self._tell(self.verifier.feed(batch), int(batch.arrival_ns[-1]))

    def _tell(self, told: Any, now_ns: int) -> None:
        for item in told:
            document = ReportedEvent(item.stream, item.event, item.is_new).document
            if item.is_new:
                self.cases[item.event.id] = Case.of(item.stream, item.event, document, now_ns)
            else:
                self.cases[item.event.id].renew(item.event, document)

    def files(self, kind: str) -> dict[str, bytes]:
        (case,) = [case for case in self.cases.values() if case.document["kind"] == kind]
        kept = packets_of(case, self.ring.pieces(), SPAN)
        assert kept is not None
        # As they come to the process that makes evidence.
        return files_of(*pickle.loads(pickle.dumps((case, kept))))  # noqa: S301 - our own


def checked(files: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the command of the evidence finds, run where the evidence is."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.chdir(folder)
    program, *arguments = shlex.split(json.loads(files[EVENT])["check"])
    assert program == "rtpverify"
    outcome = CliRunner().invoke(cli.main, [*arguments, "--json", "-"], catch_exceptions=False)
    assert outcome.exit_code in (0, 1), outcome.stderr
    (stream,) = json.loads(outcome.stdout)["streams"]
    assert isinstance(stream, dict)
    return stream


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two documents are of one event: where it is counted from, and the last digits, are left out."""
    apart = {"id", "start_frame", "packets", "time", "stream", "message", "open"}
    if one.keys() - apart != other.keys() - apart:
        return False
    return all(
        one[name] == (pytest.approx(other[name], rel=0.02, abs=1e-4) if isinstance(one[name], float) else other[name])
        for name in one.keys() - apart
    )


FAULTS = [
    "loss:at=1.2,packets=3",
    "slip:at=1.2003,frames=48",
    "click:at=1.20011,size=0.01,channel=2",
    "dropout:at=1.2002,frames=239",
    "repeat:at=1.2,back=160,frames=160",
    "stall:at=1.2,seconds=0.4",
    "gain:at=1.2,db=0.5",
    "noise:at=1.2,dbfs=-70,duration=0.5",
    "polarity:at=1.2,channel=1,duration=0.5",
    "timestamp_jump:at=1.2,frames=3200",
    "timestamp_jump:at=1.2,frames=-16000",
    "restart:at=1.2",
    "ssrc_change:at=1.2,ssrc=7",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_evidence_of_an_event_shows_that_event(fault, tmp_path, monkeypatch):
    bench = Bench().run(light(fault, 3.5))
    kind = {"loss": "gap"}.get(fault.partition(":")[0], fault.partition(":")[0])
    files = bench.files(kind)
    description = json.loads(files[EVENT])
    event, clip = description["event"], description["clip"]
    stream = checked(files, tmp_path, monkeypatch)
    found = [item for item in stream["events"] if item["kind"] == kind]
    assert [same(item, event) for item in found] == [True], (found, event)
    assert found[0]["start_frame"] == clip["event_frame"]
    assert len(stream["events"]) == len(bench.cases)
    assert stream["transport"]["packets_received"] == clip["packets"]
    assert clip["whole"]


@pytest.mark.parametrize("fault", ["loss:at=2.2,packets=3", "slip:at=2.2,frames=48", "dropout:at=2.2,frames=239"])
def test_of_a_stream_that_plays_a_recording_too(fault, tmp_path, monkeypatch):
    path, frames = tmp_path / "it is music.wav", quantised(music(6, seed=6, rate_hz=16_000), 24)
    soundfile.write(path, frames, 16_000, "PCM_24")
    monkeypatch.chdir(tmp_path)
    bench = Bench(reference=parse_reference(path.name))
    bench.run(packets([fault], 4.5, encoding=LIGHT, packet_frames=64, played=Played(frames, 16_000)))
    kind = {"loss": "gap"}.get(fault.partition(":")[0], fault.partition(":")[0])
    files = bench.files(kind)
    description = json.loads(files[EVENT])
    assert description["stream"]["reference"] == str(path)
    (tmp_path / "evidence").mkdir()
    (found,) = checked(files, tmp_path / "evidence", monkeypatch)["events"]
    assert same(found, description["event"]), (found, description["event"])
    assert found["start_frame"] == description["clip"]["event_frame"]
    assert b"Close up" in files[PLOT]


def test_what_is_kept_begins_a_second_before_the_event_and_ends_a_second_after_it(tmp_path):
    bench = Bench(encoding=parse_rtpmap("L24/48000/2"))
    files = bench.run(packets(["dropout:at=2.0005,duration=0.5"], 4)).files("dropout")
    description = json.loads(files[EVENT])
    clip = description["clip"]
    assert clip["event_frame"] == 48_024
    assert (clip["packets"], clip["frames"], clip["frames_missing"]) == (2500, 120_000, 0)
    assert clip["first_arrival"] == "2026-09-21T14:13:21.000000Z"
    assert description["stream"] == {
        "name": "left",
        "ssrc": "0x5eed0001",
        "sender": FLOW.sender,
        "destination": FLOW.destination,
        "payload_type": 97,
        "encoding": "L24/48000/2",
        "reference": "tone:1283",
    }
    (tmp_path / AUDIO).write_bytes(files[AUDIO])
    audio, rate_hz = soundfile.read(tmp_path / AUDIO)
    assert (audio.shape, rate_hz) == ((120_000, 2), 48_000)
    assert not audio[48_024:72_024].any()
    assert audio[48_023].all()


def test_of_an_event_that_lasts_its_beginning_is_kept():
    bench = Bench().run(light("noise:at=1,dbfs=-60", 5))
    clip = json.loads(bench.files("noise")[EVENT])["clip"]
    assert (clip["event_frame"], clip["frames"]) == (16_000, 4 * 16_000)


def test_where_the_beginning_is_gone_the_latest_packets_are_kept():
    bench = Bench(seconds=3.0).run(light("dropout:at=1.0005,duration=0.5", 7))
    description = json.loads(bench.files("dropout")[EVENT])
    clip = description["clip"]
    assert not clip["whole"]
    assert clip["event_frame"] is None
    assert clip["packets"] == 2.5 * 250
    assert clip["last_arrival"] == "2026-09-21T14:13:26.996000Z"


def test_a_part_of_the_beginning_that_is_gone_is_said():
    bench = Bench(seconds=2.0).run(light("dropout:at=2,duration=0.5", 4.2))
    clip = json.loads(bench.files("dropout")[EVENT])["clip"]
    assert not clip["whole"]
    assert clip["event_frame"] is None or clip["event_frame"] < 16_000


def test_without_any_packet_there_is_no_evidence():
    bench = Bench().run(light("loss:at=2,packets=3", 4))
    (case,) = bench.cases.values()
    assert packets_of(case, [], SPAN) is None


def test_where_nothing_tells_how_packets_are_decoded_they_alone_are_kept(tmp_path, monkeypatch):
    silent = ["stall:at=2,seconds=0.5", "dropout:at=0,mode=zero,duration=4"]
    bench = Bench(encoding=None).run(packets(silent, 4, encoding=LIGHT, packet_frames=64))
    files = bench.files("stall")
    assert sorted(files) == [EVENT, PACKETS]
    stream = checked(files, tmp_path, monkeypatch)
    assert [event["kind"] for event in stream["events"]] == ["stall"]


def both(left: PacketBatch, right: PacketBatch) -> PacketBatch:
    """Return what two legs bring as one batch, in order of arrival."""
    batch = PacketBatch(
        np.concatenate([left.arena, right.arena]),
        np.concatenate([left.offset, right.offset + len(left.arena)]),
        np.concatenate([left.length, right.length]),
        np.concatenate([left.arrival_ns, right.arrival_ns + 200_000]),
        np.repeat([0, 1], [len(left), len(right)]),
        [FLOW, OTHER_LEG],
    )
    return batch.by_arrival()


def test_of_redundant_streams_all_legs_are_kept(tmp_path, monkeypatch):
    legs = tuple(LegEnds(flow.destination) for flow in (FLOW, OTHER_LEG))
    options = {"encoding": LIGHT, "packet_frames": 64}
    left = packets(["loss:at=1.2,packets=3", "loss:at=1.6,packets=9"], 3, **options)
    right = packets(["loss:at=1.2,packets=2", "loss:at=1.5,packets=9"], 3, flow=OTHER_LEG, **options)
    files = Bench(legs=legs).run(both(*batches) for batches in zip(left, right, strict=False)).files("gap")
    description = json.loads(files[EVENT])
    assert description["event"]["packets_lost"] == 2
    stream = checked(files, tmp_path, monkeypatch)
    assert [same(item, description["event"]) for item in stream["events"]] == [True]
    assert sorted(leg["packets_lost"] for leg in stream["legs"]) == [11, 12]
    assert stream["events"][0]["start_frame"] == description["clip"]["event_frame"]
    assert description["clip"]["frames_missing"] == 2 * 64


def test_the_command_says_what_the_limits_were():
    def options(limits: Limits) -> list[str]:
        bench = Bench(limits=limits).run(light("loss:at=2,packets=3", 3))
        command: str = json.loads(bench.files("gap")[EVENT])["check"]
        return shlex.split(command)[7:]

    assert options(Limits()) == []
    assert options(PROFILES["analog"]) == ["--profile", "analog"]
    own = with_values(PROFILES["analog"], {"max_dc_offset": 0.5, "max_late": 3, "word_length_is_fault": True}, "")
    assert options(own) == [
        "--profile",
        "analog",
        "--max-dc-offset",
        "0.5",
        "--word-length-is-fault",
        "--max-late",
        "3",
    ]


def test_the_picture_is_whole_and_says_what_it_shows():
    files = Bench().run(light("slip:at=2,frames=48,channel=2", 4)).files("slip")
    picture = files[PLOT].decode()
    assert picture.startswith("<svg ")
    assert picture.rstrip().endswith("</svg>")
    for words in ("slip (upstream), left, channel 2", "Waveform, channel 2", "Close up", "Residual", "Time between"):
        assert words in picture


@settings(max_examples=60)
@given(
    encoding=st.sampled_from(["L16/8000/1", "F32/8000/2", "PCMU/8000/1"]),
    headers=st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(1, 2)), max_size=12),
    payload=st.binary(max_size=64),
    packets_told=st.one_of(st.none(), st.tuples(st.integers(0, 2**20), st.integers(0, 2**20))),
    kind=st.sampled_from(["gap", "slip", "restart"]),
    duration=st.sampled_from([0, 5, 10**9]),
    is_open=st.booleans(),
)
def test_any_packets_make_evidence(encoding, headers, payload, packets_told, kind, duration, is_open):
    """Whatever a sender sends: what is kept of it may be odd, but nothing fails."""
    form = parse_rtpmap(encoding)
    case = Case(
        document={
            "stream": "left",
            "id": "0" * 12,
            "kind": kind,
            "cause": "unknown",
            "channel": 1,
            "message": "<&>",
            "time": None,
            "open": is_open,
            "packets": packets_told,
            "duration_frames": duration,
        },
        spec=StreamSpec("left", encoding=form),
        reference=Tone((997.0,)),
        encoding=form,
        ssrcs=frozenset({1, 2}),
        ssrc=1,
        payload_type=97,
        start_ns=START_NS,
        duration_ns=0,
        is_open=is_open,
        offset_frames=7,
    )
    datagrams = [struct.pack(">BBHII", 0x80, 97, *header) + payload for header in headers]
    length = np.array([len(datagram) for datagram in datagrams], np.int64)
    batch = PacketBatch(
        np.frombuffer(b"".join(datagrams), np.uint8),
        np.cumsum(length) - length,
        length,
        START_NS + np.arange(len(datagrams)) * 1_000_000,
        np.zeros(len(datagrams), np.int64),
        [FLOW],
    )
    ring = PacketHistory(10, 1 << 20)
    ring.put(batch)
    kept = packets_of(case, ring.pieces(), SPAN)
    assert (kept is None) == (not headers)
    if kept is not None:
        files = files_of(case, kept)
        assert json.loads(files[EVENT])["clip"]["packets"] == len(headers)
        if PLOT in files:
            ET.fromstring(files[PLOT])  # noqa: S314 - our own
