"""What ``rtpverify listen`` does with its options: a source, what is subtracted from it, a band, a level, a file.

The file is WAV in 32-bit floating point: nothing is clipped or rounded away, however quiet or loud the residual is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.audio_source import open_source
from rtpverify.commands.listen.from_spectra import Form, is_npz, read_spectra
from rtpverify.commands.output import refuse_overwriting, replacing
from rtpverify.commands.wav_writer import written
from rtpverify.dsp.band import BandFilter
from rtpverify.dsp.griffin_lim import ITERATIONS
from rtpverify.dsp.levels import amplitude_ratio, decibels
from rtpverify.dsp.sine import find_omega
from rtpverify.dsp.statistics import LevelMeter
from rtpverify.dsp.tone_removal import ToneRemover, block_frames
from rtpverify.errors import RequestError
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.result.event_wording import number

if TYPE_CHECKING:
    from rtpverify.media.audio import ReadableAudio
    from rtpverify.rtp.payload import Encoding

AUTO = "auto"
AUTO_PEAK = 10.0 ** (-1.0 / 20.0)
"""Where ``--gain auto`` puts the highest peak."""

_BLOCK_FRAMES = 65536
_SEARCH_SECONDS = 2.0
"""How much of the audio a tone is looked for in at a time."""
_NEAR = 0.005
"""How far, relative to it, a tone may be from the frequency that was named."""


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """What is to be heard.

    Attributes
    ----------
    reference
        What is subtracted; None: nothing.
    band
        Lower and upper edge in Hz of what is kept; None: all.
    gain_db
        How much louder it is made; ``auto`` brings the highest peak to -1 dBFS.
    start_seconds, length_seconds
        The part that is heard; None: to the end.
    form, iterations, seed
        Of spectra: what of the file, and how long and from where phases are sought.
    """

    reference: Reference = None
    band: tuple[float, float] | None = None
    gain_db: float | str = 0.0
    start_seconds: float = 0.0
    length_seconds: float | None = None
    form: Form | None = None
    iterations: int = ITERATIONS
    seed: int = 0


@dataclass(slots=True)
class _Heard:
    """Audio on its way to the file, and what there is to say of it."""

    sample_rate_hz: int
    names: tuple[str, ...]
    frames: int
    blocks: Iterable[NDArray[np.float64]]
    lines: list[str]

    @property
    def channels(self) -> int:
        return len(self.names)


def listen(
    source: str,
    out: Path,
    request: ListenRequest,
    *,
    force: bool = False,
    encoding: Encoding | None = None,
    sdp: Path | None = None,
    streams: Sequence[str] = (),
    on_listening: Callable[[Sequence[object]], None] | None = None,
) -> list[str]:
    """Write what is to be heard into a WAV file.

    Parameters
    ----------
    source
        As ``rtpverify check`` takes it, or what ``inspect --npz`` wrote.
    out
        The file.
    request
        What is to be heard.
    force
        Write over a file that is there.
    encoding, sdp, streams
        As :func:`rtpverify.commands.check.check` takes them.
    on_listening
        Called once a live source is open.

    Returns
    -------
    list[str]
        Lines that say what it is, and how loud.

    Raises
    ------
    RequestError
        Where the request or source is unusable, or the file exists already and ``force`` is not given.
    """
    refuse_overwriting("--out", out, force=force)
    if is_npz(Path(source)):
        if request.reference is not None:
            raise RequestError(f"{source}: spectra have no reference; --reference applies to audio only")
        heard = _from_spectra(Path(source), request)
    else:
        if request.form is not None:
            raise RequestError(f"{source}: --from applies only to spectra written by inspect --npz")
        audio = open_source(
            source,
            encoding=encoding,
            sdp=sdp,
            streams=streams,
            duration_seconds=request.length_seconds,
            on_listening=on_listening,
        )
        heard = _from_audio(audio, source, request)
    if request.band is not None:
        low_hz, high_hz = request.band
        band = BandFilter(low_hz, high_hz, heard.sample_rate_hz, heard.channels)
        before = heard.blocks
        heard.blocks = chain(chain.from_iterable(map(band.add, before)), _lazily(band.finish))
        heard.lines.append(f"band {low_hz:g} Hz to {high_hz:g} Hz")
    _write(heard, out, request)
    return heard.lines


def _lazily(finish: Callable[[], Iterator[NDArray[np.float64]]]) -> Iterator[NDArray[np.float64]]:
    """Call only once what comes before has been taken."""
    yield from finish()


def _from_spectra(path: Path, request: ListenRequest) -> _Heard:
    spectra = read_spectra(path)
    sound = spectra.sound(request.form, iterations=request.iterations, seed=request.seed)
    names = tuple(spectra.arrays.get("channel_names", np.arange(1, sound.frames.shape[1] + 1)).astype(str).tolist())
    error = f"error of its spectra {number(sound.error_db, '.1f')} dB"
    return _Heard(sound.sample_rate_hz, names, len(sound.frames), [sound.frames], [f"{sound.how}, {error}"])


def _from_audio(audio: ReadableAudio, source: str, request: ListenRequest) -> _Heard:
    rate_hz = audio.sample_rate_hz
    names = tuple(name or str(index) for index, name in enumerate(audio.channel_names or ("",) * audio.channels, 1))
    start = round(request.start_seconds * rate_hz)
    if not 0 <= start < audio.frames:
        raise RequestError(
            f"--start {request.start_seconds:g}: not within the {audio.frames / rate_hz:.3f} s that there are"
        )
    stop = audio.frames if request.length_seconds is None else start + max(1, round(request.length_seconds * rate_hz))
    stop = min(stop, audio.frames)
    heard = _Heard(rate_hz, names, stop - start, _part(audio, start, stop), [f"warning: {x}" for x in audio.told()])
    if isinstance(request.reference, Recording):
        heard.blocks = _without(audio, source, request.reference, start, stop)
        heard.lines.append(f"without the recording {request.reference.path}")
        return heard
    if request.reference is not None:
        request.reference.check(rate_hz, audio.channels)
        omegas = _omegas(audio, source, request.reference, start, stop)
        remover = ToneRemover(omegas, max(block_frames(omega, rate_hz) for omega in omegas))
        before = heard.blocks
        heard.blocks = chain(chain.from_iterable(map(remover.add, before)), _lazily(remover.finish))
        told = ", ".join(
            f"{name} {omega * rate_hz / math.tau:.3f} Hz" for name, omega in zip(names, omegas, strict=True)
        )
        heard.lines.append(f"without the tone: {told}")
    return heard


def _without(
    audio: ReadableAudio, source: str, reference: Recording, start: int, stop: int
) -> Iterator[NDArray[np.float64]]:
    """Return a part of a file without the recording that it follows."""
    from rtpverify.commands.listen.remove_recording import remover
    from rtpverify.sources.audio.file import AudioFile

    if not isinstance(audio, AudioFile):
        raise RequestError(
            f"{source}: a recording can be subtracted from an audio file only; make one with listen --reference none"
        )
    found = remover(reference.path, audio.path)

    def left() -> Iterator[NDArray[np.float64]]:
        first = start
        for part in _part(audio, start, stop):
            yield found.left(first, part)
            first += len(part)

    return left()


def _part(audio: ReadableAudio, start: int, stop: int) -> Iterator[NDArray[np.float64]]:
    """Yield a part of audio, values that are no numbers as 0."""
    first = 0
    for block in audio.blocks(_BLOCK_FRAMES):
        part = block[max(0, start - first) : max(0, stop - first)]
        first += len(block)
        if len(part):
            yield np.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
        if first >= stop:
            return


def _omegas(audio: ReadableAudio, source: str, tone: Tone, start: int, stop: int) -> list[float]:
    """Find the tone of each channel, rad per frame."""
    wanted = [tone.frequency_hz(channel) for channel in range(audio.channels)]
    found: list[float | None] = [None] * audio.channels
    size = max(16, round(_SEARCH_SECONDS * audio.sample_rate_hz))
    waiting = np.zeros((0, audio.channels))
    for block in chain(_part(audio, start, stop), [np.zeros((0, audio.channels))]):
        waiting = np.concatenate([waiting, block])
        if len(waiting) < size and len(block):
            continue
        for channel in range(audio.channels):
            if found[channel] is None:
                found[channel] = _near(find_omega(waiting[:, channel]), wanted[channel], audio.sample_rate_hz)
        waiting = waiting[:0]
        if None not in found:
            break
    for channel, omega in enumerate(found):
        if omega is None:
            what = f"tone of {wanted[channel]:g} Hz" if wanted[channel] else "tone"
            raise RequestError(f"{source}: channel {channel + 1} has no {what} to subtract; use --reference none")
    return [omega for omega in found if omega is not None]


def _near(omega: float | None, frequency_hz: float | None, rate_hz: float) -> float | None:
    """Return a frequency where it is about the one wanted."""
    if omega is None or frequency_hz is None:
        return omega
    wanted = math.tau * frequency_hz / rate_hz
    return omega if abs(omega - wanted) < _NEAR * wanted else None


def _write(heard: _Heard, out: Path, request: ListenRequest) -> None:
    """Write the file, and say how loud it is."""
    meter = LevelMeter(heard.channels, heard.sample_rate_hz, None)
    fixed = None if request.gain_db == AUTO else amplitude_ratio(float(request.gain_db))
    frames, peak = 0, 0.0
    with replacing("--out", out) as place:
        with written(place, "F32", heard.sample_rate_hz, heard.channels, heard.frames) as write:
            for block in heard.blocks:
                meter.add(block)
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                write(block if fixed is None else block * fixed)
                frames += len(block)
        gain = fixed if fixed is not None else AUTO_PEAK / peak if peak else 1.0
        if fixed is None:
            _scale(place, gain)
    for name, found in zip(heard.names, meter.result(), strict=True):
        level, peak_text = number(found.level_dbfs, ".2f"), number(found.peak_dbfs, ".2f")
        heard.lines.append(f"channel {name}: level {level} dBFS, peak {peak_text} dBFS, DC {found.dc_offset:+.2g}")
    louder = f", made {decibels(gain):.2f} dB louder," if gain != 1.0 else ""
    heard.lines.append(f"wrote {frames:,} frames ({frames / heard.sample_rate_hz:.3f} s){louder} to {out}")


def _scale(out: Path, gain: float) -> None:
    """Make a file that was written louder, in its place."""
    import soundfile

    with soundfile.SoundFile(out, "r+") as file:
        for start in range(0, file.frames, _BLOCK_FRAMES):
            file.seek(start)
            block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
            file.seek(start)
            file.write(block * np.float32(gain))
