import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.report.printable import encodable, printable, printable_lines

ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates, too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("studio 1 – live.wav", "studio 1 – live.wav"),
        ("a\x1b[31mred\nb", r"a\x1b[31mred\x0ab"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("gnp.\u202efdp", r"gnp.\u202efdp"),
        ("bad\udcff", r"bad\xff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


@given(ANY_TEXT)
def test_nothing_that_is_shown_steers_a_terminal(text):
    assert not {unicodedata.category(one) for one in printable(text)} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(one) for one in printable(text)} & {
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "PDF",
        "RLI",
        "LRI",
    }


@given(ANY_TEXT)
def test_any_encoding_holds_what_is_encodable(text):
    assert encodable(text).encode().decode() == encodable(text)
    assert any("\ud800" <= one <= "\udfff" for one in text) or encodable(text) == text


def test_lines_stay_lines():
    assert printable_lines("a\x07\nb\r") == "a\\x07\nb\\x0d"
