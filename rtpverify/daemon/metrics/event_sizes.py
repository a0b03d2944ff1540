"""How large events are, in units that compare: seconds, frames, packets, dB, and parts of a whole.

Which measure a figure of an event belongs to is said where the figures are: :mod:`rtpverify.events`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, amplitude_ratio
from rtpverify.events import Event, figures_of


@dataclass(frozen=True, slots=True)
class Size:
    """One measure of events.

    Attributes
    ----------
    edges
        Of its histogram.
    """

    name: str
    documentation: str
    edges: Sequence[float]


SIZES = {
    "duration": Size(
        "rtpverify_event_duration_seconds",
        "Duration of events; for stalls, ended and missing streams, the time without a packet.",
        (1e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 10.0, 60.0, 600.0),
    ),
    "frames": Size(
        "rtpverify_event_frames",
        "Absolute jump of content or timestamps in frames; distance of repeated frames from the original.",
        (1.0, 6.0, 12.0, 48.0, 96.0, 192.0, 480.0, 960.0, 1920.0, 4800.0, 48000.0),
    ),
    "packets": Size(
        "rtpverify_event_packets",
        "Packets lost in a row, or counted past a limit.",
        (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0),
    ),
    "db": Size(
        "rtpverify_event_db",
        "Absolute change of level.",
        (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 6.0, 10.0, 20.0),
    ),
    "ratio": Size(
        "rtpverify_event_deviation_ratio",
        "Absolute size of deviations, offsets and residuals (RMS) as a fraction of full scale, of frequencies as a "
        "fraction of the reference.",
        (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0),
    ),
}


_IN_UNIT: dict[str, Callable[[float], float]] = {
    "residual_dbfs": lambda dbfs: amplitude_ratio(dbfs) * FULL_SCALE_SINE_RMS,
    "frequency_error_ppm": lambda ppm: ppm * 1e-6,
}
"""What makes figures of other units what their measure shows."""


def sizes_of(event: Event, sample_rate_hz: int | None) -> Iterator[tuple[str, float]]:
    """Yield the sizes of an event that has ended, by the names of :data:`SIZES`; the sign is omitted.

    Parameters
    ----------
    event
        The event.
    sample_rate_hz
        Sample rate of its stream; None where it is not known.

    Yields
    ------
    tuple[str, float]
        Name and size.
    """
    seen = set()
    for name, (_, figure) in figures_of(event.kind).items():
        value = getattr(event.size, name)
        if value is not None and figure.measure is not None and figure.measure not in seen:
            seen.add(figure.measure)
            yield figure.measure, abs(_IN_UNIT.get(name, float)(value))
    if "duration" not in seen and sample_rate_hz:
        yield "duration", event.duration_frames / sample_rate_hz
