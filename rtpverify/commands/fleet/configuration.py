"""Which NATS server, and where the page is: an address on the command line, or a file with both."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rtpverify.daemon.config.base import Table
from rtpverify.daemon.config.toml_lines import find_lines, line_of, write_mistake
from rtpverify.daemon.nats.server import ServerTable
from rtpverify.daemon.web.table import MetricsTable
from rtpverify.errors import ConfigurationError, RequestError
from rtpverify.sources.small_file import read_small


class FleetConfiguration(Table):
    """The whole file."""

    nats: ServerTable
    page: MetricsTable | None = None


def read_configuration(place: str) -> FleetConfiguration:
    """Return what an address or a file says.

    Parameters
    ----------
    place
        ``nats://HOST:PORT``, ``tls://HOST:PORT``, or the path of a ``.toml``.

    Returns
    -------
    FleetConfiguration
        Checked.

    Raises
    ------
    RequestError
        Where it is neither.
    ConfigurationError
        With every mistake of the file, one line each.
    """
    if not place.endswith(".toml"):
        try:
            return FleetConfiguration.model_validate({"nats": {"servers": [place]}}, context=Path())
        except ValidationError as errors:
            raise RequestError(f"{place}: {errors.errors()[0]['msg']}, nor the name of a .toml") from None
    path = Path(place)
    try:
        text = read_small(path).decode()
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    return _checked(path, text, data)


def page_at(listen: str) -> MetricsTable:
    """Return a page that is open to whoever reaches an address.

    Parameters
    ----------
    listen
        ``ADDRESS:PORT``.

    Returns
    -------
    MetricsTable
        Without token, password or certificate.

    Raises
    ------
    RequestError
        Where it is no such address.
    """
    try:
        return MetricsTable.model_validate({"listen": listen}, context=Path())
    except ValidationError as errors:
        raise RequestError(f"--listen {listen}: {errors.errors()[0]['msg']}") from None


def _checked(path: Path, text: str, data: dict[str, Any]) -> FleetConfiguration:
    try:
        return FleetConfiguration.model_validate(data, context=path.parent)
    except ValidationError as errors:
        lines = find_lines(text)
        said = {"missing": "is missing", "extra_forbidden": "is not known"}
        raise ConfigurationError(
            "\n".join(
                write_mistake(path, line_of(lines, one["loc"]), one["loc"], data, said.get(one["type"], one["msg"]))
                for one in errors.errors(include_url=False)
            )
        ) from None
