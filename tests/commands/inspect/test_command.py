"""The command, from source to every sink."""

import base64
import csv
import json
import re
import socket
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from rtpverify.cli import app as cli
from rtpverify.dsp.spectrum import spectrogram
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live.endpoint import Endpoint


def run(*arguments):
    return CliRunner().invoke(cli.main, ["inspect", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments):
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    [line] = outcome.stderr.splitlines()
    return line


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_summary(stereo_wav):
    outcome = run(stereo_wav, "--at", "0.15", "--start", "0.7")
    assert outcome.exit_code == 0
    assert "L24/48000/2, 1.000 s (48,000 frames); seen 0.700 s to 1.000 s" in outcome.stdout
    assert re.search(r"^  1 L +-0\.5 +\+0\.5 +-6\.02 +-6\.02 +3\.01 ", outcome.stdout, re.MULTILINE)
    assert "Channel 2 (R): not silent: dither of 16 bits only, -1 to +1 LSB" in outcome.stdout
    assert "0.15 s (frame 7,200): L " in outcome.stdout


def test_json(stereo_wav):
    outcome = run(stereo_wav, "--json", "-", "--at", "0.25")
    data = json.loads(outcome.stdout)
    assert (data["schema"], data["sample_rate"], data["channels"], data["frames"]) == (
        "rtpverify.inspect/1",
        48000,
        2,
        48000,
    )
    left, right = data["levels"]
    assert (left["name"], right["name"]) == ("L", "R")
    assert left["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert left["longest_run_frames"] == 481
    assert data["values"][0]["frame"] == 12000
    assert "Format" in outcome.stderr


def test_npz(stereo_wav, tmp_path):
    assert run(stereo_wav, "--npz", tmp_path / "out.npz", "--phase").exit_code == 0
    audio, _ = soundfile.read(stereo_wav)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        np.testing.assert_allclose(found["spectrogram_values"], spectrogram(audio, 48000).values, atol=1e-14)
        assert found["spectrogram_dbfs"].shape == (2, 1025, 94)
        assert found["spectrogram_times_seconds"].shape == (94,)
        assert found["spectrogram_frequencies_hz"][-1] == 24000
        assert found["constant_q_dbfs"].shape[1] == len(found["constant_q_frequencies_hz"])
        assert found["mfcc_db"].shape == (2, 20, 94)
        assert found["waveform_maximum"].shape == (2, 100)
        assert found["histogram_counts"].sum() == 96000
        assert found["channel_names"].tolist() == ["L", "R"]


def test_csv(stereo_wav, tmp_path):
    assert run(stereo_wav, "--csv", tmp_path / "out.csv", "--lowest", "110").exit_code == 0
    tables = {}
    for path in sorted(tmp_path.glob("out-*.csv")):
        with path.open(newline="") as file:
            tables[path.stem.removeprefix("out-")] = list(csv.reader(file))
    assert list(tables) == ["constant-q", "histogram", "levels", "mfcc", "spectrogram", "waveform"]
    for rows in tables.values():
        assert {len(row) for row in rows} == {len(rows[0])}
    figures = ("minimum", "maximum", "rms", "hilbert")
    assert tables["waveform"][0] == ["time_seconds", *(f"{figure}_{side}" for side in "LR" for figure in figures)]
    assert len(tables["waveform"]) == 101
    assert tables["spectrogram"][0][:3] == ["time_seconds", "channel", "0"]
    assert len(tables["spectrogram"]) == 1 + 2 * 94
    assert tables["constant-q"][0][2] == "110"
    audio, _ = soundfile.read(stereo_wav)
    row = tables["spectrogram"][1 + 94 + 10]
    assert row[:2] == ["0.1066666667", "2"]
    np.testing.assert_allclose(np.array(row[2:], float), spectrogram(audio, 48000).dbfs[1, :, 10], atol=1e-3)


def test_html_is_whole_and_needs_nothing(stereo_wav, tmp_path):
    assert run(stereo_wav, "--html", tmp_path / "page.html", "--at", "0.1").exit_code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)|url\((?!#)|@import|https?://', page)

    class Parser(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.names, self.images = [], [], []

        def handle_starttag(self, tag, attrs):
            if tag == "svg":
                self.names.append(dict(attrs)["aria-label"])
            if tag == "image" and "data-about" in dict(attrs):
                self.images.append(dict(attrs))

    parser = Parser()
    parser.feed(page)
    shown = [re.sub(r",.*", "", name) for name in parser.names]
    assert shown == [
        f"Channel {number} ({name}) – {view}"
        for view in ("Waveform", "Spectrogram", "Constant-Q spectrogram", "MFCC", "Histogram")
        for number, name in ((1, "L"), (2, "R"))
        if view != "Histogram"
    ] + ["Channel 1 (L) – Histogram", "Channel 2 (R) – Histogram"]
    # An image holds what it says: the loudest row of the left spectrogram is that of 1 kHz.
    image = parser.images[0]
    about = json.loads(image["data-about"])
    content = base64.b64decode(image["href"].partition(",")[2])
    columns, rows = struct.unpack(">II", content[16:24])
    at, packed = 8, b""
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    pixels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(rows, columns + 1)[:, 1:]
    loudest = pixels[:, 20].argmax()
    frequency = about["top"] - (loudest + 0.5) / rows * (about["top"] - about["bottom"])
    assert frequency == pytest.approx(1000, abs=24)
    level = about["low"] + pixels[loudest, 20] / 255 * (about["high"] - about["low"])
    assert level == pytest.approx(-6.0, abs=1.5)


def test_png(stereo_wav, tmp_path):
    pytest.importorskip("matplotlib")
    assert run(stereo_wav, "--png", tmp_path / "out.png", "--show", "waveform", "--show", "histogram").exit_code == 0
    content = (tmp_path / "out.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1430
    assert 500 < height < 1000


@pytest.mark.parametrize("frames", [1, 30])
def test_very_short_audio_is_drawn(tmp_path, frames):
    pytest.importorskip("matplotlib")
    soundfile.write(tmp_path / "short.wav", np.full((frames, 1), 0.25), 48000)
    outcome = run(tmp_path / "short.wav", "--png", tmp_path / "out.png", "--html", tmp_path / "out.html")
    assert outcome.exit_code == 0
    assert "DC only" in outcome.stdout


def test_digital_silence_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    soundfile.write(tmp_path / "zero.wav", np.zeros((4800, 2)), 48000)
    show = ["--show", "spectrogram", "--show", "histogram"]
    outcome = run(tmp_path / "zero.wav", "--png", tmp_path / "out.png", "--html", tmp_path / "out.html", *show)
    assert outcome.exit_code == 0
    assert "All channels: silent: every frame is 0" in outcome.stdout


def test_nothing_is_written_over(stereo_wav, tmp_path):
    there = tmp_path / "there-waveform.csv"
    there.write_text("mine")
    line = refused(stereo_wav, "--csv", tmp_path / "there.csv", "--npz", tmp_path / "new.npz")
    assert line == f"rtpverify: --csv {there}: already exists (use --force to overwrite)"
    assert there.read_text() == "mine"
    assert not (tmp_path / "new.npz").exists()
    assert run(stereo_wav, "--csv", tmp_path / "there.csv", "--force").exit_code == 0
    assert there.read_text() != "mine"


def test_bad_requests(stereo_wav, tmp_path):
    assert "none is given" in refused(stereo_wav, "--show", "mfcc")
    assert "goes to --npz" in refused(stereo_wav, "--phase", "--png", tmp_path / "a.png")
    assert "no such folder" in refused(stereo_wav, "--npz", tmp_path / "none" / "a.npz")
    assert "an audio file states its own encoding" in refused(stereo_wav, "--encoding", "L16/48000")
    assert "No such file" in refused(tmp_path / "none.wav")
    assert run(stereo_wav, "--json", "-", "--html", "-").exit_code == 2


def test_a_missing_matplotlib_is_told_with_its_extra(stereo_wav, tmp_path, monkeypatch):
    monkeypatch.setattr("rtpverify.commands.inspect.png.find_spec", lambda _name: None)
    line = refused(stereo_wav, "--png", tmp_path / "a.png")
    assert line == "rtpverify: --png needs matplotlib: install rtpverify[png]; --html needs nothing"


class TestPackets:
    def test_a_capture_with_a_hole(self, write_capture):
        path = write_capture(seconds=1.0, lost=(500, 501))
        outcome = run(path, "--encoding", "L24/48000/2", "--json", "-", "--at", "0.5", "--at", "0.75")
        data = json.loads(outcome.stdout)
        assert (data["encoding"], data["frames"], data["channels"]) == ("L24", 48000, 2)
        assert data["warnings"] == ["96 of 48,000 frames never arrived and read as 0"]
        assert data["levels"][0]["longest_run_frames"] >= 96
        assert data["values"][0]["values"] == [0.0, 0.0]
        wanted = 0.5 * np.sin(2 * np.pi * 997 * 0.75)
        assert data["values"][1]["values"] == pytest.approx([wanted, wanted], abs=1e-6)

    def test_one_stream_of_several(self, write_capture):
        first = write_capture("a.pcap", seconds=0.2)
        second = write_capture("b.pcap", seconds=0.2, frequency_hz=499.0)
        content = second.read_bytes().replace(bytes.fromhex("5eed0001"), bytes.fromhex("5eed0002"))
        first.write_bytes(first.read_bytes() + content[24:])
        line = refused(first, "--encoding", "L24/48000/2")
        assert "holds 2 streams, pick one with --stream" in line
        assert "0x5eed0002" in line
        outcome = run(first, "--encoding", "L24/48000/2", "--stream", "0x5eed0002", "--json", "-", "--at", "0.05")
        value = json.loads(outcome.stdout)["values"][0]["values"][0]
        assert value == pytest.approx(0.5 * np.sin(2 * np.pi * 499 * 0.05), abs=1e-6)

    def test_what_cannot_be_decoded(self, write_capture):
        assert "encoding unknown" in refused(write_capture(seconds=0.1, frequency_hz=0.0))

    def test_nothing_arrives(self):
        outcome = run(f"rtp://127.0.0.1:{free_port()}", "--encoding", "L24/48000/2", "--duration", "0.1")
        assert outcome.exit_code == 3
        assert "no audio arrived" in outcome.stderr

    def test_a_live_stream(self):
        port = free_port()
        with Sender([StreamSettings(Endpoint("127.0.0.1", port), signal=ToneSignal([997.0]))]) as sender:
            sender.start()
            outcome = run(f"rtp://127.0.0.1:{port}", "--encoding", "L24/48000/2", "--duration", "1.5", "--json", "-")
        data = json.loads(outcome.stdout)
        assert data["levels"][0]["level_dbfs"] == pytest.approx(-20, abs=0.01)
        assert data["frames"] > 4800
