"""The same fault is the same event, whatever the reference, the frame it begins at and how long it lasts.

Faults are made, and what is right is known, without anything of the package (``tests/oracle``): kind, first and last
frame whose value the fault changed, size; and nothing else is said. ``make corpus`` draws many more cases; a failure
prints the case, which can be made again from that.
"""

import os

import pytest

from tests.helpers.seeds import generator
from tests.oracle import faults
from tests.oracle.verdict import complaints

CASES = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))
"""Random cases of each kind and reference."""
LENGTHS = [2400, 4800, 9600, 24_000, 48_000]


def judge(case):
    wrong = complaints(case)
    assert not wrong, f"{case}:\n  " + "\n  ".join(wrong)


def pairs(kinds):
    references = ("tone", "recording")
    return [pytest.param(kind, name, id=f"{kind}-{name}") for name in references for kind in sorted(kinds)]


@pytest.mark.parametrize(("kind", "reference"), pairs(faults.TEMPORARY))
def test_a_fault_that_ends(kind, reference):
    """At any frame, of any of the lengths."""
    rng = generator(f"temporary/{kind}/{reference}")
    for _ in range(CASES):
        judge(faults.draw(rng, kind, rng.choice(LENGTHS), reference=reference))


@pytest.mark.parametrize(("kind", "reference"), pairs(faults.PERMANENT))
def test_a_fault_that_stays(kind, reference):
    rng = generator(f"permanent/{kind}/{reference}")
    for _ in range(CASES):
        judge(faults.draw(rng, kind, None, reference=reference))


def test_what_is_not_said_or_said_wrongly_is_a_complaint():
    case = faults.draw(generator("oracle"), "mute", 2400, channels=1)
    frames, truths = case.frames.copy(), case.truths
    frames[truths[0].start - 20_000] = 0.5
    assert len(complaints(case, frames)) == 1
    assert len(complaints(case, frames, [])) == 2
    frames[truths[0].stop - 1] = frames[truths[0].start - 1]
    assert len(complaints(case, frames)) in (3, 4)  # a frame of that may be a click of its own
