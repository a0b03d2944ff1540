"""What users read is plain English in the field's terms: the project's early private words stay out of it.

Read are the documentation, the help of the command line, texts of the package, the live page, alerts, dashboards and
the example configuration. Code in documentation is not prose; ``detect`` is not read yet.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rtpverify.cli.app import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rtpverify"
NOT_READ = (PACKAGE / "detect",)

DOCUMENTED = (
    "rtp",
    "transport",
    "media",
    "dsp",
    "engine",
    "sources",
    "live",
    "evidence",
    "history",
    "daemon",
    "report",
    "result",
    "sender",
    "api",
    "commands",
    "cli",
)
"""Folders whose docstrings are read as well."""

OLD_WORDS = {
    r"held against": "compared with",
    r"holds? .{1,40} against": "compares with",
    r"told|tells?|telling": "reported, reports, shows, distinguishes",
    r"judg\w+": "checked, evaluated, verified",
    r"anew": "again",
    r"beside": "with, next to, other than",
    r"stray": "outside the sequence window",
    r"outlets?": "sink",
    r"stands?|stood": "is, are",
    r"(?:goes|go|went|going|gone) on": "continues, ongoing",
    r"what is left": "residual",
    r"taken? away": "subtracted",
    r"behind(?!\s+(?:a |the )?(?:proxy|converters)|\.to)": "after",
    r"said goodbye|says goodbye|goodbye": "sent RTCP BYE",
    r"looked at": "checked, read",
    r"upside down": "inverted",
    r"out of step": "phase-shifted",
    r"left out": "omitted, ignored",
    r"be had": "be available",
    r"one's own": "your own",
    r"over and over": "repeatedly",
    r"is there already": "already exists",
}
"""Words of the early notes, and what a reader from the field expects in their place."""

_OLD = re.compile("|".join(rf"\b(?:{word})\b" for word in OLD_WORDS), re.IGNORECASE)


def prose(markdown: str) -> str:
    """Return the prose of a page: without blocks and spans of code, pictures' and links' targets."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`\n]+`", "", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def shown(path: Path) -> Iterator[str]:
    """Yield the texts of a module that may be shown: strings of several words that are no docstrings."""
    tree = ast.parse(path.read_text())
    quiet = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in ast.walk(node.value)}
    quiet -= {id(part) for node in ast.walk(tree) if isinstance(node, ast.Call) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in quiet:
            continue
        if " " in node.value.strip() and "\n" not in node.value:
            yield node.value


def docstrings(path: Path) -> Iterator[str]:
    """Yield what documents a module, its objects and their attributes, without code, and names of parameters."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines = (line for line in node.value.value.split("\n") if not re.match(r"\s*[*\w]+(, [*\w]+)*$", line))
            yield re.sub(r'``[^`]+``|:\w+:`[^`]+`|`[^`]+`|"[^"\n]+"', "", "\n".join(lines))


def commands(command: click.Command = main) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each)


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of everything that users read."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if page not in NOT_READ:
            yield page.name, prose(page.read_text())
    yield "CHANGELOG.md", prose((ROOT / "CHANGELOG.md").read_text().split("\n## ")[1])
    for path in sorted(PACKAGE.rglob("*.py")):
        if NOT_READ[0] not in path.parents:
            yield str(path.relative_to(ROOT)), "\n".join(shown(path))
    for folder in DOCUMENTED:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            yield f"docstrings of {path.relative_to(ROOT)}", "\n".join(docstrings(path))
    for path in sorted(PACKAGE.rglob("page/*.js")):
        yield (
            path.name,
            "\n".join(found for found in re.findall(r'"[^"\n]*"|`[^`]*`', path.read_text()) if " " in found),
        )
    for command in commands():
        helps = [command.help or "", command.short_help or ""]
        helps += [option.help or "" for option in command.params if isinstance(option, click.Option)]
        yield f"--help of {command.name}", "\n".join(helps)
    [alerts] = (ROOT / "configs").rglob("alerts.yml")
    yield (
        alerts.name,
        "\n".join(re.findall(r"(?:summary|description): (.*)", re.sub(r"\{\{.*?\}\}", "", alerts.read_text()))),
    )
    for board in sorted((ROOT / "configs").rglob("dashboards/*.json")):
        found = re.findall(r'"(?:title|description)": ("(?:[^"\\]|\\.)*")', board.read_text())
        yield board.name, "\n".join(map(json.loads, found))
    [example] = (ROOT / "configs").rglob("bench.toml")
    tomllib.loads(example.read_text())
    yield example.name, "\n".join(re.findall(r"#(.*)", example.read_text()))


@pytest.mark.parametrize(("name", "text"), [pytest.param(*each, id=each[0]) for each in texts()])
def test_old_words_stay_out(name: str, text: str) -> None:
    found = [f"{name}: {text[max(hit.start() - 50, 0) : hit.end() + 30]!r}" for hit in _OLD.finditer(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("command", [pytest.param(each, id=each.name) for each in commands()])
def test_help_of_an_option_can_be_read_alone(command: click.Command) -> None:
    """It is a phrase of two words at least with a full stop, before any default in brackets."""
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert re.fullmatch(r"[A-Z]\S* .+\.(  \[.*\])?", option.help or "", re.DOTALL), (option.name, option.help)
