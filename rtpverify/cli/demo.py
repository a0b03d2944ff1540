"""The command demo."""

from __future__ import annotations

import click


@click.command(short_help="Demonstrate fault detection on loopback; needs no setup.")
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Send two streams over loopback, one with faults, and show what is found; takes under 20 s."""
    from rtpverify.commands.demo import demo as run_demo

    ctx.exit(run_demo())
