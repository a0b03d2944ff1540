"""Loads beforehand what live input would import with the packets that first need it.

Loading takes up to some tenths of a second, in which packets wait or are dropped by the kernel; and where no file can
be opened any more, it fails. So nothing is imported while packets are received.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

from rtpverify.reference import Recording, Reference, Tone
from rtpverify.sources.audio import libav

_FOR_PACKETS = ("numpy.ma", "hashlib")
"""``numpy.unique`` imports the first at its first call, and the first event needs the second."""
_FOR_REFERENCE: dict[type, tuple[str, ...]] = {
    Tone: ("rtpverify.detect.tone.detector", "numpy.fft", "numpy.polynomial"),
    Recording: ("rtpverify.detect.recording.detector", "numpy.fft", "numpy.polynomial"),
}
_FOR_TAPS = ("rtpverify.sources.ring.receiver",)
_FOR_FILES = ("rtpverify.sources.audio.recording", "soundfile", "soxr")
_FOR_NATS = ("nats.aio.client", "nats.js.errors", "nkeys")
_FOR_HOST_NAMES = ("encodings.idna",)
"""``socket.getaddrinfo`` imports it."""


def load_for(references: Iterable[Reference]) -> None:
    """Load what streams need that are compared with these references and no others.

    Parameters
    ----------
    references
        References of the streams.
    """
    kinds = {type(reference) for reference in references}
    _load(_FOR_PACKETS, *(_FOR_REFERENCE.get(kind, ()) for kind in kinds))


def load_all() -> None:
    """Load what any stream may need, any reference read later, and any sink of a later configuration."""
    extras = [("av",) if libav.is_installed() else (), _FOR_NATS if find_spec("nats") and find_spec("nkeys") else ()]
    _load(_FOR_PACKETS, *_FOR_REFERENCE.values(), _FOR_TAPS, _FOR_FILES, _FOR_HOST_NAMES, *extras)


def _load(*modules: Iterable[str]) -> None:
    for names in modules:
        for name in names:
            import_module(name)
