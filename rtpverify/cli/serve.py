"""The command serve."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Monitor many streams continuously, with metrics and a live page.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--check-config", is_flag=True, help="Validate CONFIG, report all errors and exit: 0 without errors, else 2."
)
@click.pass_context
def serve(ctx: click.Context, config: Path, check_config: bool) -> None:
    """Verify every stream of CONFIG (TOML) until SIGTERM, log their state and serve metrics.

    CONFIG defines the streams, the address of /metrics and the limits; configs/bench.toml is a commented example.
    """
    from rtpverify.daemon import process as life

    if check_config:
        click.echo(life.check(config))
    else:
        ctx.exit(life.serve(config))
