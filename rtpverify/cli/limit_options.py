"""What check and compare verify by: a profile, a file of limits, an option for each limit."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtpverify.cli.limits_file import read_limits
from rtpverify.cli.options import PROGRAM, FileCommand
from rtpverify.errors import RequestError
from rtpverify.limits import PROFILES, TRANSPORT_LIMITS, Limits, with_values

if TYPE_CHECKING:
    from rtpverify.result import Request

LIMIT_NAMES = tuple(item.name for item in fields(Limits))

_LIMIT_HELP = {
    "max_frequency_error_ppm": "Largest frequency deviation from the reference, or from the mean of a found tone.",
    "max_thd_n_db": "Largest THD+N: residual relative to the fundamental; auto is 6 dB above the encoding's "
    "quantisation noise.",
    "max_level_change_db": "Largest level step or drift.",
    "max_gain_db": "Largest gain relative to a reference recording.",
    "max_dc_offset": "Largest DC offset, as a fraction of full scale.",
    "word_length_is_fault": "Report low-order bits that are always zero as a fault.",
    "max_stall_seconds": "Longest time without a packet; never below ten packet times.",
    "reorder_window_seconds": "How long a missing packet may still arrive; never below three packet times.",
    "tsdf_window_seconds": "Window of the time-stamped delay factor (EBU Tech 3337).",
    "link_offset_seconds": "Time from sampling to presentation; enables the presentation lead (AES67, ST 2110).",
    "min_presentation_lead_seconds": "Smallest time between a packet's arrival and its presentation.",
    "max_jitter_seconds": "Largest interarrival jitter (RFC 3550).",
    "max_duplicated": "Most duplicated packets.",
    "max_reordered": "Most reordered packets: received after a later one, within the reorder window.",
    "max_late": "Most late packets: received after the reorder window.",
    "max_packets_left_out": "Most packets ignored because they do not fit the stream or cannot be decoded.",
    "max_timestamp_error_seconds": "Largest deviation of RTP timestamps from the number of frames sent.",
}


class VerifyingCommand(FileCommand):
    """Lists the limits in a section of their own, and keeps the command line for the reports."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line as it was given.

        Parameters
        ----------
        ctx
            The context.
        args
            The arguments.

        Returns
        -------
        list[str]
            Arguments that remain after parsing.
        """
        ctx.obj = shlex.join([PROGRAM, ctx.info_name or "", *args])
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the limits.

        Parameters
        ----------
        ctx
            The context.
        formatter
            Takes what is written.
        """
        sections: dict[str, list[tuple[str, str]]] = {
            "Options": [],
            "Limits (override --limits, which overrides --profile)": [],
        }
        general, limits = sections.values()
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (limits if parameter.name in LIMIT_NAMES else general).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add profile, limits file and one option for each limit.

    Parameters
    ----------
    command
        The function of a command.

    Returns
    -------
    Callable[..., Any]
        The same with more options.
    """
    command = _limit_options(command)
    command = click.option(
        "--limits",
        "limits_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="TOML file with limits that override those of the profile.",
    )(command)
    return click.option(
        "--profile",
        type=click.Choice(list(PROFILES)),
        default="digital",
        show_default=True,
        help="Set of default limits: digital for a bit-transparent path, analog for one with converters.",
    )(command)


def _limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each field of Limits."""
    for item in reversed(fields(Limits)):
        name = item.name.replace("_", "-")
        shown = {profile: _shown(item.name, getattr(limits, item.name)) for profile, limits in PROFILES.items()}
        values = (
            next(iter(shown.values())) if len(set(shown.values())) == 1 else ", ".join(map(" ".join, shown.items()))
        )
        text = f"{_LIMIT_HELP[item.name]}  [{values}]"
        if item.type == "bool":
            option = click.option(f"--{name}/--no-{name}", item.name, default=None, help=text)
        else:
            kind = click.INT if "int" in str(item.type) else click.FLOAT
            option = click.option(f"--{name}", item.name, type=kind, metavar="NUMBER", help=text)
        command = option(command)
    return command


def _shown(name: str, value: float | bool | None) -> str:
    """Write the default of a limit."""
    if value is None:
        return "auto" if name == "max_thd_n_db" else "not checked"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"


def limits_of(options: dict[str, Any]) -> Limits:
    """Return the limits that profile, file and options make.

    Parameters
    ----------
    options
        Options of the command by name.

    Returns
    -------
    Limits
        The limits.
    """
    limits = PROFILES[options["profile"]]
    if options["limits_file"]:
        limits = read_limits(options["limits_file"], limits)
    given = {name: options[name] for name in LIMIT_NAMES if options[name] is not None}
    return with_values(limits, given, "options")


def refuse_transport_limits(source: str, options: dict[str, Any]) -> None:
    """Refuse options that limit packets where there are none; in a file of limits they may stay.

    Parameters
    ----------
    source
        Name of the source.
    options
        Options of the command by name.

    Raises
    ------
    RequestError
        Where one was given.
    """
    for name in LIMIT_NAMES:
        if name in TRANSPORT_LIMITS and options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise RequestError(f"{source}: {option} limits packets, but an audio file has none")


def request_of(ctx: click.Context, options: dict[str, Any], reference: str, limits: Limits) -> Request:
    """Return what is asked for, for the reports.

    Parameters
    ----------
    ctx
        The context.
    options
        Options of the command by name.
    reference
        As it was given.
    limits
        The limits in force.

    Returns
    -------
    Request
        With the command line, the time and this host.
    """
    from rtpverify.report.request import request_now

    encoding = ", ".join(options.get("encodings", ())) or None
    command = " ".join([*_environment(ctx), ctx.obj])
    return request_now(command, reference=reference, encoding=encoding, profile=options["profile"], limits=limits)


def _environment(ctx: click.Context) -> Iterator[str]:
    """Yield the environment variables that options were taken from, as a shell sets them."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is click.core.ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
            yield f"{parameter.envvar}={shlex.quote(os.environ[parameter.envvar])}"
