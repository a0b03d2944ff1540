"""What was seen, as data: JSON of the figures, NPZ and CSV of everything.

Arrays of a view are named after it: ``spectrogram_dbfs`` has shape (channels, bins, columns), with it come
``spectrogram_times_seconds`` and ``spectrogram_frequencies_hz``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.inspect.measure import Grid, Inspection, View
from rtpverify.dsp.envelope import Envelope

SCHEMA = "rtpverify.inspect/1"

_UNIT = {View.SPECTROGRAM: "dbfs", View.CONSTANT_Q: "dbfs", View.MEL: "db", View.MFCC: "db"}
_ROWS = {View.MFCC: "coefficients"}
_FREQUENCIES = "frequencies_hz"


def render_json(inspection: Inspection) -> str:
    """Return the figures of each channel and the values asked for.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    str
        JSON.
    """
    source = inspection.source
    data = {
        "schema": SCHEMA,
        "source": source.name,
        "encoding": source.encoding,
        "sample_rate": source.sample_rate_hz,
        "channels": source.channels,
        "bits": source.bits,
        "frames": source.frames,
        "start_frame": source.start_frame,
        "frames_seen": source.frames_seen,
        "warnings": list(inspection.warnings),
        "levels": [
            {"name": name, **asdict(found)} for name, found in zip(source.channel_names, inspection.levels, strict=True)
        ],
        "values": [asdict(value) for value in inspection.values],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def arrays(inspection: Inspection) -> dict[str, NDArray[Any]]:
    """Return everything as arrays, each under its name.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    dict[str, NDArray[Any]]
        Arrays by name; their shapes are in docs/inspect.md.
    """
    source, request = inspection.source, inspection.request
    found: dict[str, NDArray[Any]] = {
        "schema": np.array(SCHEMA),
        "source": np.array(source.name),
        "sample_rate_hz": np.array(source.sample_rate_hz),
        "frames": np.array(source.frames_seen),
        "start_frame": np.array(source.start_frame),
        "channel_names": np.array(source.channel_names),
        "levels_json": np.array(render_json(inspection)),
    }
    envelope, histogram = inspection.envelope_data, inspection.histogram
    if envelope is not None:
        found["waveform_times_seconds"] = source.start_seconds + envelope.times_seconds
        found["waveform_minimum"], found["waveform_maximum"] = envelope.minimum, envelope.maximum
        found["waveform_rms"], found["waveform_hilbert"] = envelope.rms, _hilbert(envelope)
    if histogram is not None:
        found["histogram_edges"], found["histogram_counts"] = histogram.edges, histogram.counts
    if View.SPECTROGRAM in inspection.grids:
        found["fft_frames"], found["hop_frames"] = np.array(request.fft_frames), np.array(request.hop_frames)
    for view, grid in inspection.grids.items():
        name = view.replace("-", "_")
        found[f"{name}_{_UNIT[view]}"] = grid.values
        found[f"{name}_times_seconds"] = grid.times_seconds(source.start_seconds)
        found[f"{name}_{_ROWS.get(view, _FREQUENCIES)}"] = grid.rows
    if inspection.phase is not None:
        found["spectrogram_values"] = inspection.phase
    return found


def _hilbert(envelope: Envelope) -> NDArray[np.float64]:
    """Return the Hilbert envelope in the middle of each hop, shape (channels, hops)."""
    return envelope.hilbert_at(envelope.times_seconds + envelope.hop_frames / envelope.sample_rate_hz / 2)


def write_npz(path: Path, inspection: Inspection) -> None:
    """Write everything into one NPZ file.

    Parameters
    ----------
    path
        The file.
    inspection
        What was measured.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays(inspection))  # type: ignore[arg-type]


def csv_paths(path: Path, inspection_views: tuple[View, ...]) -> dict[str, Path]:
    """Return the file of each table: ``out.csv`` becomes ``out-levels.csv``, ``out-spectrogram.csv``, ….

    Parameters
    ----------
    path
        The path that was asked for.
    inspection_views
        The views.

    Returns
    -------
    dict[str, Path]
        Paths by name of the table.
    """
    names = ["levels", *(view for view in inspection_views)]
    return {name: path.with_name(f"{path.stem}-{name}{path.suffix or '.csv'}") for name in names}


def write_csv(path: Path, view: str, inspection: Inspection) -> None:
    """Write the table of one view, or ``levels``.

    Parameters
    ----------
    path
        The file.
    view
        Name of the view, or ``levels``.
    inspection
        What was measured.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        for line in _table(view, inspection):
            file.write(line + "\n")


def _table(name: str, inspection: Inspection) -> Iterator[str]:
    """Yield the lines of one table."""
    if name == "levels":
        yield from _levels(inspection)
    elif name == View.WAVEFORM and inspection.envelope_data is not None:
        envelope = inspection.envelope_data
        columns = [inspection.source.start_seconds + envelope.times_seconds]
        hilbert = _hilbert(envelope)
        titles = ["time_seconds"]
        for channel, label in enumerate(inspection.source.channel_names):
            titles += [f"{figure}_{label}" for figure in ("minimum", "maximum", "rms", "hilbert")]
            columns += [figures[channel] for figures in (envelope.minimum, envelope.maximum, envelope.rms, hilbert)]
        yield from _columns(titles, columns)
    elif name == View.HISTOGRAM and inspection.histogram is not None:
        histogram = inspection.histogram
        titles = ["from", "to", *(f"samples_{label}" for label in inspection.source.channel_names)]
        yield from _columns(titles, [histogram.edges[:-1], histogram.edges[1:], *histogram.counts])
    else:
        yield from _grid(inspection.grids[View(name)], inspection)


def _levels(inspection: Inspection) -> Iterator[str]:
    rows = json.loads(render_json(inspection))["levels"]
    for row in rows:
        row["silence"] = row["silence"]["text"] if row["silence"] else None
    yield ",".join(rows[0])
    for row in rows:
        yield ",".join(_cell(value) for value in row.values())


def _cell(value: object) -> str:
    """Write a value; text with a comma in quotes, nothing for what could not be measured."""
    if value is None:
        return ""
    return f'"{value}"' if isinstance(value, str) and "," in value else f"{value}"


def _columns(titles: list[str], columns: list[NDArray[Any]]) -> Iterator[str]:
    yield ",".join(titles)
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield ",".join(f"{value:.10g}" for value in row)


def _grid(grid: Grid, inspection: Inspection) -> Iterator[str]:
    """Yield a line for each column of each channel: time, channel, and one value for each row."""
    yield ",".join(["time_seconds", "channel", *(f"{row:.10g}" for row in grid.rows)])
    for number, channel in enumerate(grid.values, 1):
        for time, column in zip(grid.times_seconds(inspection.source.start_seconds), channel.T, strict=True):
            yield f"{time:.10g},{number}," + ",".join(f"{value:.3f}" for value in column.tolist())
