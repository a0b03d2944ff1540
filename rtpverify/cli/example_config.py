"""The command example-config."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write example configuration, rules, dashboards and unit.")
@click.argument("out", type=click.Path(path_type=Path), default="configs", metavar="[OUT]")
def example_config(out: Path) -> None:
    """Write the examples that ship with rtpverify into the new folder OUT, by default configs, and list them.

    A configuration of serve, rules and targets for Prometheus, a configuration for Alertmanager, dashboards for
    Grafana, and a systemd unit.
    """
    from rtpverify.commands.example_config import write_examples

    for path in write_examples(out):
        click.echo(path)
