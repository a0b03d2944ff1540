"""What the page on reliability promises is shown by tests that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[f"{Path(file).stem}::{test}" for file, test in NAMED])
def test_every_test_that_is_named_is_there(file, test):
    scope = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for name in test.split("::"):
        [scope] = [one for one in scope.body if getattr(one, "name", None) == name]
    assert scope.name.lower().startswith("test")


def test_every_row_names_one():
    tables = re.findall(r"^\| fault .*\n\|---.*\n((?:\| .*\n)+)", PAGE, re.MULTILINE)
    rows = [line for table in tables for line in table.splitlines()]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::", row)] == []
