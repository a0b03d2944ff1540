"""The table ``[nats]``: the server, and as what this daemon is known there."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from rtpverify.daemon.config.base import mistake, text_of
from rtpverify.daemon.nats.server import ServerTable
from rtpverify.daemon.sinks.base import SinkTable


def _url(value: object) -> str:
    text = text_of(value)
    if not text.startswith(("http://", "https://")):
        raise mistake("is not http://HOST... or https://HOST...")
    return text


_Name = Annotated[str, Field(strict=True, min_length=1, max_length=63)]


class NatsTable(ServerTable, SinkTable):
    """``[nats]``."""

    site: _Name
    bench: _Name | None = None
    """None: the name of this host."""
    state_seconds: Annotated[float, Field(strict=True, ge=0.5, le=300)] = 5.0
    """Time between two messages of the figures of a stream."""
    url: Annotated[str, BeforeValidator(_url)] | None = None
    """Of the page and the metrics, as others reach them."""
    replicas: Annotated[int, Field(strict=True, ge=1, le=5)] = 1
    """Of streams of JetStream that are made."""
    keep_days: Annotated[float, Field(strict=True, gt=0, le=36_500)] = 30.0
    """How long those keep messages."""
