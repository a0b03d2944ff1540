"""What the site adds to the pages in docs/: files that they link to, and search without a server.

A hook of MkDocs (mkdocs.yml). A link that leads out of docs/ (``../CONTRIBUTING.md``) is right where the repository is
read; here the file it names becomes a part of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages that lie outside docs/."""
HELP_COLUMNS = 100
OUTSIDE = re.compile(r"(\]\()\.\./([^)\s]+)(\))")
"""A link from a page in docs/ out of it."""
INTO_DOCS = re.compile(r"(\]\()docs/([^)\s]+)(\))")
"""A link from a page outside docs/ into it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, and every file that a page links to there."""
    from mkdocs.structure.files import File

    linked = {
        match[2].partition("#")[0]
        for page in Path(config.docs_dir).glob("*.md")
        for match in OUTSIDE.finditer(page.read_text(encoding="utf-8"))
    }
    for name in sorted(linked.union(PAGES)):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead to where the files lie in the site, and add what is generated.

    A page that is a tab by itself needs no list of the pages beside it.
    """
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    markdown = INTO_DOCS.sub(r"\1\2\3", OUTSIDE.sub(r"\1\2\3", markdown))
    return markdown + GENERATED.get(page.file.src_uri, str)()


def _command_line() -> str:
    """Return a section for each command: what its --help prints."""
    import click

    from rtpverify.cli.app import main

    with main.make_context("rtpverify", [], resilient_parsing=True) as context:
        sections = [_section("rtpverify", main, context)]
        for name in main.list_commands(context):
            command = main.commands[name]
            sections.append(_section(f"rtpverify {name}", command, click.Context(command, context, name)))
    return "".join(sections)


def _section(title: str, command: click.Command, context: click.Context) -> str:
    context.terminal_width = HELP_COLUMNS
    return f"\n## {title}\n\n```text\n{command.get_help(context)}\n```\n"


def _python_api() -> str:
    """Return a section for each name of the API, functions first, for mkdocstrings to fill."""
    import rtpverify

    names = sorted(rtpverify.__all__, key=lambda name: (not name.islower(), name))
    return "".join(f"\n::: rtpverify.{name}\n" for name in names)


GENERATED = {"cli.md": _command_line, "python.md": _python_api}
"""What is added to a page."""


def on_post_build(config: MkDocsConfig) -> None:
    """Give the search index as a script, which a page that was opened from a disk may load."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")
