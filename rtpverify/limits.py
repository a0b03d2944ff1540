"""Limits: past which size a departure is a fault.

``digital`` holds a path that should be bit-transparent, ``analog`` one that passes converters. A limit that is None is
not checked (or, for ``max_thd_n_db``, derived from the encoding).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from rtpverify.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one check; names carry their units."""

    max_frequency_error_ppm: float = 2.0
    """Frequency off the reference, or wandering."""
    max_thd_n_db: float | None = None
    """Residual relative to the fundamental; None: 6 dB above the encoding's own quantisation limit, in dBFS."""
    max_level_change_db: float = 0.005
    """Level step or drift."""
    max_gain_db: float | None = 0.005
    """Level against a reference recording; None: any constant gain is allowed."""
    max_dc_offset: float = 3e-5
    """As a fraction of full scale."""
    word_length_is_fault: bool = True
    """Whether always-empty low bits are a fault, or only reported."""
    max_stall_seconds: float = 0.1
    """Longest silence on the wire; never below ten packet times."""
    reorder_window_seconds: float = 0.05
    """How long a missing packet may still arrive; later it is late, and lost. Never below three packet times."""
    tsdf_window_seconds: float = 0.2
    """Window of the time-stamped delay factor (EBU Tech 3337); 1 is in use too."""
    link_offset_seconds: float | None = None
    """From sampling to presentation (AES67); None: the presentation lead is not measured."""
    min_presentation_lead_seconds: float = 0.0
    """How long before its presentation a packet must have arrived."""
    max_jitter_seconds: float | None = None
    """RFC 3550 interarrival jitter."""
    max_duplicated: int | None = None
    """Packets that came more than once."""
    max_reordered: int | None = None
    """Packets received after a later one, within the reorder window."""
    max_late: int | None = None
    """Packets received after the reorder window."""
    max_packets_left_out: int = 0
    """Packets of the stream that were not taken into it; comfort noise and telephone events don't count."""
    max_timestamp_error_seconds: float = 0.0
    """How far timestamps may deviate from the frames that the packets hold."""


TRANSPORT_LIMITS = frozenset(
    {
        "max_stall_seconds",
        "reorder_window_seconds",
        "tsdf_window_seconds",
        "link_offset_seconds",
        "min_presentation_lead_seconds",
        "max_jitter_seconds",
        "max_duplicated",
        "max_reordered",
        "max_late",
        "max_packets_left_out",
        "max_timestamp_error_seconds",
    }
)
"""Limits of packets: nothing of a recording can be past them."""

PROFILES: dict[str, Limits] = {
    "digital": Limits(),
    "analog": Limits(
        max_frequency_error_ppm=100.0,
        max_thd_n_db=-60.0,
        max_level_change_db=0.1,
        max_gain_db=None,
        max_dc_offset=0.01,
        word_length_is_fault=False,
        max_timestamp_error_seconds=0.001,
    ),
}


def with_values(limits: Limits, values: dict[str, Any], place: str) -> Limits:
    """Return ``limits`` with some values replaced.

    Parameters
    ----------
    limits
        The limits before.
    values
        Values by name.
    place
        Where they were written, for messages.

    Returns
    -------
    Limits
        New limits.

    Raises
    ------
    ConfigurationError
        For an unknown name or a value of the wrong type; the message starts with ``place``. None is a value of limits
        that need not be checked.
    """
    known = {item.name: item for item in fields(Limits)}
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"{place}: unknown limit {name!r}; known are {', '.join(known)}")
        if value is None and "None" in str(known[name].type):
            continue
        is_flag = name == "word_length_is_fault"
        if isinstance(value, bool) != is_flag or not isinstance(value, bool | int | float) or value != value:
            kind = "true or false" if is_flag else "a number"
            raise ConfigurationError(f"{place}: {name} = {value!r} is not {kind}")
        if name != "max_thd_n_db" and not is_flag and value < 0:
            raise ConfigurationError(f"{place}: {name} = {value!r} is negative")
    return replace(limits, **values)
