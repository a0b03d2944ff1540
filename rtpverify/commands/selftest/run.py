"""Make every fault, over sockets and through the engine, and look at what is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.selftest.cases import FaultCase, Setting, each_kind, sizes
from rtpverify.commands.selftest.outcome import Outcome, SelfTest, Tried, judged
from rtpverify.commands.selftest.wire import Host, Wire, send_all
from rtpverify.commands.send import sent_audio
from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.errors import ConfigurationError, RequestError
from rtpverify.events import Kind
from rtpverify.reference import Recording, Tone
from rtpverify.report import wording
from rtpverify.rtp.batch import HEADER_BYTES
from rtpverify.rtp.payload import decode, encode
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import StreamSettings
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import DEFAULT_FREQUENCY_HZ

if TYPE_CHECKING:
    from rtpverify.limits import Limits
    from rtpverify.reference import Reference
    from rtpverify.result import Request, StreamResult
    from rtpverify.rtp.payload import Encoding
    from rtpverify.sender.signal import SentSignal

_BEFORE_SECONDS, _AFTER_SECONDS = 2.0, 3.0
"""Audio before and after a fault: what is in order has to be learned, and a stream may end."""
_SIZES_AFTER_SECONDS = 2.5
_SEARCHED_SECONDS = 20.0
_CLEAN_SECONDS = 60.0
_TOGETHER = 9
"""Faults that go over the wire at a time: few enough for a small host to send them when they are due."""
_ENGINE_CHANNELS = 2
"""Of a tone, more channels in the engine would only take longer."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """What to test.

    Attributes
    ----------
    encoding
        As ``--encoding`` has it; None: the default, or that of the recording.
    interface
        Name or address of the interface that packets leave by, as multicast; None: loopback.
    offline
        Use no sockets.
    """

    encoding: str | None
    reference: Reference
    limits: Limits
    packet_seconds: float | None
    level_dbfs: float
    interface: str | None
    offline: bool
    seed: int


def selftest(bench: Bench, request: Request, say: Progress) -> SelfTest:
    """Make every fault, and return what was found.

    Parameters
    ----------
    bench
        Format, reference, limits and wire.
    request
        What was asked for, for the reports.
    say
        Takes a line that says what is being done.

    Returns
    -------
    SelfTest
        What was found.

    Raises
    ------
    RequestError
        Where the format, the reference or the interface is unusable.
    """
    began = time.monotonic()
    if bench.reference is None:
        raise RequestError("--reference none: the self-test compares audio; give tone:FREQUENCY or a recording")
    encoding, signal = _signal(bench, bench.reference)
    at = _BEFORE_SECONDS if isinstance(bench.reference, Tone) else _loudest(signal)
    around = signal.read(round(at * signal.sample_rate_hz), signal.sample_rate_hz // 2)
    packet = StreamSettings(encoding=encoding, packet_time_seconds=bench.packet_seconds)
    if not bench.offline:
        _require_receivable(packet)
    setting = Setting(encoding, bench.reference, bench.limits, packet.packet_frames, float(np.abs(around[:, 0]).max()))
    path = "the engine alone" if bench.offline else _path(bench.interface)
    test = SelfTest(str(encoding), path, request)
    engine = _Engine(bench, setting, at)
    say(f"{_CLEAN_SECONDS:g} s of clean audio through the engine")
    clean = engine.verify([], _CLEAN_SECONDS)
    false = judged([], clean.events, encoding.sample_rate_hz)[1]
    test.tried.append(Tried(None, "", f"{_CLEAN_SECONDS:g} s", "engine", None, false=false))
    engine.usual = frozenset(event.kind for event in clean.events if event.fault)
    if engine.usual:
        kinds = ", ".join(engine.usual)
        test.warnings.append(
            f"clean audio in this format is past the limits ({kinds}), which hides smaller faults: set limits that fit"
        )
    test.detection_limits = wording.sensitivity(clean)
    test.warnings += clean.warnings
    setting = replace(setting, signal=clean.signal[0] if clean.signal else None)
    if not bench.offline:
        test.tried += _over_the_wire(bench, setting, signal, at, test, engine.usual, say)
    else:
        # What happens to packets takes sockets; what happens to audio does not.
        test.tried += engine.try_all([case for case in each_kind(setting) if not _of_packets(case)])
    smaller = list(sizes(setting))
    say(f"{len(smaller)} sizes of faults through the engine")
    test.tried += engine.try_all(smaller)
    test.seconds = time.monotonic() - began
    return test


def _require_receivable(packet: StreamSettings) -> None:
    """Refuse packets that nothing would receive."""
    from rtpverify.sources.live.recvmmsg import MAX_DATAGRAM_BYTES

    most = MAX_DATAGRAM_BYTES - HEADER_BYTES
    if packet.payload_bytes > most:
        raise RequestError(
            f"--packet-time: {packet.packet_frames} frames of {packet.encoding} are payloads of "
            f"{packet.payload_bytes:,} bytes; up to {most:,} are received: give a shorter one"
        )


def _path(interface: str | None) -> str:
    """Say which way packets go."""
    if interface is None:
        return "UDP over loopback"
    return f"UDP multicast that leaves by {interface}; what is received is this host's own copy of it"


def _signal(bench: Bench, reference: Tone | Recording) -> tuple[Encoding, SentSignal]:
    """Return what is sent, and as what."""
    if isinstance(reference, Recording):
        encoding, signal = sent_audio(Path(reference.path), True, bench.encoding, "", 0.0)
    else:
        frequencies_hz = reference.frequencies_hz or (DEFAULT_FREQUENCY_HZ,)
        text = ",".join(map(repr, frequencies_hz))
        encoding, signal = sent_audio(None, False, bench.encoding, text, bench.level_dbfs)
        reference.check(encoding.sample_rate_hz, encoding.channels)
    if (signal.sample_rate_hz, signal.channels) != (encoding.sample_rate_hz, encoding.channels):
        raise RequestError(
            f"--encoding {encoding}: the recording has {signal.sample_rate_hz} Hz and {signal.channels} channel(s)"
        )
    return encoding, signal


def _loudest(signal: SentSignal) -> float:
    """Return when the first channel of a recording is loudest, in seconds, not too near to its start."""
    rate_hz = signal.sample_rate_hz
    window = rate_hz // 2
    first = signal.read(round(_BEFORE_SECONDS * rate_hz), round(_SEARCHED_SECONDS * rate_hz))[:, 0]
    powers = (first[: len(first) // window * window].reshape(-1, window) ** 2).mean(axis=1)
    return _BEFORE_SECONDS + float(powers.argmax()) * window / rate_hz


def _of_packets(case: FaultCase) -> bool:
    return parse_fault(case.text(1.0)).transport


def _over_the_wire(
    bench: Bench,
    setting: Setting,
    signal: SentSignal,
    at: float,
    test: SelfTest,
    usual: Collection[Kind],
    say: Progress,
) -> Iterator[Tried]:
    """Send every fault in a stream of its own, some at a time, each time with a clean one."""
    cases = list(each_kind(setting))
    sent = [case for case in cases if not case.why_not]
    seconds = at + _AFTER_SECONDS
    waves = -(-len(sent) // _TOGETHER)
    say(f"{len(sent)} faults over {test.path}, {_TOGETHER} and a clean stream at a time, {waves} times {seconds:g} s")
    wire = Wire(bench.interface, seconds, bench.packet_seconds, bench.seed)
    rate_hz, host = setting.encoding.sample_rate_hz, Host()
    for start in range(0, len(sent), _TOGETHER):
        part = [*sent[start : start + _TOGETHER], None]
        texts = [None if case is None else case.text(at) for case in part]
        results, this = send_all(texts, setting, signal, wire)
        host = host | this
        for case, text, found in zip(part, texts, results, strict=True):
            was_found, false = judged(
                found.expected,
                found.events,
                rate_hz,
                counted=found.was_counted,
                usual=usual,
                required=case is None or case.required,
            )
            if case is None or text is None:
                yield Tried(None, "", f"{seconds:g} s", "wire", None, false=false)
            else:
                yield _tried(case, text, "wire", was_found, false)
    test.warnings += host.warnings()
    for case in cases:
        if case.why_not:
            yield _not_possible(case, "wire")


def _tried(case: FaultCase, text: str, over: str, was_found: bool, false: tuple[str, ...]) -> Tried:
    unseen = Outcome.MISSED if case.required else Outcome.BELOW
    outcome = Outcome.FOUND if was_found else unseen
    return Tried(case.event_kind, text, case.size, over, outcome, false=false)


def _not_possible(case: FaultCase, over: str) -> Tried:
    outcome = Outcome.BLIND if case.is_blind else Outcome.NONE
    return Tried(case.event_kind, case.text(0.0), case.size, over, outcome, case.why_not)


class _Engine:
    """Verifies audio as it is after it was encoded and decoded, without packets."""

    def __init__(self, bench: Bench, setting: Setting, at_seconds: float) -> None:
        encoding = setting.encoding
        is_one_tone = isinstance(setting.reference, Tone) and len(setting.reference.frequencies_hz) < 2
        if is_one_tone and encoding.channels > _ENGINE_CHANNELS:
            encoding = replace(encoding, channels=_ENGINE_CHANNELS)
        _, self._signal = _signal(replace(bench, encoding=str(encoding)), setting.reference)
        self._encoding, self._setting, self._seed = encoding, setting, bench.seed
        self._at = at_seconds
        self.usual: Collection[Kind] = ()
        """Kinds of faults that are reported of clean audio."""

    def try_all(self, cases: list[FaultCase]) -> Iterator[Tried]:
        """Yield what becomes of faults of the signal."""
        for case in cases:
            if case.why_not:
                yield _not_possible(case, "engine")
                continue
            text = case.text(self._at)
            try:
                damaged = self._damaged([text])
            except ConfigurationError as error:
                yield Tried(case.event_kind, text, case.size, "engine", Outcome.NONE, str(error))
                continue
            found = self._verified(damaged, self._at + _SIZES_AFTER_SECONDS)
            rate_hz = self._encoding.sample_rate_hz
            was_found, false = judged(damaged.expected, found.events, rate_hz, usual=self.usual, required=case.required)
            yield _tried(case, text, "engine", was_found, false)

    def verify(self, faults: list[str], seconds: float) -> StreamResult:
        """Return what is found in so much audio."""
        return self._verified(self._damaged(faults), seconds)

    def _damaged(self, faults: list[str]) -> DamagedSignal:
        parsed = [parse_fault(text) for text in faults]
        return DamagedSignal(self._signal, parsed, bits=self._encoding.bits, seed=self._seed)

    def _verified(self, signal: DamagedSignal, seconds: float) -> StreamResult:
        encoding, setting = self._encoding, self._setting
        rate_hz, channels = encoding.sample_rate_hz, encoding.channels
        verifier = FrameVerifier(setting.reference, setting.limits, rate_hz, channels, encoding.name, encoding.bits)
        frames = round(seconds * rate_hz)
        for start in range(0, frames, rate_hz):
            verifier.feed(self._as_received(signal.read(start, min(rate_hz, frames - start))))
        verifier.finish()
        return verifier.stream()

    def _as_received(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return samples as a receiver decodes them, shape (n, channels)."""
        arena = np.frombuffer(encode(self._encoding, samples), np.uint8)
        decoded = decode(self._encoding, arena, np.zeros(1, np.int64), len(samples))
        return np.asarray(decoded.reshape(len(samples), self._encoding.channels), np.float64)
