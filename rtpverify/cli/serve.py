"""The command serve."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Verify many streams until stopped, with metrics.")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--check-config", is_flag=True, help="Tell every mistake in CONFIG and exit: 0 where there is none, else 2."
)
@click.pass_context
def serve(ctx: click.Context, config: Path, check_config: bool) -> None:
    """Verify every stream of CONFIG (TOML) until SIGTERM, log their state and serve metrics.

    The streams, the address of /metrics and the limits stand in CONFIG; configs/bench.toml is a commented one.
    """
    from rtpverify.daemon import process as life

    if check_config:
        click.echo(life.check(config))
    else:
        ctx.exit(life.serve(config))
