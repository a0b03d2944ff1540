"""The published JSON form of a result (``rtpverify.result/1``), field by field, and the JSON Schema made from it.

:meth:`rtpverify.result.Result.to_dict` makes what is described here, and the daemon answers with parts of it. A value
that could not be measured is None. ``docs/result.schema.json`` is written by ``tools/result_docs.py``.
"""

from __future__ import annotations

from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic asks for it before Python 3.12
)

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from rtpverify.events import SIZES, Cause, Kind, figures_of
from rtpverify.result import SCHEMA, Comparison, Leg, Request, Signal, Transport, Verdict

Count = Annotated[int, Field(ge=0)]
Channel = Annotated[int, Field(ge=1)]
Time = Annotated[str | None, Field(json_schema_extra={"format": "date-time"})]
Ssrc = Annotated[str, Field(pattern="^0x[0-9a-f]{8}$")]


class EventDocument(TypedDict):
    """An event. The figures of its kind are further properties."""

    id: str
    kind: Kind
    cause: Cause
    channel: Channel | None
    start_frame: int
    duration_frames: Count
    fault: bool
    open: Annotated[bool, Field(description="Whether the event is ongoing.")]
    packets: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    time: Time
    message: str
    confidence: Annotated[
        float | None, Field(description="Probability of the kind; null where no fault models were compared.")
    ]
    alternatives: Annotated[dict[str, float] | None, Field(description="Other kinds with a probability above 0.05.")]


class FiguresDocument(TypedDict):
    """One stream, or one file, without its events. A file has no RTP fields."""

    verdict: Verdict
    inconclusive: Annotated[str | None, Field(description="Why no verdict was possible.")]
    ssrc: NotRequired[Ssrc | None]
    sender: NotRequired[str | None]
    destination: NotRequired[str | None]
    payload_type: NotRequired[int | None]
    encoding: str | None
    sample_rate: int | None
    channels: int | None
    frames: Annotated[Count, Field(description="Length of the media timeline.")]
    first_frame: Annotated[Count, Field(description="Of a file, the frame at which the check began.")]
    packet_time_seconds: NotRequired[float | None]
    transport: NotRequired[Transport]
    channel_order: NotRequired[str | None]
    legs: NotRequired[list[Leg]]
    packets_differing: NotRequired[Count | None]
    signal: Annotated[list[Signal], Field(description="Over all steady signal.")]
    comparison: NotRequired[Comparison]
    warnings: list[str]


class StreamDocument(FiguresDocument):
    """One stream, or one file, which has no RTP fields."""

    events: list[EventDocument]


class ResultDocument(TypedDict):
    """What one check found."""

    schema: Literal["rtpverify.result/1"]
    verdict: Verdict
    source: str
    request: Annotated[Request | None, Field(description="What was asked for, when and where.")]
    discarded: Annotated[dict[str, int], Field(description="Datagrams that are not RTP, by reason.")]
    receive_buffer_dropped: Annotated[Count, Field(description="Packets lost in this host after arrival.")]
    streams_refused: Annotated[Count, Field(description="Streams that arrived and were not verified.")]
    streams_expected: Count | None
    warnings: list[str]
    streams: list[StreamDocument]


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a result.

    Returns
    -------
    dict[str, Any]
        Values of JSON's types.
    """
    made = TypeAdapter(ResultDocument).json_schema(mode="serialization")
    definitions: dict[str, Any] = made["$defs"]
    definitions["EventDocument"]["oneOf"] = [figures_schema(kind) for kind in Kind]
    for record in (Request, Transport, Leg, Signal, Comparison):
        # Every figure is there, measured or not.
        definitions[record.__name__]["required"] = list(definitions[record.__name__]["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": SCHEMA}


def figures_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of what events of one kind have apart from what all have.

    Parameters
    ----------
    kind
        The kind.

    Returns
    -------
    dict[str, Any]
        Values of JSON's types.
    """
    properties = {
        name: {
            **TypeAdapter(types).json_schema(),
            "description": f"{figure.documentation[0].upper()}{figure.documentation[1:]}.",
        }
        for name, (types, figure) in figures_of(kind).items()
    }
    return {
        "title": str(kind),
        "description": SIZES[kind].__doc__,
        "required": list(properties),
        "properties": {"kind": {"const": str(kind)}, **properties},
    }
