"""The result of a check: one type, of which text, JSON, JUnit, HTML, metrics and the live page are views.

The views that a test or a notebook asks the result itself for are in the modules of this folder.

A value that could not be measured is None, never 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from rtpverify.errors import RequestError
from rtpverify.events import Event, Kind
from rtpverify.failure import DEFECT_STATUS, Failure
from rtpverify.result.event_wording import by_kind, counted

if TYPE_CHECKING:
    from rtpverify.result.clip import EventClip

SCHEMA = "rtpverify.result/1"


class Verdict(StrEnum):
    """What a check concludes."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(slots=True)
class Rtcp:
    """What a sender reports of itself, and what a receiver would report of it (RFC 3550 section 6.4).

    Packets and octets are those between the first and the latest sender report; ``fraction_lost`` is that since the
    latest.
    """

    sender_reports: int = 0
    media_clock_drift_ppm: float | None = None
    """Against the sender's own NTP time; positive: fast."""
    packets_sent: int | None = None
    packets_by_sequence: int | None = None
    octets_sent: int | None = None
    octets_received: int | None = None
    said_goodbye: bool = False
    fraction_lost: float | None = None
    cumulative_lost: int | None = None
    extended_highest_sequence: int | None = None
    jitter_frames: int | None = None
    last_sender_report: int | None = None
    delay_since_last_sender_report_seconds: float | None = None


@dataclass(slots=True)
class Transport:
    """What the wire did to one stream. Counts are packets."""

    packets_received: int = 0
    packets_expected: int = 0
    packets_lost: int = 0
    packets_duplicated: int = 0
    packets_reordered: int = 0
    packets_late: int = 0
    jitter_seconds: float | None = None
    clock_drift_ppm: float | None = None
    packets_stray: int = 0
    """Packets outside the sequence window."""
    packets_odd_length: int = 0
    """Packets that hold no whole number of frames."""
    packets_left_out: int = 0
    """Packets of the stream that were not read: they fit nowhere in it, or their payload was not decoded."""
    packets_beside: int = 0
    """Packets of comfort noise and telephone events."""
    pauses: int = 0
    """Pauses in which the sender suppressed silence."""
    loss_run_lengths: dict[str, int] = field(default_factory=dict)
    """How often so many packets in a row were lost."""
    loss_bursts: int = 0
    """Bursts and gaps as RFC 3611 section 4.7.2 has them, with Gmin 16; durations are means."""
    burst_density: float | None = None
    gap_density: float | None = None
    burst_duration_seconds: float | None = None
    gap_duration_seconds: float | None = None
    max_jitter_seconds: float | None = None
    tsdf_seconds: float | None = None
    """Time-stamped delay factor (EBU Tech 3337) of the last whole window."""
    max_tsdf_seconds: float | None = None
    mean_interval_seconds: float | None = None
    longest_interval_seconds: float | None = None
    interarrival_histogram: list[tuple[float | None, int]] = field(default_factory=list)
    """Upper edge in seconds (None: beyond the last) and packets of each bucket that holds any."""
    packet_time_changes: int = 0
    presentation_lead_seconds: float | None = None
    """Presentation time of the latest packet less its arrival, where a link offset is given."""
    min_presentation_lead_seconds: float | None = None
    packets_short_of_lead: int | None = None
    """Packets that came too late to be presented."""
    rtcp: Rtcp | None = None
    """None where the sender reports nothing of itself."""


@dataclass(slots=True)
class Sensitivity:
    """The smallest faults that one channel at this noise could have shown.

    Attributes
    ----------
    click
        Deviation of a single frame, as a fraction of full scale.
    level_step_db, phase_step_rad
        Steps: of level between stretches of a second, of phase two seconds from the next and one from either end.
    exact_slips
        Whether the length of a slip can be stated to the frame.
    """

    click: float
    level_step_db: float
    phase_step_rad: float
    exact_slips: bool


@dataclass(slots=True)
class Signal:
    """What one channel carried, measured over all of it that was steady."""

    channel: int
    frequency_hz: float | None = None
    level_dbfs: float | None = None
    dc_offset: float | None = None
    residual_dbfs: float | None = None
    frequency_error_ppm: float | None = None
    thd_db: float | None = None
    thd_plus_n_db: float | None = None
    effective_bits: int | None = None
    blind_slip_frames: int | None = None
    noise_floor_dbfs: float | None = None
    """Residual without the harmonics."""
    crosstalk_db: float | None = None
    """Strongest of the other channels' tones in this channel, relative to the tone where it belongs."""
    phase_degrees: float | None = None
    """Phase against the first channel that has the same reference."""
    frames_exact: int | None = None
    """Frames that equal the rounded sine, where the residual is that of plain rounding."""
    bit_errors: int | None = None
    """Bit errors in single wrong frames, where the residual is that of plain rounding."""
    sensitivity: Sensitivity | None = None
    label: str | None = None
    """What a session description calls the channel."""


@dataclass(slots=True)
class Leg:
    """What one of several paths alone brought of a stream. Counts are packets; skew is against the first copy."""

    sender: str | None
    destination: str | None
    ssrc: str | None = None
    """In hexadecimal, where the legs differ in it."""
    packets_received: int = 0
    packets_expected: int = 0
    packets_lost: int = 0
    packets_duplicated: int = 0
    packets_reordered: int = 0
    packets_late: int = 0
    skew_seconds: float | None = None
    max_skew_seconds: float | None = None


@dataclass(slots=True)
class ChannelComparison:
    """How one channel follows from the recording that it is compared with; None where it was not found in it.

    Attributes
    ----------
    offset_frames
        Frame at which the recording's first frame plays, or played last in a loop; negative where it would have
        played before the first frame.
    gain_db, inverted, clock_offset_ppm
        As the channel was found; positive where its content runs fast. What changes later is an event.
    frames_compared, frames_equal
        Frames compared with the recording, and those that equal it bit by bit.
    block_residual_dbfs, block_frames_different
        The same by blocks, the last of which may be shorter; None where nothing was compared.
    """

    channel: int
    reference_channel: int | None = None
    offset_frames: float | None = None
    gain_db: float | None = None
    inverted: bool | None = None
    clock_offset_ppm: float | None = None
    frames_compared: int = 0
    frames_equal: int = 0
    first_different_frame: int | None = None
    residual_dbfs: float | None = None
    block_residual_dbfs: list[float | None] = field(default_factory=list)
    block_frames_different: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class Comparison:
    """How a stream or file follows from a recording.

    Attributes
    ----------
    reference
        Its file.
    reference_sample_rate
        Its own; it is resampled where the audio has another one.
    block_frames
        Length of the blocks of each channel.
    recoded
        Whether only the content was compared, because the frames are not the recording's: it went through a lossy
        codec, or runs on a clock of its own.
    mfcc_dtw_distance
        Normalised distance by dynamic time warping of cepstra; None where it was not measured.
    """

    reference: str
    reference_frames: int
    reference_sample_rate: int
    block_frames: int
    channels: list[ChannelComparison] = field(default_factory=list)
    recoded: bool = False
    mfcc_dtw_distance: float | None = None


@dataclass(slots=True)
class StreamResult:
    """One stream, or one file (which has no RTP fields)."""

    sample_rate: int | None = None
    channels: int | None = None
    encoding: str | None = None
    frames: int = 0
    """Length of the media timeline."""
    first_frame: int = 0
    """Of a file, the frame at which the check began."""
    ssrc: int | None = None
    sender: str | None = None
    destination: str | None = None
    payload_type: int | None = None
    packet_time_seconds: float | None = None
    transport: Transport | None = None
    legs: list[Leg] = field(default_factory=list)
    """Where copies of the stream come over several paths; ``transport`` counts it after merging."""
    packets_differing: int | None = None
    """Copies that are not what the first copy was, where there are legs."""
    channel_order: str | None = None
    signal: list[Signal] = field(default_factory=list)
    comparison: Comparison | None = None
    """Where the reference is a recording."""
    events: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What the check could not have seen, and what a reader should know before trusting it."""
    inconclusive: str | None = None
    """Why nothing could be concluded, where that is so."""
    is_signal_conclusive: bool = False
    """Whether what was received was verified all the same: this host dropped some of what was sent."""

    def move(self, frames: int) -> None:
        """Count everything from so many frames earlier: what was verified began there, and not at the first frame.

        Parameters
        ----------
        frames
            Frames before the part that was verified.
        """
        self.first_frame += frames
        for event in self.events:
            event.start_frame += frames
        for channel in self.comparison.channels if self.comparison else ():
            if channel.offset_frames is not None:
                channel.offset_frames += frames
            if channel.first_different_frame is not None:
                channel.first_different_frame += frames

    @property
    def title(self) -> str:
        """What distinguishes it from the other streams of a result."""
        if self.transport is None:
            return "file"
        ssrc = "stream" if self.ssrc is None else f"stream 0x{self.ssrc:08x}"
        return f"{ssrc} to {self.destination}" if self.destination else ssrc

    @property
    def is_missing(self) -> bool:
        """Whether it was described or configured, and nothing of it came."""
        return self.transport is not None and self.ssrc is None

    @property
    def verdict(self) -> Verdict:
        """Fail with any fault, inconclusive where the signal could not be verified, pass otherwise."""
        if any(event.fault for event in self.events):
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.inconclusive else Verdict.PASS


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, when and where.

    Attributes
    ----------
    command
        The command line.
    limits
        Those that are not the profile's, by name.
    version
        Of rtpverify.
    time
        When it was made, RFC 3339.
    """

    command: str
    reference: str
    encoding: str | None
    profile: str
    limits: dict[str, float | bool | None]
    version: str
    time: str
    host: str


@dataclass(slots=True, repr=False)
class Result:
    """What one check found; true where it passed."""

    source: str
    streams: list[StreamResult] = field(default_factory=list)
    discarded: dict[str, int] = field(default_factory=dict)
    """Datagrams that were no RTP, by reason."""
    receive_buffer_dropped: int = 0
    """Packets that the host lost after the network had delivered them."""
    warnings: list[str] = field(default_factory=list)
    """What a reader should know of the source before trusting what was found in it."""
    request: Request | None = None
    """None where no command asked for it."""
    failures: list[Failure] = field(default_factory=list)
    """Defects of rtpverify that cost some of what was to be verified."""
    streams_refused: int = 0
    """Streams that came and were not verified, as there were more than are at a time."""
    streams_expected: int | None = None
    """How many were to come; None: any number."""
    checked: tuple[bool, ...] = field(default=(), repr=False)
    """Of each stream that came, whether its audio was checked here: not in a share of them that is another's."""
    clips: dict[str, EventClip] = field(default_factory=dict, repr=False)
    """Audio and packets around the largest events, by the event's id, where a report that draws was asked for."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the streams; inconclusive where there is none, or not all that came could be verified."""
        verdicts = {stream.verdict for stream in self.streams}
        if Verdict.FAIL in verdicts or self.is_miscounted:
            return Verdict.FAIL
        if not verdicts or Verdict.INCONCLUSIVE in verdicts or self.failures or self.streams_refused:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS

    @property
    def arrived(self) -> list[StreamResult]:
        """The streams without those of which nothing came."""
        return [stream for stream in self.streams if not stream.is_missing]

    @property
    def streams_came(self) -> int:
        """How many streams came, verified or not."""
        return len(self.arrived) + self.streams_refused

    @property
    def is_miscounted(self) -> bool:
        """Whether streams came, and not as many as were expected."""
        return self.streams_expected is not None and self.streams_came not in (0, self.streams_expected)

    @property
    def exit_status(self) -> int:
        """0 verified and clean, 1 faults found, 3 nothing could be concluded, 70 an internal error in rtpverify."""
        if self.failures:
            return DEFECT_STATUS
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}[self.verdict]

    @property
    def passed(self) -> bool:
        """Whether everything was verified and no fault was found."""
        return self.verdict is Verdict.PASS

    def __bool__(self) -> bool:
        return self.passed

    def assert_clean(self, allow: Collection[str] = ()) -> None:
        """Raise where the check did not pass.

        Parameters
        ----------
        allow
            Kinds of events that are no fault here, such as ``("ended", "reorder")``. What could not be verified never
            passes, whatever is allowed.

        Raises
        ------
        AssertionError
            With the reason and every fault that is not allowed: when, channel, kind, cause and size.
        RequestError
            For a kind that there is not.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        if isinstance(allow, str):
            raise RequestError(f"allow: {allow!r} is a text; give a tuple of kinds, such as ({allow!r},)")
        allowed = {_kind(name) for name in allow}
        faults = [(stream, event) for stream, event in self._faults() if event.kind not in allowed]
        is_open = self.failures or self.streams_refused or self.is_miscounted or not self.streams
        if faults or is_open or any(stream.inconclusive for stream in self.streams):
            from rtpverify.result.complaint import complaint

            raise AssertionError(complaint(self.source, faults, [*self._doubts(), *self.warnings]))

    def _faults(self) -> Iterator[tuple[StreamResult, Event]]:
        """Yield every fault and its stream."""
        return ((stream, event) for stream in self.streams for event in stream.events if event.fault)

    def _doubts(self) -> list[str]:
        """Return why not everything could be verified."""
        doubts = [f"{stream.title}: {stream.inconclusive}" for stream in self.streams if stream.inconclusive]
        if not self.streams:
            doubts.append("nothing to verify arrived")
        if self.is_miscounted:
            doubts.append(f"{counted(self.streams_came, 'stream')} of {self.streams_expected} expected")
        if self.streams_refused:
            doubts.append(f"{self.streams_refused} more streams arrived than are verified at a time")
        return doubts + [f"internal error in rtpverify: {failure.message}" for failure in self.failures]

    @property
    def reason(self) -> str:
        """Why it did not pass, in one line: faults by kind, what was not verified; empty where it passed."""
        found = by_kind(event for _, event in self._faults())
        return "; ".join([*([found] if found else []), *self._doubts()])

    def __repr__(self) -> str:
        """Return verdict, reason and source in one line."""
        found = self.reason
        streams = counted(len(self.streams), "stream")
        return f"<Result {self.verdict.upper()}{f': {found}' if found else ''} ({streams} of {self.source})>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: verdict, a picture of when what happened, figures and events."""
        from rtpverify.result.notebook import page

        return page(self.verdict, self.source, self.reason, self.streams)

    def to_dataframe(self, rows: Literal["events", "channels", "streams"] = "events") -> Any:
        """Return a table: a pandas DataFrame where pandas is installed, else one of polars.

        Parameters
        ----------
        rows
            A row for each event, for each channel of each stream with what was measured, or for each stream with what
            the network did.

        Returns
        -------
        Any
            A ``DataFrame`` of that library.

        Raises
        ------
        RequestError
            Where neither is installed, or there are no such rows.
        """
        from rtpverify.result.dataframe import dataframe

        return dataframe(self.to_dict(), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the result in the published JSON form (schema ``rtpverify.result/1``).

        Returns
        -------
        dict[str, Any]
            Values of JSON's types, as :mod:`rtpverify.result.schema` describes them.
        """
        return {
            "schema": SCHEMA,
            "verdict": str(self.verdict),
            "source": self.source,
            "request": None if self.request is None else asdict(self.request),
            "discarded": self.discarded,
            "receive_buffer_dropped": self.receive_buffer_dropped,
            "streams_refused": self.streams_refused,
            "streams_expected": self.streams_expected,
            "warnings": self.warnings,
            "streams": [stream_as_dict(stream) for stream in self.streams],
        }


def _kind(name: str) -> Kind:
    """Return a kind of event by its name."""
    try:
        return Kind(name)
    except ValueError:
        raise RequestError(f"allow: {name!r} is no kind of event; there are {', '.join(Kind)}") from None


def stream_as_dict(stream: StreamResult) -> dict[str, Any]:
    """Return one stream in the published JSON form; a file's has no RTP fields.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    dict[str, Any]
        Values of JSON's types.
    """
    data: dict[str, Any] = {"verdict": str(stream.verdict), "inconclusive": stream.inconclusive}
    if stream.transport is not None:
        data |= {
            "ssrc": None if stream.ssrc is None else f"0x{stream.ssrc:08x}",
            "sender": stream.sender,
            "destination": stream.destination,
            "payload_type": stream.payload_type,
        }
    data |= {
        "encoding": stream.encoding,
        "sample_rate": stream.sample_rate,
        "channels": stream.channels,
        "frames": stream.frames,
        "first_frame": stream.first_frame,
    }
    if stream.transport is not None:
        data |= {"packet_time_seconds": stream.packet_time_seconds, "transport": asdict(stream.transport)}
        data["channel_order"] = stream.channel_order
        data["legs"] = [asdict(leg) for leg in stream.legs]
        data["packets_differing"] = stream.packets_differing
    data["signal"] = [asdict(signal) for signal in stream.signal]
    if stream.comparison is not None:
        data["comparison"] = asdict(stream.comparison)
    data["events"] = events_as_dicts(stream.events)
    data["warnings"] = stream.warnings
    return data


def events_as_dicts(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return events in the published JSON form.

    Parameters
    ----------
    events
        The events.

    Returns
    -------
    list[dict[str, Any]]
        Values of JSON's types, in the same order.
    """
    return [event.to_dict() for event in events]
