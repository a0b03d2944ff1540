"""A result as a table of pandas or polars."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rtpverify.errors import RequestError

LIBRARIES = ("pandas", "polars")
"""The first one that is installed makes the table."""

_STREAM = ("ssrc", "sender", "destination", "encoding", "sample_rate")
_COMMON = ("time_seconds", "kind", "cause", "channel", "start_frame", "duration_frames", "duration_seconds", "fault")


def dataframe(document: dict[str, Any], rows: str) -> Any:
    """Return a table of a result in its published JSON form.

    Parameters
    ----------
    document
        The result in the published JSON form.
    rows
        What makes a row: ``events``, ``channels`` or ``streams``.

    Returns
    -------
    Any
        A ``DataFrame`` of pandas, where it is installed, or polars.

    Raises
    ------
    RequestError
        As :meth:`rtpverify.result.Result.to_dataframe`.
    """
    kinds = {"events": _events, "channels": _channels, "streams": _streams}
    if rows not in kinds:
        raise RequestError(f"rows: {rows!r} is not one of {', '.join(kinds)}")
    library = next((name for name in LIBRARIES if find_spec(name) is not None), None)
    if library is None:
        raise RequestError(f"to_dataframe needs {' or '.join(LIBRARIES)}, and neither is installed: pip install polars")
    records = [{**_identity(number, stream), **row} for number, stream, row in kinds[rows](document["streams"])]
    first = {"events": _COMMON, "channels": ("channel",), "streams": ("verdict",)}[rows]
    names = list(dict.fromkeys(["stream", *_STREAM, *first, *(name for record in records for name in record)]))
    columns = {name: [record.get(name) for record in records] for name in names}
    return import_module(library).DataFrame(columns)


def _identity(number: int, stream: dict[str, Any]) -> dict[str, Any]:
    return {"stream": number, **{name: stream.get(name) for name in _STREAM}}


def _events(streams: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    for number, stream in enumerate(streams, 1):
        rate_hz = stream["sample_rate"]
        for event in stream["events"]:
            row = {name: _cell(value) for name, value in event.items() if name != "packets"}
            first, last = event["packets"] or (None, None)
            row |= {"first_packet": first, "last_packet": last}
            if rate_hz:
                row |= {
                    "time_seconds": event["start_frame"] / rate_hz,
                    "duration_seconds": event["duration_frames"] / rate_hz,
                }
            yield number, stream, row


def _channels(streams: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    for number, stream in enumerate(streams, 1):
        for channel in stream["signal"]:
            limits = channel["sensitivity"] or {}
            row = {name: value for name, value in channel.items() if name != "sensitivity"}
            yield number, stream, row | {f"smallest_{name}": value for name, value in limits.items()}


def _streams(streams: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    for number, stream in enumerate(streams, 1):
        row = {name: value for name, value in stream.items() if not isinstance(value, dict | list)}
        transport = stream.get("transport") or {}
        row |= {name: value for name, value in transport.items() if not isinstance(value, dict | list)}
        yield number, stream, row | {"events": len(stream["events"])}


def _cell(value: Any) -> Any:
    """Return a value as one cell."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
