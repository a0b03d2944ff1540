"""What users read is plain English in the field's terms: the project's early private words stay out of it.

Read are the documentation, the help of the command line, texts of the package, the live page, alerts, dashboards and
the example configuration. Code in documentation is not prose; ``detect`` is not read yet.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import pytest

from rtpverify.cli.app import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rtpverify"
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
    "detect",
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


def shown(path: Path) -> str:
    """Return the texts of a module that may be shown: strings of several words that are no docstrings."""
    tree = ast.parse(path.read_text())
    quiet = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Expr) for part in ast.walk(node.value)}
    quiet -= {id(part) for node in ast.walk(tree) if isinstance(node, ast.Call) for part in ast.walk(node)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in quiet
    ]
    return "\n".join(text for text in strings if " " in text.strip() and "\n" not in text)


def docstrings(path: Path) -> str:
    """Return what documents a module, its objects and their attributes, without code, and names of parameters."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines = (line for line in node.value.value.split("\n") if not re.match(r"\s*[*\w]+(, [*\w]+)*$", line))
            texts.append(re.sub(r'``[^`]+``|:\w+:`[^`]+`|`[^`]+`|"[^"\n]+"', "", "\n".join(lines)))
    return "\n".join(texts)


def commands(command: click.Command = main) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each)


def page(path: Path) -> str:
    """Return the prose of a page of the documentation."""
    return prose(path.read_text())


def changes() -> str:
    """Return the prose of the newest version's changes."""
    return prose((ROOT / "CHANGELOG.md").read_text().split("\n## ")[1])


def scripts(path: Path) -> str:
    """Return the texts of a script of the live page."""
    return "\n".join(found for found in re.findall(r'"[^"\n]*"|`[^`]*`', path.read_text()) if " " in found)


def helps(command: click.Command) -> str:
    """Return the help of a command."""
    options = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    return "\n".join([command.help or "", command.short_help or "", *options])


def alerts(path: Path) -> str:
    """Return the texts of the alerts."""
    text = re.sub(r"\{\{.*?\}\}", "", path.read_text())
    return "\n".join(re.findall(r"(?:summary|description): (.*)", text))


def dashboard(path: Path) -> str:
    """Return the texts of a dashboard."""
    found = re.findall(r'"(?:title|description)": ("(?:[^"\\]|\\.)*")', path.read_text())
    return "\n".join(map(json.loads, found))


def comments(path: Path) -> str:
    """Return the comments of a configuration."""
    tomllib.loads(path.read_text())
    return "\n".join(re.findall(r"#(.*)", path.read_text()))


def texts() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the name of everything that users read, and what reads it: only the test does, and not each worker."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield path.name, partial(page, path)
    yield "CHANGELOG.md", changes
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(ROOT)), partial(shown, path)
    for folder in DOCUMENTED:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            yield f"docstrings of {path.relative_to(ROOT)}", partial(docstrings, path)
    for path in sorted(PACKAGE.rglob("page/*.js")):
        yield path.name, partial(scripts, path)
    for command in commands():
        yield f"--help of {command.name}", partial(helps, command)
    configs = ROOT / "configs"
    [path] = configs.rglob("alerts.yml")
    yield path.name, partial(alerts, path)
    for path in sorted(configs.rglob("dashboards/*.json")):
        yield path.name, partial(dashboard, path)
    [path] = configs.rglob("bench.toml")
    yield path.name, partial(comments, path)


@pytest.mark.parametrize(("name", "read"), [pytest.param(*each, id=each[0]) for each in texts()])
def test_old_words_stay_out(name: str, read: Callable[[], str]) -> None:
    text = read()
    found = [f"{name}: {text[max(hit.start() - 50, 0) : hit.end() + 30]!r}" for hit in _OLD.finditer(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("command", [pytest.param(each, id=each.name) for each in commands()])
def test_help_of_an_option_can_be_read_alone(command: click.Command) -> None:
    """It is a phrase of two words at least with a full stop, before any default in brackets."""
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert re.fullmatch(r"[A-Z]\S* .+\.(  \[.*\])?", option.help or "", re.DOTALL), (option.name, option.help)
