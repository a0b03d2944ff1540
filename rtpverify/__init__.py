"""Integrity verifier for audio that travels as RTP.

In a notebook or script: arrays in, typed results out, such as ``rtpverify.spectrogram(frames, 48000).dbfs``. What
there is stands in :data:`__all__`; it is loaded when it is first used, so ``import rtpverify`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rtpverify.version import __version__ as __version__

if TYPE_CHECKING:
    from rtpverify.api.audio import Audio, Mfcc, mfcc, read, tone
    from rtpverify.api.checks import check, compare, inspect, verify
    from rtpverify.api.live import LiveVerifier
    from rtpverify.api.sending import LiveSender, send
    from rtpverify.dsp.constant_q import ConstantQ, constant_q
    from rtpverify.dsp.envelope import Envelope, EnvelopePoint, envelope
    from rtpverify.dsp.griffin_lim import Reconstruction, griffin_lim
    from rtpverify.dsp.histogram import Histogram, histogram
    from rtpverify.dsp.resample import resample
    from rtpverify.dsp.silence import Silence, SilenceKind
    from rtpverify.dsp.spectrum import Spectrogram, spectrogram
    from rtpverify.dsp.statistics import Levels, levels
    from rtpverify.errors import NothingArrived, RequestError
    from rtpverify.events import Cause, Event, Kind
    from rtpverify.limits import Limits
    from rtpverify.result import Result, Verdict

__all__ = [
    "Audio",
    "Cause",
    "ConstantQ",
    "Envelope",
    "EnvelopePoint",
    "Event",
    "Histogram",
    "Kind",
    "Levels",
    "Limits",
    "LiveSender",
    "LiveVerifier",
    "Mfcc",
    "NothingArrived",
    "Reconstruction",
    "RequestError",
    "Result",
    "Silence",
    "SilenceKind",
    "Spectrogram",
    "Verdict",
    "check",
    "compare",
    "constant_q",
    "envelope",
    "griffin_lim",
    "histogram",
    "inspect",
    "levels",
    "mfcc",
    "read",
    "resample",
    "send",
    "spectrogram",
    "tone",
    "verify",
]

_MODULES = {
    "api.audio": ("Audio", "Mfcc", "mfcc", "read", "tone"),
    "api.checks": ("check", "compare", "inspect", "verify"),
    "api.live": ("LiveVerifier",),
    "api.sending": ("LiveSender", "send"),
    "dsp.constant_q": ("ConstantQ", "constant_q"),
    "dsp.envelope": ("Envelope", "EnvelopePoint", "envelope"),
    "dsp.griffin_lim": ("Reconstruction", "griffin_lim"),
    "dsp.histogram": ("Histogram", "histogram"),
    "dsp.resample": ("resample",),
    "dsp.silence": ("Silence", "SilenceKind"),
    "dsp.spectrum": ("Spectrogram", "spectrogram"),
    "dsp.statistics": ("Levels", "levels"),
    "errors": ("NothingArrived", "RequestError"),
    "events": ("Cause", "Event", "Kind"),
    "limits": ("Limits",),
    "result": ("Result", "Verdict"),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name of the API when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
