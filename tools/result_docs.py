"""Write what docs/ has from the types of a result: the table of what events measure, and the JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path

from rtpverify.events import Kind, figures_of
from rtpverify.result.schema import schema

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "result.md"
SCHEMA_FILE = DOCS / "result.schema.json"
_FIRST = "<!-- figures: written by tools/result_docs.py -->\n"
_LAST = "<!-- end of figures -->\n"


def table() -> str:
    """Return the table, in Markdown."""
    lines = ["| kind | figure | meaning |", "|---|---|---|"]
    for kind in Kind:
        for name, (_, figure) in figures_of(kind).items():
            lines.append(f"| `{kind}` | `{name}` | {figure.documentation} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the page with the table as it is now."""
    before, rest = PAGE.read_text(encoding="utf-8").split(_FIRST)
    _, after = rest.split(_LAST)
    return f"{before}{_FIRST}\n{table()}\n{_LAST}{after}"


def schema_text() -> str:
    """Return the JSON Schema as it is now."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
