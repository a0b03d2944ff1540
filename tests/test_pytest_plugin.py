"""The pytest plugin, in runs of pytest of its own: what a bench writes, and what it gets."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import rtpverify
from tests.helpers.ports import free_port

ROOT = Path(__file__).parents[1]
IS_INSTALLED = bool(entry_points(group="pytest11", name="rtpverify"))

BENCH = """
import pytest
import rtpverify

SOURCE = "rtp://127.0.0.1:{port}"
pytestmark = pytest.mark.rtp(encoding="L16/48000/1", reference="tone:997", limits={{"max_stall_seconds": 60}})
"""


@pytest.fixture
def bench(tmp_path):
    """Run a file of tests of a bench; return what pytest printed, and the attributes and parts of each test case."""

    def run(text, *options, ini="", conftest=""):
        (tmp_path / "test_bench.py").write_text(BENCH.format(port=free_port()) + text)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text(
            f"[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n{ini}"
        )
        plugin = () if IS_INSTALLED else ("-p", "rtpverify.pytest_plugin")
        plugin += ("-p", "no:labgrid")  # registers itself with every run where it is installed
        command = [sys.executable, "-m", "pytest", *plugin, "-q", "--strict-markers", "--junitxml=junit.xml", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert "INTERNALERROR" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
        cases = ET.parse(tmp_path / "junit.xml").iter("testcase")  # noqa: S314
        return ended, {case.get("name"): case for case in cases}

    return run


def properties(case):
    return {item.get("name"): item.get("value") for item in case.iter("property")}


def status(cases):
    tags = ("failure", "error", "skipped")
    return {name: next((tag for tag in tags if case.find(tag) is not None), "passed") for name, case in cases.items()}


def test_checks_end_with_their_tests_and_what_they_found_is_in_the_report(bench, tmp_path):
    ended, cases = bench(
        """
def test_well(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(SOURCE)
    rtp_sender(SOURCE)
    verifier.wait_for_audio(60)

def test_drops(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(SOURCE)
    sender = rtp_sender(SOURCE, faults=["loss:at=0.2,packets=3"], duration=0.4)
    sender.wait()
    verifier.stop().assert_clean()

def test_drops_and_nobody_asks(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(SOURCE)
    rtp_sender(SOURCE, faults=["slip:at=0.2,frames=48"], duration=0.5).wait()

def test_expects_it(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(SOURCE)
    sender = rtp_sender(SOURCE, faults=["loss:at=0.2,packets=3"], duration=0.4)
    sender.wait()
    assert [event.kind for event in verifier.stop().streams[0].events] == [event.kind for event in sender.truth]

def test_fails_itself(rtp_verifier, rtp_sender):
    with rtp_verifier(SOURCE) as verifier:
        rtp_sender(SOURCE)
        verifier.wait_for_audio(60)
        assert verifier.result.streams == []

def test_of_a_file(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "tone.wav", rtpverify.tone(997, seconds=1, bits=16), 48000, "PCM_16")
    assert rtpverify.check(tmp_path / "tone.wav", reference="tone:997")
    rtpverify.check(tmp_path / "tone.wav", reference="tone:1000").assert_clean()

def test_skips(rtp_verifier):
    rtp_verifier(SOURCE)
    pytest.skip("no device today")

async def test_in_an_event_loop(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(SOURCE)
    rtp_sender(SOURCE)
    await verifier.wait_for_audio_async(60)

def test_the_port_is_free_again():
    with rtpverify.verify(SOURCE, encoding="L16/48000/1"):
        pass
""",
        "--rtp-evidence=kept",
        ini="asyncio_mode = auto\n",
    )
    assert status(cases) == {
        "test_well": "passed",
        "test_drops": "failure",
        "test_drops_and_nobody_asks": "failure",
        "test_expects_it": "passed",
        "test_fails_itself": "failure",
        "test_of_a_file": "failure",
        "test_skips": "skipped",
        "test_in_an_event_loop": "passed",
        "test_the_port_is_free_again": "passed",
    }, ended.stdout
    assert re.search(r"AssertionError: rtp://\S+ 1 fault: 1 gap\nE +gap at 0.200000 s \(frame 9,600\)", ended.stdout)
    assert "slip at 0.200000 s (frame 9,600), channel 1, cause upstream, +48 frames" in ended.stdout
    assert re.search(r"- rtpverify rtp://\S+ -+\nFAIL  1 fault: 1 gap\n", ended.stdout)
    assert properties(cases["test_well"])["rtpverify.verdict"] == "pass"
    drops = properties(cases["test_drops"])
    assert (drops["rtpverify.verdict"], drops["rtpverify.reason"], drops["rtpverify.packets_lost"]) == (
        "fail",
        "1 gap",
        "3",
    )
    folder = Path(drops["rtpverify.evidence"])
    assert folder.parent.parent == tmp_path / "kept"
    assert json.loads((folder / "result.json").read_text())["request"]["reference"] == "tone:997"
    attached = cases["test_drops"].findtext("system-out")
    assert f"[[ATTACHMENT|{folder / 'packets.pcap'}]]" in attached
    options = {"encoding": "L16/48000/1", "reference": "tone:997", "limits": {"max_stall_seconds": 60}}
    again = rtpverify.check(folder / "packets.pcap", **options)
    assert again.reason == "1 gap"
    kept = {path.name.rpartition("-")[0] for path in (tmp_path / "kept").iterdir()}
    assert kept == {
        "test_bench_py_test_drops",
        "test_bench_py_test_drops_and_nobody_asks",
        "test_bench_py_test_expects_it",
        "test_bench_py_test_fails_itself",
        "test_bench_py_test_of_a_file",
        "test_bench_py_test_skips",
    }
    of_a_file = properties(cases["test_of_a_file"])
    assert (of_a_file["rtpverify.verdict"], of_a_file["rtpverify.2.reason"]) == ("pass", "1 frequency")
    assert (Path(of_a_file["rtpverify.2.evidence"]) / "report.html").is_file()
    [of_the_test] = (tmp_path / "kept").glob("test_bench_py_test_fails_itself-*")
    assert "AssertionError" in (of_the_test / "check-1" / "error.txt").read_text()


def test_bad_use_says_what_to_change(bench):
    ended, cases = bench(
        """
def test_not_called(rtp_verifier):
    rtp_verifier.wait_for_audio(5)

def test_entered(rtp_sender):
    with rtp_sender:
        pass

def test_no_source(rtp_verifier):
    rtp_verifier()

def test_nothing_sends(rtp_verifier):
    rtp_verifier(SOURCE).wait_for_audio(0.05)

def test_ends_too_early(rtp_verifier):
    rtp_verifier(SOURCE)

def test_port_in_use(rtp_verifier):
    rtp_verifier(SOURCE)
    rtp_verifier(SOURCE)

@pytest.mark.rtp(limits={"max_thd": -60})
def test_unknown_limit(rtp_verifier):
    pass

@pytest.mark.rtp(limit=3)
def test_unknown_option(rtp_sender):
    pass

@pytest.mark.rtp("digital")
def test_argument_without_a_name(rtp_sender):
    pass

@pytest.mark.rtp(profile="tape")
def test_unknown_profile(rtp_verifier):
    pass

@pytest.fixture
def device(rtp_verifier):
    verifier = rtp_verifier(SOURCE)
    verifier.wait_for_audio(0.05)
    return verifier

def test_fixture_without_a_device(device):
    pass

def test_unknown_encoding(rtp_verifier):
    rtp_verifier(SOURCE, encoding="L23/48000/2")

def test_no_such_file():
    rtpverify.check("nothing.wav")
""",
    )
    said = {
        name: "\n".join(part.get("message") for part in case if part.tag in ("failure", "error"))
        for name, case in cases.items()
    }
    words = {
        "test_not_called": "has no 'wait_for_audio': it is to be called first: verifier = rtp_verifier(\"rtp://",
        "test_entered": 'rtp_sender is to be called: sender = rtp_sender("rtp://',
        "test_no_source": "rtp_verifier: None is neither an address nor a path: verifier = rtp_verifier(",
        "test_nothing_sends": "no RTP stream within 0.05 s: no datagram arrived at all. Start the sender after",
        "test_ends_too_early": "call verifier.wait_for_audio(timeout=...) before it ends",
        "test_port_in_use": "is in use; end the program that uses it, or choose another port",
        "test_unknown_limit": "marker rtp: limits: unknown limit 'max_thd'; known are max_frequency_error_ppm,",
        "test_unknown_option": "marker rtp: limit is unknown; it takes profile, limits, encoding, reference,",
        "test_argument_without_a_name": "marker rtp: 'digital' is unknown; it takes profile,",
        "test_unknown_profile": "marker rtp: profile: 'tape' is not one of digital, analog",
        "test_fixture_without_a_device": "no RTP stream within 0.05 s",
        "test_unknown_encoding": "encoding 'L23' is unknown; known are L8,",
        "test_no_such_file": "nothing.wav: No such file or directory",
    }
    assert {name: text for name, text in words.items() if text not in said[name]} == {}, ended.stdout
    # The caller's line is shown, nothing of what it called, and each message once.
    shown = "\n".join(part.text for case in cases.values() for part in case if part.tag in ("failure", "error"))
    assert '>       rtpverify.check("nothing.wav")' in shown
    assert not re.search(r"\w+\.py:\d+: in |During handling|payload\.py|pytest_plugin\.py", shown), shown


def test_options_and_ini_keys_give_what_neither_test_nor_marker_does(bench, tmp_path):
    (tmp_path / "sdp").mkdir()
    port = free_port()
    description = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 97\n"
    (tmp_path / "sdp" / "device.sdp").write_text(description.format(port=port) + "a=rtpmap:97 L24/96000/2\n")
    text = f"""
OTHER = "rtp://127.0.0.1:{port}"

@pytest.mark.rtp(reference="tone:1283", encoding=None)
def test_description(rtp_verifier, rtp_sender):
    verifier = rtp_verifier(OTHER)
    rtp_sender(OTHER, encoding="L24/96000/2")
    verifier.wait_for_audio(60)
    result = verifier.stop()
    assert (result.request.profile, result.request.limits) == ("analog", {{"max_stall_seconds": 60}})
    assert result.streams[0].sample_rate == 96000

@pytest.mark.rtp(profile="digital", limits={{"max_thd_n_db": -50}}, encoding=None)
def test_marker_goes_first(rtp_verifier, request):
    asked = rtp_verifier(SOURCE, limits={{"max_gain_db": None}}).stop().request
    assert (asked.profile, asked.limits) == ("digital", {{"max_gain_db": None}})
    asked = rtp_verifier(SOURCE).stop().request
    assert (asked.profile, asked.limits) == ("digital", {{"max_thd_n_db": -50, "max_stall_seconds": 60}})
"""
    ended, cases = bench(
        text, "--rtp-profile=analog", ini="rtp_profile = digital\nrtp_sdp = sdp/device.sdp\nrtp_interface = nosuch0\n"
    )
    assert status(cases) == {"test_description": "passed", "test_marker_goes_first": "passed"}, ended.stdout


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_workers_of_xdist_keep_evidence_apart(bench):
    ended, cases = bench(
        f"""
@pytest.mark.parametrize("port", {[free_port() for _ in range(2)]})
def test_drops(rtp_verifier, rtp_sender, port):
    source = f"rtp://127.0.0.1:{{port}}"
    verifier = rtp_verifier(source)
    rtp_sender(source, faults=["loss:at=0.1,packets=3"], duration=0.3).wait()
    verifier.stop().assert_clean()
""",
        "-n2",
        "--rtp-evidence=kept",
    )
    assert set(status(cases).values()) == {"failure"}, ended.stdout
    folders = [Path(properties(case)["rtpverify.evidence"]) for case in cases.values()]
    assert len(set(folders)) == 2
    assert all((folder / "result.json").is_file() for folder in folders)
    assert all("[[ATTACHMENT|" in case.findtext("system-out") for case in cases.values())


def test_a_run_that_does_not_use_it_loads_nothing_of_it():
    """What it costs is what it imports, which is pytest's own and the standard library's."""
    script = (
        "import sys, pytest, xml.etree.ElementTree; before = set(sys.modules); import rtpverify.pytest_plugin\n"
        "print(sorted(name.partition('.')[0] for name in set(sys.modules) - before))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(eval(printed.stdout)) <= {"rtpverify"}  # noqa: S307 - a list of names
