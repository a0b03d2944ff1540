"""What several commands ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rtpverify.sources.live.endpoint import Endpoint

PROGRAM = "rtpverify"

DURATION = click.FloatRange(min=0, min_open=True)


def signal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `send` and `tone` have in common."""
    for option in reversed(
        (
            click.option(
                "--frequency",
                default="1283",
                show_default=True,
                metavar="HZ[,HZ...]",
                help="Of the tone: one for all channels, or one per channel.",
            ),
            click.option("--level-dbfs", type=float, default=-20.0, show_default=True, help="A full-scale sine is 0."),
            click.option(
                "--noise-dbfs",
                type=click.FloatRange(max=0),
                metavar="NUMBER",
                help="RMS level of white noise under it.",
            ),
            click.option("--dither", type=click.Choice(["none", "rpdf", "tpdf"]), default="none", show_default=True),
            click.option("--seed", type=click.IntRange(min=0), default=0, help="Of noise and dither."),
            click.option(
                "--fault",
                "faults",
                multiple=True,
                metavar="KIND:NAME=VALUE,...",
                help="A fault to inject, such as slip:at=1.5,frames=48 or loss:at=2,packets=3; may be given again. "
                "An unknown one tells which there are.",
            ),
        )
    ):
        command = option(command)
    return command


def rtp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what tells of packets how they are decoded, for commands that look at one stream."""
    for option in (
        click.option(
            "--stream",
            "streams",
            multiple=True,
            metavar="SSRC|ADDRESS[:PORT]",
            help="The stream with this SSRC (0x...), sender or destination, where there are several.",
        ),
        click.option(
            "--sdp", metavar="FILE", type=click.Path(path_type=Path), help="Session description that goes with packets."
        ),
        click.option("--encoding", metavar="NAME/RATE[/CHANNELS]", help="Of packets, such as L24/48000/2."),
    ):
        command = option(command)
    return command


def say_listening(endpoints: Sequence[Endpoint]) -> None:
    """Tell a person why nothing happens yet; a log or pipe is not told."""
    if sys.stderr.isatty():
        click.echo(f"listening on {', '.join(map(str, endpoints))}", err=True)
