"""The format chunk of WAV, RF64 and W64 files, and samples that lie in more bytes than their bits need.

A container may be wider than its samples: 24 valid bits in 32 (WAVEFORMATEXTENSIBLE), or 24 bits in blocks of four
bytes. The specification puts them at the upper end, some writers at the lower one; the samples themselves say which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from rtpverify.sources.audio.channel_names import names_by_mask
from rtpverify.sources.audio.chunks import Chunk

PCM = 1
_EXTENSIBLE = 0xFFFE
_MOST_BYTES = 4
_FRAMES_PER_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class WaveForm:
    """What a format chunk says.

    Attributes
    ----------
    tag
        Of the codec, 1 for linear PCM; of WAVEFORMATEXTENSIBLE that of its subformat.
    sample_bytes
        Bytes that a sample takes in a block.
    bits, valid_bits
        As stated; ``valid_bits`` is ``bits`` where nothing says otherwise.
    is_big_endian
        Whether samples begin with their highest byte (RIFX).
    names
        Of the channels, by the mask.
    """

    tag: int
    channels: int
    sample_rate_hz: int
    sample_bytes: int
    bits: int
    valid_bits: int
    names: tuple[str, ...]
    is_big_endian: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether linear samples have fewer bits than the bytes they lie in; only little-endian ones are examined."""
        is_linear = self.tag == PCM and not self.is_big_endian
        return is_linear and 0 < self.valid_bits < 8 * self.sample_bytes <= 8 * _MOST_BYTES

    @property
    def is_24_bit(self) -> bool:
        """Whether linear samples of 24 bits take three bytes each, which is read in a fraction of libsndfile's time."""
        return self.tag == PCM and not self.is_big_endian and self.sample_bytes == 3 and self.valid_bits == 24

    @property
    def is_padded(self) -> bool:
        """Whether a block has more bytes than readers expect from its bits."""
        return self.is_wide and self.sample_bytes != -(-self.bits // 8)


def wave_form(file: BinaryIO, chunks: list[Chunk]) -> WaveForm | None:
    """Read the format chunk; None where there is none that is whole.

    Parameters
    ----------
    file
        The file, open for reading in binary.
    chunks
        Its chunks.

    Returns
    -------
    WaveForm or None
        Format, channels, rate and container.
    """
    chunk = next((chunk for chunk in chunks if chunk.name == b"fmt "), None)
    if chunk is None:
        return None
    file.seek(chunk.start)
    raw = file.read(min(chunk.size or 0, 40))
    if len(raw) < 16:
        return None

    file.seek(0)
    order: Literal["big", "little"] = "big" if file.read(4) == b"RIFX" else "little"

    def number(at: int, size: int) -> int:
        return int.from_bytes(raw[at : at + size], order)

    tag, channels, bits = number(0, 2), number(2, 2), number(14, 2)
    valid_bits, names = bits, names_by_mask(0, 0)
    if tag == _EXTENSIBLE and len(raw) >= 26:
        tag = number(24, 2)
        names = names_by_mask(number(20, 4), channels)
        valid_bits = number(18, 2) if 0 < number(18, 2) <= bits else bits
    sample_bytes = number(12, 2) // channels if channels else 0
    return WaveForm(tag, channels, number(4, 4), sample_bytes, bits, valid_bits, names, order == "big")


@dataclass(frozen=True, slots=True)
class Packing:
    """How samples of linear PCM lie in a file, such as in containers that are wider than they are.

    Attributes
    ----------
    start, sample_bytes, channels
        Where the first block begins, and what it is made of.
    bits
        That are used.
    shift
        By how many bits a sample has to be moved up.
    """

    start: int
    sample_bytes: int
    channels: int
    bits: int
    shift: int = 0

    def read(self, file: BinaryIO, first: int, frames: int) -> NDArray[np.int32]:
        """Return frames from ``first`` on, shape (n, channels), with full scale at 2**31.

        Parameters
        ----------
        file
            The file, open for reading in binary.
        first
            First frame.
        frames
            Frames wanted.

        Returns
        -------
        NDArray[np.int32]
            Fewer where the file ends before.
        """
        size = self.sample_bytes * self.channels
        file.seek(self.start + first * size)
        raw = file.read(frames * size)
        count = len(raw) // size * self.channels
        if self.sample_bytes == 3:
            words = _words_of_three(raw, count)
        else:
            samples = np.zeros((count, 4), np.uint8)
            used = np.frombuffer(raw, np.uint8, count * self.sample_bytes)
            samples[:, 4 - self.sample_bytes :] = used.reshape(-1, self.sample_bytes)
            words = samples.view("<i4")[:, 0]
        if self.shift:
            words <<= np.int32(self.shift)
        return words.reshape(-1, self.channels)


def _words_of_three(raw: bytes, count: int) -> NDArray[np.int32]:
    """Return samples of three bytes in the upper ones of words, shape (count,)."""
    words = np.empty(count, np.int32)
    if count:
        words[0] = int.from_bytes(raw[:3], "little", signed=True) << 8
    if count > 1:
        # Four bytes every three: the lowest is of the sample before.
        overlapping = np.frombuffer(raw, "<i4", 1, 2)
        words[1:] = np.lib.stride_tricks.as_strided(overlapping, (count - 1,), (3,))
        words[1:] &= np.int32(-256)
    return words


def packing_of(file: BinaryIO, form: WaveForm, start: int, frames: int) -> Packing:
    """Find at which end of their containers samples lie, by the samples; by the specification where all are 0.

    Parameters
    ----------
    file
        The file, open for reading in binary.
    form
        The format chunk.
    start
        Offset of the first sample, in bytes.
    frames
        Frames there are.

    Returns
    -------
    Packing
        How samples are read.
    """
    upper = Packing(start, form.sample_bytes, form.channels, form.valid_bits)
    spare = 8 * form.sample_bytes - form.valid_bits
    is_upper = is_lower = True
    for block in _blocks(file, upper, frames):
        is_upper = is_upper and not (block & np.int32((1 << 32 - form.valid_bits) - 1)).any()
        value = block >> np.int32(32 - 8 * form.sample_bytes)
        is_lower = is_lower and bool(
            (value >= -(1 << form.valid_bits - 1)).all() and (value < 1 << form.valid_bits).all()
        )
        if not is_upper and not is_lower:
            return Packing(start, form.sample_bytes, form.channels, 8 * form.sample_bytes)
        if is_upper != is_lower and block.any():
            break
    return upper if is_upper else Packing(start, form.sample_bytes, form.channels, form.valid_bits, spare)


def _blocks(file: BinaryIO, packing: Packing, frames: int) -> Iterator[NDArray[np.int32]]:
    for first in range(0, frames, _FRAMES_PER_READ):
        yield packing.read(file, first, min(_FRAMES_PER_READ, frames - first))
