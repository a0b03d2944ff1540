"""What an event looks like: audio and packets around it, for reports that draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EventClip:
    """Audio and packets around one event, of one channel.

    Attributes
    ----------
    channel
        Counted from 1.
    start_frame
        On the media timeline: the first sample here.
    received, residual
        Full scale ±1.0, shape (n,), float32. The residual is what remains without the reference; None where there is
        no reference to take off.
    holes
        First frame and the one after the last, from ``start_frame`` on, of each stretch that never arrived.
    packet_frame, packet_sequence, packet_interval_seconds
        Packets here, in order of arrival: first frame from ``start_frame`` on, sequence number, and time since the
        packet before (NaN for the first); shape (p,).
    spectrum_hz, before_dbfs, around_dbfs
        Spectra in dBFS before the event and around it, shape (k,); None where there is too little audio.
    spectrogram_dbfs
        Shape (rows, columns), from 0 to half the sample rate upwards.
    spectrogram_start_frame, spectrogram_frames
        What it covers.
    """

    channel: int
    sample_rate_hz: int
    start_frame: int
    received: NDArray[np.float32]
    residual: NDArray[np.float32] | None
    holes: tuple[tuple[int, int], ...]
    packet_frame: NDArray[np.int64]
    packet_sequence: NDArray[np.int64]
    packet_interval_seconds: NDArray[np.float64]
    spectrum_hz: NDArray[np.float64]
    before_dbfs: NDArray[np.float64] | None
    around_dbfs: NDArray[np.float64] | None
    spectrogram_dbfs: NDArray[np.float64]
    spectrogram_start_frame: int
    spectrogram_frames: int
