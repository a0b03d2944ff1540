"""Keywords for Robot Framework: devices that send RTP, verified while a test case runs.

    *** Settings ***
    Library    rtpverify.robot_library.RtpVerify    encoding=L24/48000/2    reference=tone:1283

    *** Test Cases ***
    Audio Arrives As It Was Sent
        Start Verifying    rtp://239.1.2.3:5004
        Start The Device
        Wait For Audio    timeout=10 s
        Audio Should Be Clean    after=3 s

Checks and senders that a test case leaves running end with it. A check whose result no keyword asked for has no say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtpverify.api.checks import check, verify
from rtpverify.api.live import LiveVerifier
from rtpverify.api.sending import LiveSender, send
from rtpverify.errors import RequestError
from rtpverify.version import __version__

if TYPE_CHECKING:
    from rtpverify.result import Result


class RtpVerify:
    """Verifies audio that devices send as RTP.

    Arguments of the import are defaults of all keywords: ``encoding``, ``reference``, ``profile``, ``sdp``,
    ``interface`` and ``evidence``, a folder for the result, report and packets of each check that does not pass. A
    limit is given by its name, such as ``max_thd_n_db=-60``. Times are numbers of seconds, or Robot's: ``1 min 30 s``.
    """

    ROBOT_LIBRARY_SCOPE = "GLOBAL"
    ROBOT_LIBRARY_VERSION = __version__
    ROBOT_LISTENER_API_VERSION = 3

    def __init__(
        self,
        encoding: str | None = None,
        reference: str = "tone",
        profile: str = "digital",
        sdp: str | None = None,
        interface: str | None = None,
        evidence: str | None = None,
        **limits: float | bool,
    ) -> None:
        self.ROBOT_LIBRARY_LISTENER = self
        self._defaults = {"encoding": encoding, "reference": reference, "profile": profile, "sdp": sdp}
        self._interface = interface
        self._limits: dict[str, float | bool] = dict(limits)
        self._evidence = None if evidence is None else Path(evidence)
        self._verifiers: dict[str, LiveVerifier] = {}
        """By their sources, the latest one last; those of this test case, also when they have ended."""
        self._senders: list[LiveSender] = []
        self._test = ""

    # Keywords -------------------------------------------------------------------------------------------------------

    def start_verifying(
        self,
        source: str,
        encoding: str | None = None,
        reference: str | None = None,
        profile: str | None = None,
        sdp: str | None = None,
        streams: str | None = None,
        until_end: bool = False,
        interface: str | None = None,
        **limits: float | bool,
    ) -> None:
        """Begin to verify a live source: ``rtp://[SENDER@]ADDRESS:PORT`` or a session description.

        The sockets are bound when this keyword returns, so that the device is started afterwards. ``until_end=True``
        is for a device that stops within the test case, which is a fault otherwise. Several checks may run at a time.
        """
        if source in self._verifiers and self._verifiers[source].is_running:
            raise RequestError(f"{source}: is being verified already; end that with Stop Verifying")
        given = self._given(encoding=encoding, reference=reference, profile=profile, sdp=sdp, limits=limits)
        folder = None
        if self._evidence is not None:
            folder = self._evidence / _file_name(self._test) / f"check-{len(self._verifiers) + 1}"
        self._verifiers.pop(source, None)
        verifier = verify(
            source,
            **given,
            streams=streams,
            until_end=until_end,
            interface=interface or self._interface,
            evidence=folder,
        )
        verifier.__enter__()
        self._verifiers[source] = verifier

    def wait_for_audio(self, timeout: str | float = 10.0, source: str | None = None) -> None:
        """Wait for the first RTP packet that counts to the stream; fail where none arrives in time."""
        self._of(source).wait_for_audio(_seconds(timeout))

    def stop_verifying(self, source: str | None = None) -> Result:
        """End a check, and return its result; of the source begun last where none is named."""
        verifier = self._of(source)
        verifier.__exit__(None, None, None)
        _log(verifier.result)
        return verifier.result

    def audio_should_be_clean(self, *allow: str, after: str | float = 0.0, source: str | None = None) -> Result:
        """End a check, and fail with each fault that was found: time, channel, size, cause.

        Kinds of faults that are no failure here are named one by one. ``after`` is how long to verify before.
        """
        time.sleep(_seconds(after))
        result = self.stop_verifying(source)
        result.assert_clean(allow)
        return result

    def faults_should_be(self, *kinds: str, source: str | None = None) -> Result:
        """End a check, and fail unless exactly these kinds of faults were found, in order of time."""
        result = self.stop_verifying(source)
        events = sorted(
            (event.start_frame, str(event.kind)) for one in result.streams for event in one.events if event.fault
        )
        found = [kind for _, kind in events]
        if found != list(kinds):
            raise AssertionError(f"{result.source}: expected {', '.join(kinds) or 'no fault'}, found {result.reason}")
        return result

    def recording_should_be_clean(
        self,
        path: str,
        *allow: str,
        encoding: str | None = None,
        reference: str | None = None,
        profile: str | None = None,
        sdp: str | None = None,
        **limits: float | bool,
    ) -> Result:
        """Verify a capture or an audio file, and fail with each fault that was found."""
        given = self._given(encoding=encoding, reference=reference, profile=profile, sdp=sdp, limits=limits)
        if not _has_packets(path):
            del given["encoding"], given["sdp"]
        result = check(path, **given)
        _log(result)
        result.assert_clean(allow)
        return result

    def start_sending(
        self,
        destination: str,
        *faults: str,
        encoding: str | None = None,
        frequency: float | None = None,
        duration: str | float | None = None,
        file: str | None = None,
        interface: str | None = None,
    ) -> None:
        """Send a test tone, or a recording, with faults such as ``loss:at=0.5,packets=3``: a device made of software.

        The frequency is that of the reference, unless another one is given.
        """
        options: dict[str, Any] = {"encoding": encoding or self._defaults["encoding"]}
        frequencies = (self._defaults["reference"] or "").removeprefix("tone:")
        if frequency is not None:
            options["frequency"] = frequency
        elif file is None and frequencies[:1].isdigit():
            options["frequency"] = [float(hz) for hz in frequencies.split(",")]
        sender = send(
            destination,
            faults=faults,
            duration=None if duration is None else _seconds(duration),
            file=file,
            interface=interface or self._interface,
            **options,
        )
        sender.__enter__()
        self._senders.append(sender)

    def wait_until_sent(self) -> None:
        """Wait until all that has an end is sent, a duration or a recording."""
        for sender in self._senders:
            if sender.ends_by_itself:
                sender.wait()

    def stop_sending(self) -> None:
        """End all that is being sent."""
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.stop()

    # Listener -------------------------------------------------------------------------------------------------------

    def _start_test(self, data: Any, result: Any) -> None:
        del result
        self._test = data.longname

    def _end_test(self, data: Any, result: Any) -> None:
        """End what the test case left running."""
        del data
        error = RuntimeError(result.message) if result.failed else None
        for verifier in self._verifiers.values():
            try:
                verifier.__exit__(None, error, None)
            except RequestError as problem:
                result.message = f"{result.message}\n{problem}".strip()
                result.status = "FAIL"
            if verifier.evidence is not None:
                result.message = f"{result.message}\nEvidence: {verifier.evidence}".strip()
        self._verifiers.clear()
        self.stop_sending()

    # ----------------------------------------------------------------------------------------------------------------

    def _given(self, *, limits: Mapping[str, float | bool], **options: str | None) -> dict[str, Any]:
        """Return the options of a check: those of the keyword over those of the import."""
        given = {name: options[name] or default for name, default in self._defaults.items()}
        return {**given, "limits": {**self._limits, **limits}}

    def _of(self, source: str | None) -> LiveVerifier:
        if not self._verifiers:
            raise RequestError("nothing is being verified: begin with Start Verifying")
        if source is None:
            return list(self._verifiers.values())[-1]
        if source not in self._verifiers:
            raise RequestError(f"{source}: is not being verified; begun were {', '.join(self._verifiers)}")
        return self._verifiers[source]


def _has_packets(path: str) -> bool:
    from rtpverify.commands.check import has_packets

    return has_packets(path)


def _seconds(text: str | float) -> float:
    """Return seconds of a number or of a time as Robot writes it."""
    from robot.utils import timestr_to_secs

    return float(timestr_to_secs(text))


def _log(result: Result) -> None:
    """Show a result in Robot's log."""
    from robot.api import logger

    logger.info(result._repr_html_(), html=True)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text) or "suite"
