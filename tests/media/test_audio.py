"""What is kept reads like a file."""

import pytest

from rtpverify.commands.audio_spool import SpooledAudio
from rtpverify.media.audio import ReadableAudio
from rtpverify.sources.audio.file import AudioFile

MEMBERS = {name for name in vars(ReadableAudio) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [AudioFile, SpooledAudio])
def test_it_has_all_that_is_asked_of_audio(kind):
    assert len(MEMBERS) == 8
    assert MEMBERS - set(dir(kind)) - set(getattr(kind, "__annotations__", {})) == set()
