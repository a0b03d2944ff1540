"""How references are written."""

import pytest

from rtpverify.errors import RequestError
from rtpverify.reference import Tone
from rtpverify.sources.audio.reference_text import parse_reference


def test_tones():
    assert parse_reference("none") is None
    assert parse_reference("tone") == Tone()
    assert parse_reference("tone:997") == Tone((997.0,))
    assert parse_reference("tone:997,1499.5") == Tone((997.0, 1499.5))


@pytest.mark.parametrize("text", ["sine:440", "440", "Tone:440", "sin:440,441.5"])
def test_what_looks_like_a_tone_and_is_no_file_is_told_how_tones_are_written(tmp_path, text):
    with pytest.raises(RequestError) as error:
        parse_reference(text, tmp_path)
    frequencies = text.rpartition(":")[2]
    expected = f"reference {tmp_path / text}: No such file or directory; a tone is written tone:{frequencies}"
    assert str(error.value) == expected


@pytest.mark.parametrize("text", ["none.wav", "a:b.wav", "sine:", "sine:-3"])
def test_other_files_that_are_not_there_are_just_that(tmp_path, text):
    with pytest.raises(RequestError, match=r"No such file or directory$"):
        parse_reference(text, tmp_path)


def test_a_file_whose_name_looks_like_a_tone_is_a_file(tmp_path):
    (tmp_path / "440").write_text("no audio")
    with pytest.raises(RequestError) as error:
        parse_reference("440", tmp_path)
    assert "a tone is written" not in str(error.value)
