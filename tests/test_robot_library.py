"""The keywords for Robot Framework, in runs of Robot of its own; the example is one of them."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import rtpverify
from tests.helpers.ports import free_port

pytest.importorskip("robot")

ROOT = Path(__file__).parents[1]

SUITE = """
*** Settings ***
Library    rtpverify.robot_library.RtpVerify    encoding=L16/48000/1    reference=tone:997
...        evidence=${OUTPUT DIR}/kept    max_stall_seconds=60

*** Test Cases ***
"""


@pytest.fixture
def robot(tmp_path):
    """Run a suite; return status and message of each test case, and the log."""

    def run(path, *options):
        command = [sys.executable, "-m", "robot", "--outputdir", str(tmp_path / "out"), *options, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        output = ET.parse(tmp_path / "out" / "output.xml")  # noqa: S314
        cases = {case.get("name"): case.find("status") for case in output.iter("test")}
        assert cases, ended.stdout + ended.stderr
        log = "\n".join(message.text or "" for message in output.iter("msg"))
        return {name: (status.get("status"), status.text or "") for name, status in cases.items()}, log

    return run


def test_the_example_passes(robot):
    cases, log = robot(
        ROOT / "examples" / "robot" / "audio.robot", "--variable", f"STREAM:rtp://127.0.0.1:{free_port()}"
    )
    assert {status for status, _ in cases.values()} == {"PASS"}, cases
    assert len(cases) == 3
    assert "<svg" in log


def test_what_fails_says_why_and_ends_with_its_test_case(robot, tmp_path):
    port, other = free_port(), free_port()
    (tmp_path / "suite.robot").write_text(
        SUITE
        + f"""
Drops
    Start Verifying    rtp://127.0.0.1:{port}
    Start Sending    rtp://127.0.0.1:{port}    loss:at=0.2,packets=3    duration=0.4
    Wait Until Sent
    Audio Should Be Clean

Nothing Sends
    Start Verifying    rtp://127.0.0.1:{port}
    Wait For Audio    timeout=50 ms

Nothing Begun
    Wait For Audio

Other Source
    Start Verifying    rtp://127.0.0.1:{port}
    Audio Should Be Clean    source=rtp://127.0.0.1:{other}

Two Devices
    Start Verifying    rtp://127.0.0.1:{port}
    Start Verifying    rtp://127.0.0.1:{other}    reference=tone:1283
    Start Sending    rtp://127.0.0.1:{port}
    Start Sending    rtp://127.0.0.1:{other}    frequency=1283
    Wait For Audio    60 s    rtp://127.0.0.1:{port}
    Wait For Audio    60 s
    Audio Should Be Clean    after=0.3    source=rtp://127.0.0.1:{port}
    Audio Should Be Clean

Unknown Limit
    Start Verifying    rtp://127.0.0.1:{port}    max_thd=-60

Recording
    Recording Should Be Clean    {tmp_path}/tone.wav
    Recording Should Be Clean    {tmp_path}/tone.wav    reference=tone:998
"""
    )
    import soundfile

    soundfile.write(tmp_path / "tone.wav", rtpverify.tone(997, seconds=1, bits=16), 48000, "PCM_16")
    cases, _ = robot(tmp_path / "suite.robot")
    words = {
        "Drops": ("FAIL", "1 fault: 1 gap\n  gap at 0.200000 s (frame 9,600)"),
        "Nothing Sends": ("FAIL", "no RTP stream within 0.05 s: no datagram arrived at all"),
        "Nothing Begun": ("FAIL", "nothing is being verified: begin with Start Verifying"),
        "Other Source": ("FAIL", f"127.0.0.1:{other}: is not being verified; begun were rtp://127.0.0.1:{port}"),
        "Two Devices": ("PASS", ""),
        "Unknown Limit": ("FAIL", "limits: unknown limit 'max_thd'; known are"),
        "Recording": ("FAIL", "1 fault: 1 frequency"),
    }
    wrong = {
        name: cases[name]
        for name, (status, text) in words.items()
        if cases[name][0] != status or text not in cases[name][1]
    }
    assert wrong == {}
    [folder] = (tmp_path / "out" / "kept").glob("*Drops")
    assert f"Evidence: {folder / 'check-1'}" in cases["Drops"][1]
    assert (folder / "check-1" / "packets.pcap").is_file()
