"""What several commands ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtpverify.commands.output import refuse_clashes

if TYPE_CHECKING:
    pass

PROGRAM = "rtpverify"
STANDARD_OUTPUT = Path("-")

LARGEST = 1e9
"""The largest number that is taken, in seconds 31 years."""


class Number(click.FloatRange):
    """A number: neither infinity nor ``nan``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Parameters
        ----------
        value
            As it was given.
        param
            The option.
        ctx
            The context.

        Returns
        -------
        float
            Finite, and at most :data:`LARGEST` either way.
        """
        number = float(super().convert(value, param, ctx))
        if not abs(number) <= LARGEST:
            self.fail(f"{value!r} is not a number that can be used here (at most {LARGEST:g})", param, ctx)
        return number


DURATION = Number(min=0, min_open=True)
SECONDS = Number(min=0)
DECIBELS = Number(min=-1000, max=1000)


class OutputFile(click.Path):
    """The name of a file that a command writes."""


class FileCommand(click.Command):
    """A command that writes files: none of them two outputs, or an input."""

    def invoke(self, ctx: click.Context) -> Any:
        """Refuse outputs that would destroy something, then run the command.

        Parameters
        ----------
        ctx
            The context.

        Returns
        -------
        Any
            What the command returns.
        """
        outputs: list[tuple[str, Path]] = []
        inputs: list[Path] = []
        for parameter in self.params:
            given = ctx.params[parameter.name or ""]
            values = given if isinstance(given, tuple) else (given,)
            paths = [Path(value) for value in values if isinstance(value, str | Path)]
            if isinstance(parameter.type, OutputFile):
                option = parameter.opts[0] if isinstance(parameter, click.Option) else ""
                outputs += [(option, path) for path in paths if path != STANDARD_OUTPUT]
            else:
                inputs += paths
        refuse_clashes(outputs, inputs)
        return super().invoke(ctx)


def name_environment_variables(command: click.Command) -> None:
    """Let every option be given in the environment, too: ``check --max-late`` as ``RTPVERIFY_CHECK_MAX_LATE``.

    Parameters
    ----------
    command
        A command; a group's commands as well.
    """
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            flag = max(parameter.opts, key=len).removeprefix("--")
            parameter.envvar = "_".join([PROGRAM, command.name or "", flag]).replace("-", "_").upper()


def signal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `send` and `tone` have in common.

    Parameters
    ----------
    command
        The function of a command.

    Returns
    -------
    Callable[..., Any]
        The same with more options.
    """
    for option in reversed(
        (
            click.option(
                "--frequency",
                default="1283",
                show_default=True,
                metavar="HZ[,HZ...]",
                help="Frequency of the tone: one for all channels, or one per channel.",
            ),
            click.option(
                "--level-dbfs",
                type=DECIBELS,
                default=-20.0,
                show_default=True,
                help="RMS level of the tone; a full-scale sine is 0 dBFS.",
            ),
            click.option(
                "--noise-dbfs",
                type=Number(min=-1000, max=0),
                metavar="NUMBER",
                help="RMS level of added white noise, in dBFS.",
            ),
            click.option(
                "--dither",
                type=click.Choice(["none", "rpdf", "tpdf"]),
                default="none",
                show_default=True,
                help="Dither before quantisation.",
            ),
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, help="Seed of the noise and dither generators."
            ),
            click.option(
                "--fault",
                "faults",
                multiple=True,
                metavar="KIND:NAME=VALUE,...",
                help="Fault to inject, such as slip:at=1.5,frames=48 or loss:at=2,packets=3; may be repeated. "
                "An unknown kind lists all kinds.",
            ),
        )
    ):
        command = option(command)
    return command


def rtp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says how packets are decoded, for commands that look at one stream.

    Parameters
    ----------
    command
        The function of a command.

    Returns
    -------
    Callable[..., Any]
        The same with more options.
    """
    for option in (
        click.option(
            "--stream",
            "streams",
            multiple=True,
            metavar="SSRC|ADDRESS[:PORT]",
            help="Stream to use if there are several, by SSRC (0x...), sender or destination; may be repeated.",
        ),
        click.option(
            "--sdp", metavar="FILE", type=click.Path(path_type=Path), help="Session description (SDP) of the stream."
        ),
        click.option(
            "--encoding", metavar="NAME/RATE[/CHANNELS]", help="Encoding of the packets, such as L24/48000/2."
        ),
    ):
        command = option(command)
    return command


def say_listening(endpoints: Sequence[object]) -> None:
    """Say on standard error that the sockets are bound: a script may start the sender after this line.

    Parameters
    ----------
    endpoints
        What is listened at.
    """
    click.echo(f"listening on {', '.join(map(str, endpoints))}", err=True)
