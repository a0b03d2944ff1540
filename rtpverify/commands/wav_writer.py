"""WAV files that commands write block by block, of any length: RF64 (EBU Tech 3306) where RIFF's sizes do not do.

Written here and not by libsndfile, which cannot say why a disk refuses what it writes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_LIMIT_BYTES = 0xFFFF_0000
"""Past this RIFF's 32-bit sizes overflow."""
_PCM, _FLOAT = 1, 3

Form = Literal["L16", "L24", "F32"]
Write = Callable[[NDArray[np.float64]], None]
"""Takes frames, shape (n, channels), full scale ±1.0."""


def header(form: Form, sample_rate_hz: int, channels: int, frames: int, *, is_large: bool) -> bytes:
    """Return what comes before the samples of a file of so many frames; ``is_large``: an RF64 one.

    Parameters
    ----------
    form
        How samples are written.
    sample_rate_hz
        Frames per second.
    channels
        How many.
    frames
        How many.
    is_large
        Whether it is an RF64 file, which may be larger than 4 GiB.

    Returns
    -------
    bytes
        The bytes before the first sample.
    """
    sample_bytes = _sample_bytes(form)
    frame_bytes = sample_bytes * channels
    data_bytes = frames * frame_bytes
    code = _FLOAT if form == "F32" else _PCM
    chunks = b"fmt " + struct.pack(
        "<IHHIIHH", 16, code, channels, sample_rate_hz, sample_rate_hz * frame_bytes, frame_bytes, 8 * sample_bytes
    )
    if code == _FLOAT:
        chunks += b"fact" + struct.pack("<II", 4, min(frames, 0xFFFF_FFFF))
    size = 4 + len(chunks) + 8 + data_bytes + data_bytes % 2
    if not is_large:
        return b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks + b"data" + struct.pack("<I", data_bytes)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, size + 36, data_bytes, frames, 0)
    unknown = struct.pack("<I", 0xFFFF_FFFF)
    return b"RF64" + unknown + b"WAVE" + sizes + chunks + b"data" + unknown


@contextmanager
def written(path: Path, form: Form, sample_rate_hz: int, channels: int, frames: int) -> Iterator[Write]:
    """Give a function that writes the next frames of a file that should have ``frames`` of them.

    Samples are rounded to the form; those beyond full scale are clipped where it has such a limit.

    Parameters
    ----------
    path
        The file.
    form
        How samples are written.
    sample_rate_hz
        Frames per second.
    channels
        How many.
    frames
        How many there should be.

    Yields
    ------
    Write
        Takes frames, full scale ±1.0, shape (n, channels).

    Raises
    ------
    OSError
        Where the file cannot be written.
    """
    frame_bytes = _sample_bytes(form) * channels
    is_large = frames * frame_bytes >= _LIMIT_BYTES
    count = 0
    with path.open("wb") as file:
        file.write(header(form, sample_rate_hz, channels, frames, is_large=is_large))

        def write(block: NDArray[np.float64]) -> None:
            nonlocal count
            count += len(block)
            file.write(_encoded(form, block))

        yield write
        if count * frame_bytes % 2:
            file.write(b"\0")
        if count != frames:
            file.seek(0)
            file.write(header(form, sample_rate_hz, channels, count, is_large=is_large))


def _sample_bytes(form: Form) -> int:
    return int(form[1:]) // 8


def _encoded(form: Form, block: NDArray[np.float64]) -> bytes:
    if form == "F32":
        return block.astype("<f4").tobytes()
    bits = int(form[1:])
    scale = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(block * scale), -scale, scale - 1).astype("<i4")
    return integers.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
