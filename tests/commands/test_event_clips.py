"""What reports draw of events: the audio as it was received, the reference, what remains, and the packets."""

import json
import re

import numpy as np
import pytest
import soundfile

from rtpverify.commands import event_clips
from rtpverify.commands.check import check
from rtpverify.commands.compare import compare
from rtpverify.report import html
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers import captures as c
from tests.helpers.faulty import packets

L24 = parse_rtpmap("L24/48000/2")
TONE = 0.1 * np.sin(2 * np.pi * 1283 * np.arange(48_000 * 5) / 48_000)


def capture(folder, faults, seconds=5.0):
    """Write the packets of a faulty stream, and return the file."""
    records = [
        (int(batch.arrival_ns[row]), c.ethernet(c.ipv4(c.udp(batch.arena[start : start + length].tobytes()))))
        for batch in packets(faults, seconds)
        for row, (start, length) in enumerate(zip(batch.offset.tolist(), batch.length.tolist(), strict=True))
    ]
    (folder / "faulty.pcap").write_bytes(c.pcap(records))
    return folder / "faulty.pcap"


def clips_of(path, reference="tone:1283", **options):
    result = check(str(path), reference=parse_reference(reference), with_clips=True, **options)
    return result, {str(event.kind): (event, result.clips.get(event.id)) for event in result.streams[0].events}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    faults = ["loss:at=1.5,packets=3", "dropout:at=2.5,duration=0.004", "click:at=3.5,size=0.01,channel=2"]
    return clips_of(capture(tmp_path_factory.mktemp("clips"), faults), encoding=L24)


def test_audio_is_what_was_received_and_what_it_should_have_been(found):
    event, clip = found[1]["dropout"]
    frame = np.arange(clip.start_frame, clip.start_frame + len(clip.received))
    muted = (frame >= event.start_frame) & (frame < event.start_frame + event.duration_frames)
    assert np.abs(clip.received[~muted] - TONE[frame[~muted]]).max() < 1e-6
    assert (clip.received[muted] == 0.0).all()
    assert np.abs(clip.received - clip.residual - TONE[frame]).max() < 1e-6
    assert np.abs(clip.residual[~muted]).max() < 1e-6


def test_the_channel_is_that_of_the_event(found):
    event, clip = found[1]["click"]
    assert (event.channel, clip.channel) == (2, 2)
    assert abs(abs(clip.residual[event.start_frame - clip.start_frame]) - 0.01) < 1e-5
    assert int(np.argmax(np.abs(clip.residual))) == event.start_frame - clip.start_frame


def test_packets_and_what_is_missing(found):
    event, clip = found[1]["gap"]
    hole = event.start_frame - clip.start_frame
    assert clip.holes == ((hole, hole + 144),)
    assert (np.diff(clip.packet_frame) > 0).all()
    missing = [frame for frame in range(hole, hole + 144, 48) if frame in clip.packet_frame.tolist()]
    assert missing == []
    after = clip.packet_frame.tolist().index(hole + 144)
    assert clip.packet_sequence[after] == (65_000 + 1503) % 65_536
    assert abs(clip.packet_interval_seconds[after] - 0.004) < 1e-9


def test_spectra_show_the_event_and_not_what_was_before(found):
    _, clip = found[1]["click"]
    line = int(np.argmin(np.abs(clip.spectrum_hz - 1283)))
    away = clip.spectrum_hz > 6000
    assert abs(clip.before_dbfs[line] - -20) < 1.5
    assert clip.around_dbfs[away].mean() > clip.before_dbfs[away].mean() + 20
    columns = clip.spectrogram_dbfs.shape[1]
    at = round((3.5 * 48_000 - clip.spectrogram_start_frame) / clip.spectrogram_frames * columns)
    loudest = int(clip.spectrogram_dbfs[40:].mean(axis=0).argmax())
    assert abs(loudest - at) <= 2


def test_a_recording_as_reference(tmp_path):
    rng = np.random.default_rng(5)
    noise = np.round(rng.uniform(-(2**13), 2**13, (144_000, 1))) / 2**15
    soundfile.write(tmp_path / "reference.wav", noise, 48_000, "PCM_16")
    received = np.roll(noise, 1000, axis=0)
    received[70_000:70_480] = 0.0
    soundfile.write(tmp_path / "received.wav", received, 48_000, "PCM_16")
    _, events = clips_of(tmp_path / "received.wav", reference=str(tmp_path / "reference.wav"))
    [(event, clip)] = events.values()
    frame = np.arange(clip.start_frame, clip.start_frame + len(clip.received))
    assert event.start_frame in frame
    assert np.abs(clip.received - clip.residual - np.roll(noise, 1000, axis=0)[frame, 0]).max() < 1e-6


@pytest.mark.parametrize("offset", [0, 700, -700])
def test_two_recordings(tmp_path, offset):
    """The reference is played once: outside it there is nothing."""
    rng = np.random.default_rng(6)
    noise = np.round(rng.uniform(-(2**13), 2**13, 96_000)) / 2**15
    shifted = np.concatenate([np.zeros(max(0, offset)), noise[max(0, -offset) :]])
    received = shifted.copy()
    received[50_000:50_480] = 0.0
    soundfile.write(tmp_path / "reference.wav", noise, 48_000, "PCM_16")
    soundfile.write(tmp_path / "received.wav", received, 48_000, "PCM_16")
    result = compare(tmp_path / "reference.wav", tmp_path / "received.wav", with_clips=True)
    [clip] = [result.clips[event.id] for event in result.streams[0].events if event.start_frame == 50_000]
    there = slice(clip.start_frame, clip.start_frame + len(clip.received))
    assert np.abs(clip.received - clip.residual - shifted[there]).max() < 1e-6


def test_many_events_do_not_hide_one(tmp_path, monkeypatch):
    monkeypatch.setattr(event_clips, "MOST_CLIPS", 5)
    faults = [f"click:at={1 + 0.2 * number:g},size={0.01 + 0.001 * number:g}" for number in range(12)]
    result, events = clips_of(capture(tmp_path, [*faults, "slip:at=4,frames=48"]), encoding=L24)
    assert len(result.clips) == 5
    assert events["slip"][1] is not None
    drawn = [event.size.as_dict() for event in result.streams[0].events if event.id in result.clips]
    assert min(size["deviation"] for size in drawn if "deviation" in size) > 0.017


def test_nothing_is_kept_unless_asked(tmp_path):
    path = capture(tmp_path, ["dropout:at=2.5,duration=0.004"])
    assert check(str(path), reference=parse_reference("tone:1283"), encoding=L24).clips == {}
    result, _ = clips_of(path, reference="none", encoding=L24)
    assert result.clips == {}


def test_the_page_of_fifty_events_is_small_and_loads_nothing(tmp_path):
    faults = [f"click:at={1 + 0.06 * number:g},size=0.01" for number in range(64)]
    result, _ = clips_of(capture(tmp_path, faults), encoding=L24)
    page = html.render(result)
    assert len(result.clips) == 50
    assert len(page) < 3_000_000
    assert page.count('<details class="event"') == 50
    assert page.count('<td class="text">') == len(result.streams[0].events) - 50
    assert page.count(" open>") == 1
    assert not re.search(r"https?://|url\(|@import|\bsrc=", page)
    [data] = re.findall(r'<script type="application/json" id="clips">(.*?)</script>', page)
    assert [clip["channel"] for clip in json.loads(data)] == [1] * 50
    first = re.search(r'<p class="first"><b>First fault: click</b>.*<a href="#(event-[^"]+)">picture</a>', page)
    assert f'<details class="event" id="{first[1]}" open>' in page
