"""The audio in some packets: frames where the timestamps put them, holes known.

Positions count from the earliest packet, as ``rtpverify check`` counts frames of a capture. Where the sender's numbers
break (another SSRC, a restart, timestamps that run back) what follows is directly after.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import PacketBatch, RtpBatch, parse
from rtpverify.rtp.payload import Encoding, decode

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS = 60.0
"""Frames after this are omitted: timestamps may say anything."""
_BREAK_SECONDS = 0.5
"""Timestamps this far from where sequence numbers put them are of a new beginning."""
_BREAK_PACKETS = 8000

_SUBTYPES = {"L8": "PCM_U8", "L16": "PCM_16", "PCMU": "PCM_16", "PCMA": "PCM_16", "F32": "FLOAT"}
"""What holds every sample of an encoding exactly; 24 bits for the others."""


@dataclass(frozen=True, slots=True)
class ClipAudio:
    """Frames of a clip.

    Attributes
    ----------
    encoding
        How they were sent.
    samples
        Shape (frames, channels), full scale ±1.0; 0 in holes.
    valid
        Which frames arrived, shape (frames,).
    sequence, frame, length, arrival_ns
        Of each packet that holds audio, in order of its place: sequence number as on the wire, first frame, frames,
        arrival; shape (n,).
    """

    encoding: Encoding
    samples: NDArray[np.float64]
    valid: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    frame: NDArray[np.int64]
    length: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]

    def place_of(self, sequence: int, near_ns: int) -> int | None:
        """Return the first frame of a packet by its number on the wire, the copy that arrived nearest to a moment.

        Parameters
        ----------
        sequence
            Sequence number, of which the lower 16 bits count.
        near_ns
            In ns since the Unix epoch.

        Returns
        -------
        int or None
            Frame of the clip; None where no such packet is there.
        """
        rows = np.flatnonzero(self.sequence == sequence % (1 << 16))
        if len(rows) == 0:
            return None
        return int(self.frame[rows[np.abs(self.arrival_ns[rows] - near_ns).argmin()]])

    def place_at(self, arrival_ns: int) -> int:
        """Return the frame that had come last at a moment, as far as packets show.

        Parameters
        ----------
        arrival_ns
            In ns since the Unix epoch.

        Returns
        -------
        int
            Frame of the clip, 0 where nothing had come.
        """
        rows = np.flatnonzero(self.arrival_ns <= arrival_ns)
        return int((self.frame[rows] + self.length[rows]).max()) if len(rows) else 0


def assemble(batch: PacketBatch, encoding: Encoding, encoding_of: Callable[[int], Encoding | None]) -> ClipAudio:
    """Return the audio of the packets of one stream.

    Parameters
    ----------
    batch
        Its datagrams in order of arrival; copies may be among them.
    encoding
        The encoding of the stream.
    encoding_of
        How a payload type is decoded; packets of another encoding (comfort noise, telephone events) are omitted.

    Returns
    -------
    ClipAudio
        Every frame that arrived, in order of media time, the first of copies; zeros where packets are missing.
    """
    rtp = parse(batch)
    of_audio = [kind for kind in np.unique(rtp.payload_type).tolist() if encoding_of(kind) == encoding]
    frames, odd = np.divmod(rtp.payload_length, encoding.bytes_per_frame)
    rtp = rtp.take(np.flatnonzero((odd == 0) & (frames > 0) & np.isin(rtp.payload_type, of_audio)))
    length = rtp.payload_length // encoding.bytes_per_frame
    if len(rtp) == 0:
        return _nothing(encoding)
    frame = _places(rtp, length, encoding.sample_rate_hz)
    kept = np.flatnonzero(frame + length <= int(MAX_SECONDS * encoding.sample_rate_hz))
    rtp, frame, length = rtp.take(kept), frame[kept], length[kept]
    if len(rtp) == 0:
        return _nothing(encoding)
    samples = np.zeros((int((frame + length).max()), encoding.channels))
    valid = np.zeros(len(samples), np.bool_)
    for size in np.unique(length).tolist():
        rows = np.flatnonzero(length == size)[::-1]  # the first copy is written last, and stays
        position = frame[rows, None] + np.arange(size)
        samples[position] = decode(encoding, rtp.source.arena, rtp.payload_offset[rows], size)
        valid[position] = True
    order = np.argsort(frame, kind="stable")
    return ClipAudio(encoding, samples, valid, rtp.sequence[order], frame[order], length[order], rtp.arrival_ns[order])


def _nothing(encoding: Encoding) -> ClipAudio:
    none = np.zeros(0, np.int64)
    return ClipAudio(encoding, np.zeros((0, encoding.channels)), none.astype(np.bool_), none, none, none, none)


def _places(rtp: RtpBatch, length: NDArray[np.int64], sample_rate_hz: int) -> NDArray[np.int64]:
    """Return the first frame of each packet, shape (n,); one source after the other."""
    frame = np.zeros(len(rtp), np.int64)
    end = 0
    sources = rtp.ssrc[np.sort(np.unique(rtp.ssrc, return_index=True)[1])]
    for ssrc in sources.tolist():
        rows = np.flatnonzero(rtp.ssrc == ssrc)
        numbers = _differences(rtp.sequence[rows], 16)
        times = _differences(rtp.timestamp[rows], 32)
        off = np.abs(times - numbers * length[rows[:-1]])
        back = (numbers == 1) & (times < length[rows[:-1]])
        breaks = (off > _BREAK_SECONDS * sample_rate_hz) | (np.abs(numbers) > _BREAK_PACKETS) | back
        time = np.concatenate([[0], np.cumsum(times)])
        for part in np.split(np.arange(len(rows)), np.flatnonzero(breaks) + 1):
            at = rows[part]
            frame[at] = end + time[part] - time[part].min()
            end = int((frame[at] + length[at]).max())
    return frame


def _differences(counter: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return the steps of a counter that wraps, each taken the shorter way; shape (n - 1,)."""
    half = 1 << (bits - 1)
    steps: NDArray[np.int64] = (np.diff(counter) + half) % (1 << bits) - half
    return steps


def wav(audio: ClipAudio) -> bytes:
    """Return a WAV file that holds every sample exactly.

    Parameters
    ----------
    audio
        The audio.

    Returns
    -------
    bytes
        The whole file.
    """
    import soundfile

    subtype = _SUBTYPES.get(audio.encoding.name, "PCM_24")
    # As integers: libsndfile scales floats by 2**(bits-1) - 1.
    data = audio.samples.astype(np.float32) if subtype == "FLOAT" else (audio.samples * 2.0**31).astype(np.int32)
    out = io.BytesIO()
    soundfile.write(out, data, audio.encoding.sample_rate_hz, subtype, format="WAV")
    return out.getvalue()
