"""Where the reports of a command go: files, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtpverify.cli.options import OutputFile
from rtpverify.commands.output import write_text
from rtpverify.live import defect_files
from rtpverify.report.printable import encodable

if TYPE_CHECKING:
    from rtpverify.result import Result

_FORMS = {
    "json": "JSON",
    "junit": "JUnit XML",
    "html": "an HTML page",
    "code_quality": "a GitLab code quality report (JSON)",
}
"""Name of each report's module, and what its option writes."""


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each form of the result, and one for no summary.

    Parameters
    ----------
    command
        The function of a command.

    Returns
    -------
    Callable[..., Any]
        The same with more options.
    """
    quiet = "Print no summary; reports, annotations and the exit status remain."
    command = click.option("--quiet", "-q", is_flag=True, help=quiet)(command)
    for name in reversed(_FORMS):
        option = click.option(
            _option(name),
            f"{name}_to",
            metavar="FILE",
            type=OutputFile(dir_okay=False, writable=True, allow_dash=True),
            callback=report_place,
            help=f"Write the result as {_FORMS[name]} to FILE; - is standard output.",
        )
        command = option(command)
    return command


def report_place(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a file whose folder is missing before the check begins, not after it.

    Parameters
    ----------
    _ctx
        The context.
    parameter
        The option.
    value
        As it was given.

    Returns
    -------
    str or None
        The same.
    """
    if value not in (None, "-") and not Path(value).absolute().parent.is_dir():
        raise click.BadParameter(f"{value}: no such folder", param=parameter)
    return value


def report_places(options: dict[str, Any]) -> dict[str, str]:
    """Return where each form of the result goes: a file, or - for standard output.

    Parameters
    ----------
    options
        Options of the command by name.

    Returns
    -------
    dict[str, str]
        Places by form.

    Raises
    ------
    click.UsageError
        Where two of them are standard output.
    """
    places = {name: options[f"{name}_to"] for name in _FORMS if options[f"{name}_to"]}
    if list(places.values()).count("-") > 1:
        *most, last = map(_option, _FORMS)
        raise click.UsageError(f"only one of {', '.join(most)} and {last} can be standard output")
    return places


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def write_result(result: Result, places: dict[str, str], *, quiet: bool = False) -> None:
    """Write the reports asked for, and the summary where standard output is free or else to standard error.

    In a job of GitHub Actions, faults are annotations as well.

    Parameters
    ----------
    result
        The result.
    places
        What :func:`report_places` returned.
    quiet
        Whether the summary is omitted.
    """
    from rtpverify.report import annotations, text

    _write_reports(result, places)
    out = sys.stderr if "-" in places.values() else sys.stdout
    if not quiet:
        text.write(result, out)
    for line in annotations.lines(result) if os.environ.get("GITHUB_ACTIONS") == "true" else ():
        click.echo(line, out)
    defect_files.report_failures(result.failures)


def list_streams(result: Result, places: dict[str, str]) -> None:
    """Write the reports asked for, and a line for each stream.

    Parameters
    ----------
    result
        The result.
    places
        What :func:`report_places` returned.
    """
    from rtpverify.report import listing

    _write_reports(result, places)
    for line in listing.lines(result):
        click.echo(line, err="-" in places.values())


def _write_reports(result: Result, places: dict[str, str]) -> None:
    for name, place in places.items():
        content = import_module(f"rtpverify.report.{name}").render(result)
        write_report(_option(name), place, content)


def write_report(option: str, place: str, content: str) -> None:
    """Write a report where an option says.

    Parameters
    ----------
    option
        The option, for messages.
    place
        A file, or ``-``: standard output.
    content
        The report.
    """
    if place == "-":
        click.echo(encodable(content), nl=False)
    else:
        write_text(option, Path(place), content)
