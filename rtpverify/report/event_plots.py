"""Audio, packets and spectra of events as data of the page that draws them (``page/event_plots.js``)."""

from __future__ import annotations

import base64
import json
import math
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.events import Event
from rtpverify.result import StreamResult
from rtpverify.result.clip import EventClip

_LARGEST = 32767
_SPAN_DB = 100.0
"""Range of a spectrogram's colours."""

PLOTS = """<div class="plots" data-clip="{number}">
<div class="tools"><button type="button" data-zoom="in" aria-label="zoom in">+</button>
<button type="button" data-zoom="out" aria-label="zoom out">−</button>
<button type="button" data-zoom="home">event</button>
<button type="button" data-zoom="all">all</button><span class="told quiet">wheel zooms, drag moves</span></div>
<canvas class="wave" role="img" aria-label="received, reference and residual"></canvas>
<div class="pair"><canvas role="img" aria-label="spectrum before and around the event"></canvas>
<canvas role="img" aria-label="spectrogram"></canvas></div>
</div>"""


def script() -> str:
    """Return what draws, to be part of the page.

    Returns
    -------
    str
        JavaScript.
    """
    page = files("rtpverify.report") / "page"
    axes, plots = ((page / name).read_text(encoding="utf-8") for name in ("axes.js", "event_plots.js"))
    return f'"use strict";\n{axes.replace("export function", "function")}\n{plots}'


def encoded(stream: StreamResult, event: Event, clip: EventClip) -> dict[str, Any]:
    """Return the data of one event.

    Parameters
    ----------
    stream
        Its stream.
    event
        The event.
    clip
        What is drawn of it.

    Returns
    -------
    dict[str, Any]
        Values of JSON's types; samples as base64.
    """
    wave, wave_scale = _scaled(clip.received)
    rest, rest_scale = (None, 0.0) if clip.residual is None else _scaled(clip.residual)
    high = 10 * math.ceil(float(clip.spectrogram_dbfs.max()) / 10)
    gram = np.clip((clip.spectrogram_dbfs - (high - _SPAN_DB)) / _SPAN_DB, 0.0, 1.0)
    packet_frames = round((stream.packet_time_seconds or 0.0) * clip.sample_rate_hz)
    intervals = [None if math.isnan(one) else round(1e3 * one, 3) for one in clip.packet_interval_seconds.tolist()]
    return {
        "rate": clip.sample_rate_hz,
        "channel": clip.channel,
        "start": clip.start_frame,
        "at": event.start_frame - clip.start_frame,
        "lasts": event.duration_frames,
        "wave": wave,
        "waveScale": wave_scale,
        "rest": rest,
        "restScale": rest_scale,
        "holes": [list(hole) for hole in clip.holes],
        "packets": [
            list(packet)
            for packet in zip(clip.packet_frame.tolist(), clip.packet_sequence.tolist(), intervals, strict=True)
        ],
        "packetFrames": packet_frames,
        "lowHz": float(clip.spectrum_hz[0]),
        "highHz": float(clip.spectrum_hz[-1]),
        "before": _levels(clip.before_dbfs),
        "around": _levels(clip.around_dbfs),
        "gram": _text(np.rint(255 * gram).astype(np.uint8)),
        "rows": clip.spectrogram_dbfs.shape[0],
        "columns": clip.spectrogram_dbfs.shape[1],
        "gramLow": high - _SPAN_DB,
        "gramHigh": high,
        "gramStart": clip.spectrogram_start_frame,
        "gramFrames": clip.spectrogram_frames,
    }


def as_script(clips: list[dict[str, Any]]) -> str:
    """Return the data of all events as JSON that may be the content of a script element.

    Parameters
    ----------
    clips
        What :func:`encoded` returned of each.

    Returns
    -------
    str
        JSON without ``</``.
    """
    return json.dumps(clips, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _scaled(values: NDArray[np.float32]) -> tuple[str, float]:
    """Return values as 16-bit numbers that fill their range, and what one of them is worth."""
    scale = (float(np.abs(values).max()) if len(values) else 0.0) / _LARGEST or 1.0 / _LARGEST
    return _text(np.rint(values / scale).astype("<i2")), scale


def _levels(dbfs: NDArray[np.float64] | None) -> str | None:
    """Return levels in hundredths of a decibel."""
    return None if dbfs is None else _text(np.rint(100 * dbfs).astype("<i2"))


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
