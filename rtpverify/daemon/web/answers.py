"""What the API answers, field by field: the code that answers is checked against it, and its description made of it.

A number that was not measured is None. Names are those of the description without ``Answer``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from rtpverify.events import Kind
from rtpverify.result import Signal
from rtpverify.result.schema import Channel, Count, EventDocument, FiguresDocument, Time

Numbers = list[float | None]


class Health(StrEnum):
    """How a stream fares, the worst first."""

    DOWN = "down"
    FAULT = "fault"
    UNJUDGED = "unjudged"
    RECENT = "recent"
    WAITING = "waiting"
    OK = "ok"


class FaultAnswer(TypedDict):
    """An event, in short."""

    id: str
    kind: Kind
    channel: Channel | None
    time: Time
    message: str
    open: bool


class LineAnswer(TypedDict):
    """State of one stream."""

    name: str
    health: Annotated[Health, Field(description="Worst first.")]
    reason: Annotated[str, Field(description="Reason for the state.")]
    judged: Annotated[Literal["signal", "transport"], Field(description="`transport` if no reference is configured.")]
    reference: Annotated[Literal["tone", "recording"] | None, Field(description="What the signal is compared with.")]
    level_dbfs: Annotated[Numbers, Field(description="Per channel, over the last second; null for digital silence.")]
    residual_dbfs: Annotated[
        Numbers, Field(description="Signal minus reference; null while the reference is not found.")
    ]
    followed: Annotated[list[bool], Field(description="Whether the reference was found.")]
    packets_expected: Count
    packets_lost: Count
    loss_ratio: Annotated[float | None, Field(description="Over the last ten seconds.")]
    jitter_seconds: float | None
    faults: Annotated[Count, Field(description="Since the start of the daemon.")]
    open_faults: Annotated[list[str], Field(description="Kinds of ongoing faults.")]
    last_fault: FaultAnswer | None
    quiet_seconds: Annotated[float | None, Field(description="Time since the last fault; 0 while a fault is ongoing.")]


class SinkAnswer(TypedDict):
    """History, webhook, NATS and so on: where events and files go."""

    name: Annotated[str, Field(description="Its section of the configuration.")]
    waiting: Annotated[Count, Field(description="Events and files waiting to be written or sent.")]
    trouble: Annotated[str | None, Field(description="Why it does not work at present.")]


class HostAnswer(TypedDict):
    """State of this host."""

    behind_seconds: Annotated[
        float, Field(description="Age of the oldest packet that waits to be processed, the most of the last 2 s.")
    ]
    receive_buffer_dropped: Annotated[Count, Field(description="Packets lost in this host after arrival.")]
    sinks: list[SinkAnswer]


class StreamsAnswer(TypedDict):
    """State of all streams."""

    time: Time
    host: HostAnswer
    streams: list[LineAnswer]


class ResultAnswer(FiguresDocument):
    """One stream of the schema rtpverify.result/1, without its events."""


class StreamAnswer(LineAnswer):
    """One stream: state, result until now, and current measurements."""

    result: ResultAnswer | None
    present: Annotated[list[Signal], Field(description="The last second.")]


class ChannelHistoryAnswer(TypedDict):
    """The last ten minutes of a channel."""

    channel: Channel
    level_dbfs: Numbers
    residual_dbfs: Numbers
    phase_degrees: Numbers


class HistoryAnswer(TypedDict):
    """The last ten minutes of a stream, one point every half second."""

    time: Annotated[list[float], Field(description="Unix seconds.")]
    packets_expected: Numbers
    packets_lost: Numbers
    jitter_seconds: Numbers
    channels: list[ChannelHistoryAnswer]


class RangesAnswer(TypedDict):
    """Least and greatest value of each column."""

    low: Numbers
    high: Numbers


class SineAnswer(TypedDict):
    """A tone: amplitude · cos(2π · frequency_hz · seconds + phase_rad) + dc_offset."""

    amplitude: float | None
    frequency_hz: float | None
    phase_rad: float | None
    dc_offset: float | None


class SpectrumAnswer(TypedDict):
    """Levels over frequency."""

    frequency_hz: Numbers
    level_dbfs: Numbers
    resolution_hz: float | None


class ScopeAnswer(RangesAnswer):
    """Frames of one channel, with the reference, residual and spectrum."""

    channel: Channel
    sample_rate: Count
    start_frame: Annotated[int, Field(description="First frame shown, on the media timeline.")]
    frames: Count
    frames_per_column: Annotated[int, Field(ge=1)]
    start_seconds: Annotated[
        float,
        Field(
            description="Time of the first frame relative to the trigger: a rising zero crossing of the reference, or "
            "the requested frame."
        ),
    ]
    residual: RangesAnswer | None
    reference: Annotated[SineAnswer | RangesAnswer | None, Field(description="A tone, or the frames of a recording.")]
    reference_hz: float | None
    threshold: Annotated[
        float | None, Field(description="Detection threshold: no frame of a clean signal deviates by this much.")
    ]
    step: Annotated[float | None, Field(description="Quantisation step of the encoding.")]
    spectrum: SpectrumAnswer


class FileAnswer(TypedDict):
    """A file of evidence."""

    name: str
    title: str
    size: Count


class EventAnswer(EventDocument):
    """The figures of the event's kind are further properties. Events sent live have no `evidence`."""

    stream: str
    evidence: Annotated[list[FileAnswer], Field(description="Files of `/api/events/{id}/evidence/{file}`.")]


class EventsAnswer(TypedDict):
    """A page of events, latest first."""

    events: list[EventAnswer]
    next: str | None


class ProblemAnswer(TypedDict):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


ANSWERS = (StreamsAnswer, StreamAnswer, HistoryAnswer, ScopeAnswer, EventAnswer, EventsAnswer, ProblemAnswer)
"""What is answered as JSON; the others are parts of these."""
