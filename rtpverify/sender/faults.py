"""Faults to order: what they are called, what they take, and what a perfect verifier must say about each.

A fault is written ``KIND:NAME=VALUE,...``, such as ``slip:at=1.5,frames=48,channel=1``. Times are seconds of the
stream, channels count from 1, and a signal fault without a channel hits all of them. A stretch is given as
``duration`` (seconds) or ``frames``; without either it lasts to the end.

What becomes of the audio is in :mod:`rtpverify.sender.signal_faults`, of the packets in
:mod:`rtpverify.sender.transport_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind

Value = int | float | str | tuple[float, ...]


LARGEST, LARGEST_WHOLE, LARGEST_DB = 1e9, 1 << 53, 1000.0
"""The largest number, whole number and level that a fault takes; what it is made of must still be finite."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value a fault takes.

    Attributes
    ----------
    read
        From its text; raises ValueError for what is not ``wanted``.
    default
        None where it may be omitted.
    """

    read: Callable[[str], Value]
    wanted: str
    default: Value | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class FaultKind:
    """What one kind of fault takes.

    Attributes
    ----------
    transport
        It happens to packets; otherwise to samples, and can be limited to a channel.
    stretch
        It lasts, for ``duration`` seconds or ``frames`` frames.
    one_of
        Exactly one of these must be given.
    whole
        It concerns the stream as a whole, and does not set in at a time.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    transport: bool = False
    stretch: bool = False
    one_of: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to inject; made by :func:`parse_fault` or :func:`make_fault`, which check it.

    Attributes
    ----------
    channel
        From 1; None hits all.
    duration_seconds, duration_frames
        At most one of them; neither means to the end.
    """

    kind: str
    at_seconds: float
    channel: int | None = None
    duration_seconds: float | None = None
    duration_frames: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""

    @property
    def transport(self) -> bool:
        """Whether it happens to packets."""
        return FAULTS[self.kind].transport

    def start_frame(self, sample_rate_hz: int) -> int:
        """Return the frame at which it sets in.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the stream.

        Returns
        -------
        int
            Counted from the first frame sent.
        """
        return round(self.at_seconds * sample_rate_hz)

    def frames(self, sample_rate_hz: int) -> int | None:
        """Return how many frames it lasts, None where it lasts to the end.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the stream.

        Returns
        -------
        int or None
            Frames.
        """
        if self.duration_frames is not None:
            return self.duration_frames
        if self.duration_seconds is not None:
            return round(self.duration_seconds * sample_rate_hz)
        return None

    def end_frame(self, sample_rate_hz: int) -> int | None:
        """Return the frame after its last, None where it lasts to the end.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the stream.

        Returns
        -------
        int or None
            Counted from the first frame sent.
        """
        frames = self.frames(sample_rate_hz)
        return None if frames is None else self.start_frame(sample_rate_hz) + frames

    def __str__(self) -> str:
        values = {} if FAULTS[self.kind].whole else {"at": f"{self.at_seconds:g}"}
        values |= {name: _write(value) for name, value in self.values.items()}
        for name, value in (
            ("duration", self.duration_seconds),
            ("frames", self.duration_frames),
            ("channel", self.channel),
        ):
            if value is not None:
                values[name] = f"{value:g}"
        return f"{self.kind}:{','.join(f'{name}={value}' for name, value in values.items())}".removesuffix(":")


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """What a perfect verifier reports; the fields mean what they mean in :class:`rtpverify.events.Event`.

    ``duration_frames`` None: to the end of the stream. ``counted_only``: the packets are counted, and an event comes
    only where a limit asks for it.
    """

    kind: Kind
    start_frame: int
    duration_frames: int | None = 0
    channel: int | None = None
    size: Mapping[str, Any] = field(default_factory=dict)
    counted_only: bool = False


def _integer(low: int, high: int | None = None, default: int | None = None, *, required: bool = False) -> Parameter:
    def read(text: str) -> int:
        value = int(text, 0)
        if not low <= value <= (LARGEST_WHOLE if high is None else high):
            raise ValueError
        return value

    wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    return Parameter(read, wanted, default, required)


def _number(
    low: float = -LARGEST, high: float = LARGEST, default: float | None = None, *, required: bool = False
) -> Parameter:
    """Take a number from ``low`` to ``high``, both included; 0 itself is refused by :func:`_positive`."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    bounds = " ".join(f"{word} {bound:g}" for word, bound in (("from", low), ("to", high)) if abs(bound) != LARGEST)
    return Parameter(read, f"a number {bounds}".strip(), default, required)


def _level(default: float | None = None) -> Parameter:
    return _number(-LARGEST_DB, LARGEST_DB, default)


def _positive(high: float = LARGEST, *, required: bool = False) -> Parameter:
    def read(text: str) -> float:
        value = float(text)
        if not 0 < value <= high:
            raise ValueError
        return value

    return Parameter(read, "a number above 0" + ("" if high == LARGEST else f", up to {high:g}"), None, required)


def _nonzero() -> Parameter:
    def read(text: str) -> int:
        value = int(text)
        if value == 0 or abs(value) > LARGEST_WHOLE:
            raise ValueError
        return value

    return Parameter(read, "a whole number other than 0", None, True)


def _choice(*known: str) -> Parameter:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError
        return text

    return Parameter(read, " or ".join(known), known[0])


def _decibels(default: tuple[float, ...]) -> Parameter:
    def read(text: str) -> tuple[float, ...]:
        values = tuple(float(item) for item in text.split("/"))
        if not all(-LARGEST_DB <= value <= 0 for value in values):
            raise ValueError
        return values

    return Parameter(read, "a list of levels of 0 dB and below, such as -40/-50", default)


FAULTS: dict[str, FaultKind] = {
    "slip": FaultKind({"frames": _nonzero()}),
    "dropout": FaultKind({"mode": _choice("zero", "hold")}, stretch=True),
    "repeat": FaultKind({"back": _integer(1)}, stretch=True),
    "click": FaultKind(
        {"size": _number(-2.0, 2.0), "bit": _integer(0, 31), "frames": _integer(1, default=1)}, one_of=("size", "bit")
    ),
    "gain": FaultKind(
        {"db": _level(), "drift_db_per_second": _level()}, stretch=True, one_of=("db", "drift_db_per_second")
    ),
    "clipping": FaultKind({"level": _positive(1.0, required=True)}, stretch=True),
    "distortion": FaultKind({"harmonics_db": _decibels((-40.0, -50.0))}, stretch=True),
    "noise": FaultKind({"dbfs": _level(-60.0), "seed": _integer(0, default=1)}, stretch=True),
    "dc_offset": FaultKind({"offset": _number(-1.0, 1.0, 0.001)}, stretch=True),
    "frequency": FaultKind({"ppm": _number(), "hz": _positive()}, stretch=True, one_of=("ppm", "hz")),
    "sample_rate": FaultKind({"made_for": _integer(1, required=True)}, stretch=True),
    "silence": FaultKind(stretch=True),
    "channel_swap": FaultKind({"other": _integer(1)}, stretch=True),
    "polarity": FaultKind(stretch=True),
    "word_length": FaultKind({"bits": _integer(1, 31, 16)}, stretch=True),
    "byte_order": FaultKind(stretch=True),
    "loss": FaultKind(
        {"packets": _integer(1), "rate": _number(0.0, 1.0), "seed": _integer(0, default=1)},
        transport=True,
        stretch=True,
        one_of=("packets", "rate"),
    ),
    "duplicate": FaultKind({"packets": _integer(1, default=1)}, transport=True),
    "reorder": FaultKind({"by": _integer(1, default=1)}, transport=True),
    "late": FaultKind({"delay": _positive(required=True)}, transport=True),
    "stall": FaultKind({"seconds": _positive(required=True)}, transport=True),
    "timestamp_jump": FaultKind({"frames": _nonzero()}, transport=True),
    "timestamp_error": FaultKind(
        {
            "pattern": _choice("scattered", "every", "shared", "frozen", "backwards", "rounded", "counting"),
            "by": _integer(1, 1 << 30, default=1),
            "packets": _integer(2, 250, default=2),
            "step": _integer(0, 1 << 30, default=1),
            "seed": _integer(0, default=1),
        },
        transport=True,
        stretch=True,
    ),
    "ssrc_change": FaultKind({"ssrc": _integer(0, 0xFFFFFFFF)}, transport=True),
    "payload_type_change": FaultKind({"to": _integer(0, 127, required=True)}, transport=True),
    "restart": FaultKind({"seed": _integer(0, default=1)}, transport=True),
    "ended": FaultKind({"bye": _choice("no", "yes", "mux")}, transport=True),
    "missing": FaultKind({"seconds": _positive()}, transport=True, whole=True),
}
"""Every fault that can be injected."""

_NEEDS_LENGTH = ("dropout", "repeat")
"""Without an end these are something else: silence, a slip."""


def parse_fault(text: str, place: str = "--fault") -> Fault:
    """Read ``KIND:NAME=VALUE,...``.

    Parameters
    ----------
    text
        As it was written.
    place
        Where it was written, for messages.

    Returns
    -------
    Fault
        With the default of what was not given.

    Raises
    ------
    ConfigurationError
        For anything unknown, missing or out of range; the message names ``place``, the field and the value.
    """
    kind, values = split_fault(text, place)
    return make_fault(kind, values, f"{place}: {text!r}")


def split_fault(text: str, place: str = "--fault") -> tuple[str, dict[str, str]]:
    """Return the kind of a written fault and its values as they are written, neither checked.

    Parameters
    ----------
    text
        As it was written.
    place
        Where it was written, for messages.

    Returns
    -------
    kind : str
        As it was written.
    values : dict of str to str
        As they were written, by name.

    Raises
    ------
    ConfigurationError
        Where a value has no name, or one is given twice.
    """
    kind, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for item in filter(None, rest.split(",")):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ConfigurationError(f"{place}: {text!r}: {item!r} is not NAME=VALUE")
        if name in values:
            raise ConfigurationError(f"{place}: {text!r}: {name} is given twice")
        values[name] = value
    return kind.strip(), values


def make_fault(kind: str, values: Mapping[str, Any], place: str) -> Fault:
    """Return a checked fault; ``values`` as in the written form, as text or as numbers.

    Parameters
    ----------
    kind
        Its name.
    values
        Values by name, as text or as numbers.
    place
        Where they were written, for messages.

    Returns
    -------
    Fault
        With the default of what was not given.

    Raises
    ------
    ConfigurationError
        As :func:`parse_fault`.
    """
    if kind not in FAULTS:
        raise ConfigurationError(f"{place}: unknown fault {kind!r}; known are {', '.join(FAULTS)}")
    known = FAULTS[kind]
    accepted = {**({} if known.whole else {"at": _number(0.0, required=True)}), **known.parameters}
    if not known.transport:
        accepted["channel"] = _integer(1)
    if known.stretch:
        accepted |= {"duration": _positive(), "frames": _integer(1)}
    read: dict[str, Any] = {name: item.default for name, item in accepted.items() if item.default is not None}
    for name, value in values.items():
        if name not in accepted:
            raise ConfigurationError(f"{place}: unknown field {name!r}; {kind} takes {', '.join(accepted)}")
        try:
            read[name] = accepted[name].read(str(value))
        except ValueError:
            raise ConfigurationError(f"{place}: {name}={value} is not {accepted[name].wanted}") from None
    for name, item in accepted.items():
        if item.required and name not in read:
            raise ConfigurationError(f"{place}: {name} is missing")
    if known.one_of and sum(name in read for name in known.one_of) != 1:
        raise ConfigurationError(f"{place}: give exactly one of {', '.join(known.one_of)}")
    if known.stretch and "duration" in read and "frames" in read:
        raise ConfigurationError(f"{place}: give duration or frames, not both")
    if kind in _NEEDS_LENGTH and "duration" not in read and "frames" not in read:
        raise ConfigurationError(f"{place}: duration or frames is missing")
    return Fault(
        kind=kind,
        at_seconds=read.pop("at", 0.0),
        channel=read.pop("channel", None),
        duration_seconds=read.pop("duration", None),
        duration_frames=read.pop("frames", None) if known.stretch else None,
        values=read,
        place=place,
    )


def _write(value: Value) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
