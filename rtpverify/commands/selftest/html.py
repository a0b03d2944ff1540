"""The self-test as one HTML page."""

from __future__ import annotations

from html import escape

from rtpverify.commands.selftest.outcome import SelfTest
from rtpverify.commands.selftest.views import COLUMNS, facts, headline, remarks, rows
from rtpverify.report.html import STYLE

_STYLE = """
td.found { color: var(--pass); } td.missed { color: var(--fail); font-weight: 700; }
td.blind, td.below { color: var(--inconclusive); }
"""
_CLASSES = {"found": "found", "MISSED": "missed", "blind": "blind", "below the limits": "below"}


def render(test: SelfTest) -> str:
    """Return the page: self-contained, without a script.

    Parameters
    ----------
    test
        The self-test.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    verdict = "pass" if test.passed else "fail"
    described = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in facts(test))
    titles = "".join(f"<th>{title}</th>" for title in COLUMNS)
    body = "\n".join(f"<tr>{''.join(map(_cell, range(len(row)), row))}</tr>" for row in rows(test))
    notes = "".join(f'<p class="warning">{escape(line)}</p>' for line in remarks(test))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{verdict.capitalize()}: self-test of {escape(test.format)} – rtpverify</title>
<style>{STYLE}{_STYLE}</style>
</head>
<body>
<header><span class="verdict {verdict}">{verdict.capitalize()}</span><h1>{escape(headline(test))}</h1></header>
<section><dl>{described}</dl></section>
<section>{notes}
<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>
{body}
</tbody></table></div></section>
</body>
</html>
"""


def _cell(column: int, text: str) -> str:
    style = _CLASSES.get(text, "") if column == 1 else ""
    if column == len(COLUMNS) - 1 and any(character.isalnum() for character in text):
        style = "missed"
    return f'<td class="{style}">{escape(text)}</td>' if style else f"<td>{escape(text)}</td>"
