"""The rows of a run as one table: JSON lines, a member each; or Parquet, a stream each."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rtpverify.commands.batch.job import Row
from rtpverify.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("jsonl", "parquet")

_TEXT = ("ssrc", "sender", "destination", "encoding")
_WHOLE = ("payload_type", "sample_rate", "channels")
_COUNTS = (
    "packets_received", "packets_expected", "packets_lost", "packets_duplicated", "packets_reordered", "packets_late",
)  # fmt: skip
_TIMING = ("jitter_seconds", "clock_drift_ppm")
_SIGNAL = (
    "frequency_hz", "level_dbfs", "dc_offset", "residual_dbfs", "frequency_error_ppm", "thd_db", "thd_plus_n_db",
)  # fmt: skip
_OF_EVENT = ("kind", "channel", "start_frame", "duration_frames", "cause", "time", "id", "message")


def table_name(form: str) -> str:
    """Return the name of the table's file.

    Parameters
    ----------
    form
        ``jsonl`` or ``parquet``.

    Returns
    -------
    str
        Name of the file.
    """
    return f"results.{form}"


def require_form(form: str) -> None:
    """Raise where a form needs a library that is not installed.

    Parameters
    ----------
    form
        ``jsonl`` or ``parquet``.

    Raises
    ------
    RequestError
        Where it does.
    """
    if form == "parquet":
        try:
            import pyarrow as pa  # noqa: F401
        except ImportError as error:
            raise RequestError(f"--format parquet: {error}; pip install 'rtpverify[batch]'") from error


def table(rows: Sequence[Row], form: str) -> bytes:
    """Return the table of rows, in their order.

    Parameters
    ----------
    rows
        What was verified.
    form
        ``jsonl``: a line for each member, with the whole result of ``rtpverify check --json``. ``parquet``: a row for
        each stream, and one for each member that has none; events, and what was measured of each channel, are lists.

    Returns
    -------
    bytes
        Content of the file.
    """
    if form == "jsonl":
        return b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows)
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pylist([record for row in rows for record in _records(row)], schema=_schema())
    out = io.BytesIO()
    pq.write_table(made, out, compression="zstd")
    return out.getvalue()


def _schema() -> pa.Schema:
    import pyarrow as pa

    number, text, count, real = pa.int32(), pa.string(), pa.int64(), pa.float64()
    signal = pa.struct([("channel", number), *((name, real) for name in _SIGNAL)])
    event = pa.struct(
        [
            ("kind", text), ("channel", number), ("start_frame", count), ("duration_frames", count), ("cause", text),
            ("time", text), ("id", text), ("message", text), ("size", text),
        ]
    )  # fmt: skip
    return pa.schema(
        [
            ("member", text), ("size_bytes", count), ("status", text), ("error", text), ("stream", number),
            *((name, text) for name in _TEXT),
            *((name, number) for name in _WHOLE),
            *((name, count) for name in _COUNTS),
            *((name, real) for name in _TIMING),
            ("signal", pa.list_(signal)),
            ("events", pa.list_(event)),
            ("warnings", pa.list_(text)),
            ("result", text),
        ]
    )  # fmt: skip


def _records(row: Row) -> Iterator[dict[str, Any]]:
    """Yield a record for each stream of a member; ``result`` is the stream as JSON, with all that has no column."""
    member = {name: row.get(name) for name in ("member", "size_bytes", "status", "error")}
    streams = (row["result"] or {}).get("streams") or []
    if not streams:
        yield member
    for number, stream in enumerate(streams, start=1):
        transport = stream.get("transport") or {}
        yield {
            **member,
            "stream": number,
            **{name: stream.get(name) for name in (*_TEXT, *_WHOLE)},
            **{name: transport.get(name) for name in (*_COUNTS, *_TIMING)},
            "signal": [{name: one.get(name) for name in ("channel", *_SIGNAL)} for one in stream.get("signal", [])],
            "events": [_event(event) for event in stream.get("events", [])],
            "warnings": stream.get("warnings", []),
            "result": json.dumps(stream, ensure_ascii=False),
        }


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of an event; what it has beyond them, such as its size, is JSON."""
    rest = {name: value for name, value in event.items() if name not in _OF_EVENT}
    return {**{name: event.get(name) for name in _OF_EVENT}, "size": json.dumps(rest, ensure_ascii=False)}
