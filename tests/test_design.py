"""What docs/design.md says of the code is so: every file it names is there, and a packet goes the way it lists."""

import re
import sys
from pathlib import Path

import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.report import json
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.faulty import packets

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rtpverify"
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w./-]+(?:\.py|/))`")
MOST_FILES_OUTSIDE_DETECTORS = 23
"""Files outside ``detect/`` and what it calls in ``dsp/`` that a click may enter: the steps, and what they share."""
MOST_FILES = 59
"""The same with those, eight of which are the engine that names the faults of tones and recordings."""
IN_TURN = "scanner.py"
"""From here on which step comes first depends on what the detector has to explain."""


def _section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DESIGN, re.MULTILINE | re.DOTALL)[1]


def test_every_module_that_a_page_names_is_there():
    """By its whole path in the repository or the package, or by its end; the tutorial makes files of its own."""
    names = {path.relative_to(ROOT).as_posix() for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")}
    for page in sorted((ROOT / "docs").glob("*.md")):
        for name in re.findall(r"`([\w/-]+\.py)\b", page.read_text(encoding="utf-8")):
            known = any(one == name or one.endswith(f"/{name}") for one in names)
            assert known or (ROOT / name).exists() or page.name == "tutorial.md", f"{page.name}: {name}"


@pytest.mark.parametrize("text", [DESIGN, CONTRIBUTING], ids=["design", "contributing"])
def test_every_file_that_is_named_is_there(text):
    # A name alone is that of a file in the folder named before it.
    named, folder = FILE.findall(text), ""
    assert len(named) > 5
    for name in named:
        if name.endswith("/"):
            folder = name
        places = [ROOT / name, PACKAGE / name, PACKAGE / folder / name]
        assert any(place.exists() for place in places), name


@pytest.fixture(scope="module")
def entered():
    """Files of the package whose functions a click in a stream that has begun goes through, in order."""
    verifier = Verifier([StreamSpec(encoding=parse_rtpmap("L24/48000/2"), reference=parse_reference("tone:1283"))])
    batches = list(packets(["click:at=1.2,size=0.02"], 3.0))
    for batch in batches[:28]:
        verifier.feed(batch)
    files = {}

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            files.setdefault(path.relative_to(PACKAGE).as_posix())

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for batch in batches[28:]:
            verifier.feed(batch)
            verifier.advance(int(batch.arrival_ns[-1]))
        verifier.finish()
        json.render(verifier.result("stream"))
    finally:
        sys.setprofile(before)
    return list(files)


def test_a_packet_goes_the_way_that_is_listed(entered):
    steps = re.findall(r"^\d+\. (.*)$", _section("The way of a packet"), re.MULTILINE)
    listed = [name for step in steps for name in FILE.findall(step) if not name.startswith("sources/")]
    assert [name for name in listed if name not in entered] == []
    first = [next(iter(FILE.findall(step)), None) for step in steps[1:]]
    first = first[: next(place for place, name in enumerate(first) if name.endswith(IN_TURN)) + 1]
    assert first == sorted(first, key=entered.index)


def test_a_packet_goes_through_few_files(entered):
    outside = [name for name in entered if not name.startswith(("detect/", "dsp/"))]
    assert len(outside) <= MOST_FILES_OUTSIDE_DETECTORS, outside
    assert len(entered) <= MOST_FILES, entered


def test_the_glossary_has_each_word_once_and_in_order():
    words = re.findall(r"^\| ([^|]+?) \|", _section("Glossary"), re.MULTILINE)
    words = [word for word in words if word not in ("word", "---")]
    assert len(words) >= 40
    assert words == sorted(set(words), key=str.lower)
