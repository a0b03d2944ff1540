"""Every kind of fault, of random size in random recordings: found, named, located and told once.

``make corpus`` draws many more, others each time; a failure prints the case, which can be given to ``Case`` as it is.
"""

import os
import shutil
from dataclasses import replace

import pytest

from rtpverify.events import MismatchSize
from tests.helpers import recoded_corpus, recording_corpus
from tests.helpers.recording_corpus import Case
from tests.helpers.seeds import generator

PER_KIND = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))
"""Random cases of each kind."""
RECODED_PER_KIND = max(1, PER_KIND // 4)

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture
def rng(request):
    return generator(request.node.name)


def judge(corpus, case, *result_arguments):
    """Fail with everything that is wrong with a case."""
    wrong = corpus.complaints(case, case.run(*result_arguments))
    assert not wrong, f"{case}:\n  " + "\n  ".join(wrong)


@pytest.mark.parametrize("kind", recording_corpus.KINDS)
def test_random_faults(rng, kind):
    for _ in range(PER_KIND):
        judge(recording_corpus, recording_corpus.draw(rng, kind))


def test_random_copies_are_clean(rng):
    for _ in range(2 * PER_KIND):
        judge(recording_corpus, recording_corpus.draw_copy(rng))


@needs_ffmpeg
def test_random_recoded_recordings_are_clean(rng, tmp_path):
    for _ in range(RECODED_PER_KIND):
        judge(recoded_corpus, recoded_corpus.draw_clean(rng), tmp_path)


@needs_ffmpeg
@pytest.mark.parametrize("edit", recoded_corpus.EDITS if PER_KIND > 1 else ["missing", "other"])
def test_random_pieces_missing_or_inserted_in_recoded_recordings(rng, edit, tmp_path):
    for _ in range(RECODED_PER_KIND):
        judge(recoded_corpus, recoded_corpus.draw(rng, edit), tmp_path)


def test_the_corpus_can_fail():
    """A verifier that misses, misnames or misplaces a fault is caught, and so is one that invents one."""
    case = Case("dropout:at=2.5,frames=480", piece=3)
    result = case.run()
    assert not recording_corpus.complaints(case, result)
    [event] = result.events
    event.start_frame -= 48
    assert len(recording_corpus.complaints(case, result)) == 2
    event.start_frame += 48
    event.size = MismatchSize()
    assert len(recording_corpus.complaints(case, result)) == 1
    assert recording_corpus.complaints(replace(case, fault=""), result)
    result.events.clear()
    assert len(recording_corpus.complaints(case, result)) == 1
