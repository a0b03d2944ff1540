"""What a command writes: never over what it reads, never twice under one name, whatever the names."""

import json
import os
from xml.etree import ElementTree as ET

import click
import pytest

from rtpverify.cli import app
from rtpverify.cli.options import FileCommand, OutputFile
from rtpverify.commands.ending import exit_status
from tests.helpers.command import refused, run

CHECK = ("--reference", "tone:997")


@pytest.mark.parametrize("how", ["itself", "symlink", "link", "dots"])
@pytest.mark.parametrize("option", ["--json", "--junit", "--html"])
def test_no_output_destroys_the_source(tone_wav, option, how):
    other = tone_wav.with_name("other")
    if how == "symlink":
        other.symlink_to(tone_wav)
    elif how == "link":
        other.hardlink_to(tone_wav)
    output = {"itself": tone_wav, "dots": tone_wav.parent / ".." / tone_wav.parent.name / tone_wav.name}.get(how, other)
    before = tone_wav.read_bytes()
    assert f"{option} {output}: is read by this command" in refused("check", tone_wav, *CHECK, option, output)
    assert tone_wav.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "{long}"),
        ("compare", "{long}", "{long}"),
        ("inspect", "{long}"),
        ("inspect", "{wav}", "--png", "{long}"),
        ("batch", "{long}", "--out", "out"),
        ("check", "{wav}", "--reference", "{long}"),
        ("check", "{wav}", "--json", "{long}"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(tone_wav, monkeypatch, capfd, arguments):
    monkeypatch.chdir(tone_wav.parent)
    words = [word.format(long="9" * 400, wav=tone_wav.name) for word in arguments]
    assert exit_status(lambda: app.main.run(words)) == 2
    assert "File name too long" in capfd.readouterr().err


def test_every_file_that_is_read_is_safe(tone_wav):
    limits, sdp = tone_wav.with_name("limits.toml"), tone_wav.with_name("a.sdp")
    limits.write_text("max_dc_offset = 1\n")
    sdp.write_text("v=0\n")
    for arguments in (
        ("check", tone_wav, "--limits", limits, "--json", limits),
        ("check", "rtp://127.0.0.1:5004", "--sdp", sdp, "--json", sdp),
        ("check", sdp, "--reference", tone_wav, "--json", tone_wav),
        ("compare", tone_wav, tone_wav, "--html", tone_wav),
        ("inspect", tone_wav, "--force", "--npz", tone_wav),
        ("listen", tone_wav, "--force", "--out", tone_wav),
    ):
        assert "is read by this command" in refused(*arguments)


def test_two_outputs_of_one_name(tone_wav):
    one, same = tone_wav.with_name("out"), tone_wav.parent / "." / "out"
    assert "--html" in refused("check", tone_wav, *CHECK, "--json", one, "--html", same)
    assert not one.exists()
    levels = tone_wav.with_name("a-levels.csv")
    assert "is written by" in refused("inspect", tone_wav, "--csv", tone_wav.with_name("a.csv"), "--npz", levels)
    assert run("check", tone_wav, *CHECK, "--json", os.devnull, "--html", os.devnull).exit_code == 0


def test_every_command_that_writes_files_is_one_of_these():
    writes = 0
    for command in app.main.commands.values():
        for parameter in command.params:
            text = getattr(parameter, "help", None) or parameter.name
            if "FILE" in str(parameter.metavar) and text.startswith(("Write", "WAV file to write")):
                assert isinstance(parameter.type, OutputFile), (command.name, parameter.name)
            if isinstance(parameter.type, OutputFile):
                writes += 1
                assert isinstance(command, FileCommand), command.name
            elif isinstance(parameter.type, click.File):
                raise AssertionError(f"{command.name}: click opens files before anything is refused")
    assert writes > 10


def test_names_that_are_not_utf_8(tone_wav):
    source = tone_wav.with_name(os.fsdecode(b"bad\xff.wav"))
    tone_wav.rename(source)
    outputs = {name: tone_wav.with_name(os.fsdecode(b"out\xfe." + name.encode())) for name in ("json", "junit", "html")}
    outcome = run("check", source, *CHECK, *(part for name in outputs for part in (f"--{name}", outputs[name])))
    assert outcome.exit_code == 0
    assert r"bad\xff.wav" in outcome.stdout
    assert json.loads(outputs["json"].read_text())["source"].endswith(r"bad\xff.wav")
    assert r"bad\xff.wav" in outputs["html"].read_text()
    assert r"bad\xff_wav" in ET.parse(outputs["junit"]).getroot()[0].get("name")  # noqa: S314 - our own file
    assert r"none\xff.wav: No such file" in refused("check", tone_wav.with_name(os.fsdecode(b"none\xff.wav")))


def test_control_characters_in_names_reach_no_terminal(tone_wav):
    source = tone_wav.with_name("a\x1b]0;title\x07\x1b[31m.wav")
    tone_wav.rename(source)
    for command in ("check", "inspect"):
        outcome = run(command, source)
        assert "\x1b" not in outcome.output
        assert "\x07" not in outcome.output
    assert r"a\x1b]0;title\x07\x1b[31m.wav" in run("check", source).stdout
    assert "\x1b" not in refused("check", source.with_name("\x1b[2J"))
    assert "\x1b" not in run("check", source, "--json", "/none\x1b[2J/x").output
