"""Write the table of what events measure into docs/result.md, from :mod:`rtpverify.events`."""

from __future__ import annotations

from pathlib import Path

from rtpverify.events import Kind, figures_of

PAGE = Path(__file__).parents[1] / "docs" / "result.md"
_FIRST = "<!-- figures: written by tools/event_figures.py -->\n"
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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
