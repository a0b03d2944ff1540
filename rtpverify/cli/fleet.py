"""The command fleet."""

from __future__ import annotations

from pathlib import Path

import click

from rtpverify.cli.options import FileCommand, OutputFile


@click.command(cls=FileCommand, short_help="Show how many benches fare.")
@click.argument("server", metavar="SERVER|CONFIG")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every stream of every bench.")
@click.option("--watch", is_flag=True, help="Keep showing it in the terminal until Ctrl-C.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Serve the page, /api/fleet and /api/sd until SIGTERM.")
@click.option(
    "--targets",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, path_type=Path),
    help="Keep the daemons' addresses in FILE, for Prometheus' file_sd_configs, until SIGTERM.",
)
@click.option("--page", is_flag=True, help="Serve the page where CONFIG says, until SIGTERM.")
@click.pass_context
def fleet(
    ctx: click.Context,
    server: str,
    as_json: bool,
    watch: bool,
    listen: str | None,
    targets: Path | None,
    page: bool,
) -> None:
    """Show how all daemons fare that publish to a NATS server ([nats] in their configuration).

    It is SERVER, such as nats://nats.example.com:4222, or the one that the file CONFIG (.toml) names in [nats]. Without
    options a table of all benches is printed, the worst first.

    Exit status: 0 no current fault, 1 a bench is down or has a fault, 2 the request is unusable or the server cannot be
    reached, 3 a bench is not verified, or none has published.
    """
    from rtpverify.commands.fleet import command

    serves = listen is not None or targets is not None or page
    if as_json + watch + serves > 1:
        raise click.UsageError("--json, --watch and what serves (--listen, --page, --targets) exclude each other")
    if watch:
        command.watch(server)
    elif serves:
        command.serve(server, listen, targets, with_page=page)
    else:
        ctx.exit(command.show(server, as_json=as_json))
