"""A public class has a name of its own: whoever searches for it finds one."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import rtpverify

ROOT = Path(rtpverify.__file__).parent
SHARED_WITHIN = ROOT / "detect"
"""Its two detectors still share some names with each other, but none with the rest."""


def public_classes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_names_of_public_classes_are_unique() -> None:
    places: defaultdict[str, set[Path]] = defaultdict(set)
    for path in sorted(ROOT.rglob("*.py")):
        for name in public_classes(path):
            places[name].add(SHARED_WITHIN if path.is_relative_to(SHARED_WITHIN) else path)
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
