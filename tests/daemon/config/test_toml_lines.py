from __future__ import annotations

from pathlib import Path

import pytest

from rtpverify.daemon.config.toml_lines import Place, find_lines, line_of, write_mistake

TEXT = """\
title = "x"

[log]  # a comment
format.kind = "json"
[[stream]]
  name = 'a'
[stream.limits]
max_late = 3
[[stream]]
"quoted" = 1
[ stream . limits ]
max_late = 4
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 1),
        (("log",), 3),
        (("log", "format", "kind"), 4),
        (("stream", 0), 5),
        (("stream", 0, "name"), 6),
        (("stream", 0, "limits", "max_late"), 8),
        (("stream", 1), 9),
        (("stream", 1, "quoted"), 10),
        (("stream", 1, "limits", "max_late"), 12),
        (("stream", 1, "limits", "no such key"), 11),
        (("stream", 1, "no such key", "below"), 9),
        (("stream", 7, "name"), 0),
        (("nowhere",), 0),
    ],
)
def test_a_value_has_its_line_or_that_of_what_should_hold_it(place: Place, line: int) -> None:
    assert line_of(find_lines(TEXT), place) == line


@pytest.mark.parametrize(
    ("line", "place", "written"),
    [
        (6, ("stream", 0, "name"), 'a.toml:6: stream[1].name = "é": is wrong'),
        (0, ("stream", 0, "name"), 'a.toml: stream[1].name = "é": is wrong'),
        (6, ("stream", 0, "rate"), "a.toml:6: stream[1].rate: is wrong"),
        (5, ("stream", 0), "a.toml:5: stream[1]: is wrong"),
        (5, ("stream", 4, "name"), "a.toml:5: stream[5].name: is wrong"),
    ],
)
def test_a_mistake_is_one_line_with_place_and_value(line: int, place: Place, written: str) -> None:
    assert write_mistake(Path("a.toml"), line, place, {"stream": [{"name": "é"}]}, "is wrong") == written
