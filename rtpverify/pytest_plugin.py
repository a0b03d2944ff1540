"""The pytest plugin: devices that send RTP, verified while a test runs.

Fixtures ``rtp_verifier`` and ``rtp_sender``, the marker ``rtp`` with defaults, options and ini keys ``rtp_*``. A check
ends with its test; one whose result the test never asked for has to be clean. What was found goes to the test's JUnit
properties, and where the check or the test failed to its report and to the evidence folder.

Loaded with every run of pytest where rtpverify is installed, so nothing is imported here that is not pytest's own: what
verifies is loaded by the first test that does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from rtpverify.api.live import LiveVerifier
    from rtpverify.api.sending import LiveSender
    from rtpverify.errors import RequestError
    from rtpverify.result import Result

OPTIONS = {
    "rtp_evidence": ("DIR", "Folder for the evidence of checks that do not pass: result, report, packets of each."),
    "rtp_interface": ("NAME", "Network interface of the streams, but for those on loopback."),
    "rtp_profile": ("NAME", "Default limits: digital or analog."),
    "rtp_encoding": ("ENCODING", "Encoding of payload types that nothing else defines, such as L24/48000/2."),
    "rtp_sdp": ("FILE", "Session description of the streams."),
}
"""Options of the command line and keys of the ini file, each with what it takes."""

DEFAULTS = (
    *("profile", "limits", "encoding", "reference", "sdp", "streams", "duration", "until_end", "interface"),
    *("expect_streams", "trim_silence", "rtcp", "receiver_reports", "host_clock"),
)
"""What the marker gives: options of :func:`rtpverify.verify`."""

_FILES = ("evidence", "sdp")
_EVIDENCE = ".evidence"
"""What the property ends with that names the evidence."""
_SLUG_CHARACTERS = 80
_PACKAGE = Path(__file__).parent


# Hooks ---------------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options and ini keys.

    Parameters
    ----------
    parser
        Takes them.
    """
    group = parser.getgroup("rtp", "audio over RTP (rtpverify)")
    for name, (metavar, text) in OPTIONS.items():
        group.addoption(f"--{name.replace('_', '-')}", dest=name, metavar=metavar, help=text)
        parser.addini(name, text)


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and attach evidence where a JUnit file is written.

    Parameters
    ----------
    config
        The configuration of the session.
    """
    config.addinivalue_line(
        "markers",
        "rtp(profile=..., limits={...}, encoding=..., reference=..., and other options of rtpverify.verify): "
        "defaults of rtp_verifier and rtp_sender in this test",
    )
    if getattr(config.option, "xmlpath", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Attachments(config), "rtpverify-attachments")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End the checks of a test with the test itself, so that it is the test that fails.

    Parameters
    ----------
    item
        The test.

    Returns
    -------
    object
        What the test returned.

    Yields
    ------
    None
        While the test runs.
    """
    from rtpverify.api.observers import OBSERVERS

    def observe(result: Result) -> None:
        _rig_of(item).take(result)

    OBSERVERS.append(observe)
    try:
        outcome = yield
    except BaseException as error:
        if _RIG in item.stash:
            item.stash[_RIG].close(error)
        raise
    finally:
        OBSERVERS.remove(observe)
    if _RIG in item.stash:
        item.stash[_RIG].close()
        item.stash[_RIG].assert_clean()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what checks found to the report of a test that failed, or of a fixture that it needs.

    Parameters
    ----------
    item
        The test.
    call
        The phase of it that is reported.

    Returns
    -------
    pytest.TestReport
        The report, with what checks found.

    Yields
    ------
    None
        While the report is made.
    """
    if call.excinfo is not None:
        if call.when == "setup" and _RIG in item.stash:
            item.stash[_RIG].close(call.excinfo.value)
        if not item.config.getoption("fulltrace"):
            _end_at_caller(call.excinfo)
    report = yield
    if call.when != "teardown" and report.failed and _RIG in item.stash:
        report.sections += item.stash[_RIG].sections()
    if call.when == "teardown" and _RIG in item.stash:
        del item.stash[_RIG]  # with its results
    return report


@pytest.fixture
def rtp_verifier(request: pytest.FixtureRequest) -> Iterator[VerifierFactory]:
    """Begin checks of live sources: ``verifier = rtp_verifier("rtp://127.0.0.1:5004", encoding="L24/48000/2")``.

    Takes what :func:`rtpverify.verify` takes, and returns its verifier, which receives already. It ends with the test.
    """
    with _rig_of(request.node) as rig:
        yield VerifierFactory(rig)


@pytest.fixture
def rtp_sender(request: pytest.FixtureRequest) -> Iterator[SenderFactory]:
    """Begin to send: ``sender = rtp_sender("rtp://127.0.0.1:5004", faults=["loss:at=0.5,packets=3"])``.

    Takes what :func:`rtpverify.send` takes, and returns its sender, which sends already. It ends with the test.
    """
    with _rig_of(request.node) as rig:
        yield SenderFactory(rig)


# Fixtures ------------------------------------------------------------------------------------------------------------


class _Factory:
    """What a fixture gives: to be called; a test that uses it without a call gets a message that says so."""

    name, function, example = "", "", ""

    def __init__(self, rig: _Rig) -> None:
        self._rig = rig

    def __getattr__(self, attribute: str) -> NoReturn:
        __tracebackhide__ = True
        raise AttributeError(f"{self.name} has no {attribute!r}: it is to be called first: {self.example}")

    def __enter__(self) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(f"{self.name} is to be called: {self.example}")

    def __exit__(self, *_: object) -> None:
        raise AssertionError("is never entered")

    def _refuse(self, place: object) -> None:
        if not isinstance(place, str | Path):
            pytest.fail(f"{self.name}: {place!r} is neither an address nor a path: {self.example}", pytrace=False)


class VerifierFactory(_Factory):
    """Begins checks of live sources."""

    name = "rtp_verifier"
    example = 'verifier = rtp_verifier("rtp://127.0.0.1:5004", encoding="L24/48000/2")'

    def __call__(self, source: str | Path | None = None, **options: Any) -> LiveVerifier:
        """Begin a check; its sockets are bound when this returns.

        Parameters
        ----------
        source, **options
            As :func:`rtpverify.verify` takes them; what is not given, the marker, options and ini keys give.

        Raises
        ------
        RequestError
            Where the source or an option is unusable.
        """
        __tracebackhide__ = True
        self._refuse(source)
        return self._rig.verify(str(source), options)


class SenderFactory(_Factory):
    """Begins to send."""

    name = "rtp_sender"
    example = 'sender = rtp_sender("rtp://127.0.0.1:5004", duration=2)'

    def __call__(self, destination: str | None = None, **options: Any) -> LiveSender:
        """Begin to send.

        Parameters
        ----------
        destination, **options
            As :func:`rtpverify.send` takes them; encoding, frequency and interface that are not given, the marker,
            options and ini keys give.

        Raises
        ------
        RequestError
            Where an argument is unusable.
        """
        __tracebackhide__ = True
        self._refuse(destination)
        return self._rig.send(str(destination), options)


class _Rig:
    """The checks and senders of one test, which all its fixtures share."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._marked = _marked(item)
        self._verifiers: list[LiveVerifier] = []
        self._senders: list[LiveSender] = []
        self._found: list[_Found] = []
        """What checks found that have ended."""
        self._unasked: list[LiveVerifier] = []
        """Checks that have ended, and whose result the test never asked for."""
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verify(self, source: str, options: Mapping[str, Any]) -> LiveVerifier:
        """Begin a check with what is given, and what is not from elsewhere."""
        __tracebackhide__ = True
        from rtpverify.api.checks import verify
        from rtpverify.live.sdp_session import is_session

        defaults = {name: self._default(name) for name in ("profile", "encoding", "sdp", "interface")}
        if is_session(source):
            del defaults["sdp"]
        if _is_loopback(source):
            del defaults["interface"]
        given = {name: value for name, value in defaults.items() if value} | self._marked | dict(options)
        if (folder := self._evidence()) is not None:
            given.setdefault("evidence", folder / f"check-{self._number()}")
        verifier = verify(source, **given)
        verifier.__enter__()
        self._verifiers.append(verifier)
        return verifier

    def send(self, destination: str, options: Mapping[str, Any]) -> LiveSender:
        """Begin to send with what is given, and what is not from elsewhere."""
        __tracebackhide__ = True
        from rtpverify.api.sending import send

        given: dict[str, Any] = {"encoding": self._marked.get("encoding") or self._default("encoding")}
        if not _is_loopback(destination):
            given["interface"] = self._marked.get("interface") or self._default("interface")
        reference = str(self._marked.get("reference", ""))
        if reference.startswith("tone:") and "file" not in options:
            given["frequency"] = [float(hz) for hz in reference.removeprefix("tone:").split(",")]
        sender = send(destination, **given | dict(options))
        sender.__enter__()
        self._senders.append(sender)
        return sender

    def take(self, result: Result) -> None:
        """Take what ``rtpverify.check`` or ``compare`` has found in the test, and keep evidence unless it passed."""
        folder = self._evidence()
        place = None if folder is None or result else folder / f"check-{self._number()}"
        if place is not None:
            from rtpverify.evidence.check_folder import keep_check, packet_memory

            keep_check(place, result, packet_memory())
        self._found.append(_Found(result.source, result, None, place))

    def close(self, error: BaseException | None = None) -> None:
        """End all, and keep what was found; ``error`` is what ended the test.

        Raises
        ------
        RequestError
            Where a check or a sender itself failed, and the test did not.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._unasked = [verifier for verifier in self._verifiers if not verifier.was_asked]
        if isinstance(error, pytest.skip.Exception):
            error = None
        problems: list[RequestError] = []
        for verifier in self._verifiers:  # which may last longer than the test, so that senders end after them
            with _collected(problems):
                verifier.__exit__(None if error is None else type(error), error, None)
        for sender in self._senders:
            with _collected(problems):
                sender.stop()
        self._found += map(_found_by, self._verifiers)
        for number, found in enumerate(self._found, 1):
            self._item.user_properties.extend(found.properties("rtpverify" if number == 1 else f"rtpverify.{number}"))
        if problems and error is None:
            raise problems[0]

    def assert_clean(self) -> None:
        """Fail the test where a check is not clean whose result it never asked for."""
        for verifier in self._unasked:
            with _as_failure(AssertionError):
                verifier.result.assert_clean()

    def sections(self) -> list[tuple[str, str]]:
        """Return what each check found that did not pass, and where its evidence is."""
        return [(f"rtpverify {found.source}", text) for found in self._found if (text := found.summary())]

    def _number(self) -> int:
        """Return the number of the next check of this test."""
        return len(self._verifiers) + len(self._found) + 1

    def _default(self, name: str) -> str | None:
        """Return what the command line or the ini file gives; files are relative to where each was written."""
        config = self._item.config
        given: str | None = config.getoption(f"rtp_{name}")
        folder = config.invocation_params.dir
        if not given:
            given, folder = config.getini(f"rtp_{name}"), config.inipath.parent if config.inipath else config.rootpath
        return str(folder / given) if given and name in _FILES else given or None

    def _evidence(self) -> Path | None:
        """Return the folder for the evidence of this test: one that no other test has, whichever worker runs it."""
        root = self._default("evidence")
        if root is None:
            return None
        node = self._item.nodeid
        digest = hashlib.blake2s(node.encode(), digest_size=4).hexdigest()
        return Path(root) / f"{re.sub(r'[^A-Za-z0-9]+', '_', node).strip('_')[-_SLUG_CHARACTERS:]}-{digest}"


def _rig_of(item: pytest.Item) -> _Rig:
    """Return the rig of a test."""
    if _RIG not in item.stash:
        item.stash[_RIG] = _Rig(item)
    return item.stash[_RIG]


_RIG = pytest.StashKey[_Rig]()


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return the defaults that markers give, the nearest first; limits of several go over each other."""
    from rtpverify.api.asked import DEFAULT_PROFILE, limits_of
    from rtpverify.errors import RequestError

    given: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("rtp"))):
        unknown = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in DEFAULTS)]
        if unknown:
            pytest.fail(f"marker rtp: {unknown[0]} is unknown; it takes {', '.join(DEFAULTS)} by name", pytrace=False)
        outer, limits = given.get("limits"), marker.kwargs.get("limits")
        given |= marker.kwargs
        if isinstance(outer, Mapping) and isinstance(limits, Mapping):
            given["limits"] = {**outer, **limits}
    with _as_failure(RequestError, "marker rtp: "):
        limits_of(given.get("profile", DEFAULT_PROFILE), given.get("limits"))
    return given


def _is_loopback(address: str) -> bool:
    """Return whether an address is one of loopback, where the interface of the bench says nothing."""
    from ipaddress import ip_address

    from rtpverify.errors import ConfigurationError
    from rtpverify.sources.live.endpoint import parse_endpoint

    try:
        return ip_address(parse_endpoint(address).address).is_loopback
    except ConfigurationError:
        return False


@contextmanager
def _as_failure(kind: type[Exception], prefix: str = "") -> Iterator[None]:
    """Fail the test with the message of an error, and nothing of where it was raised."""
    try:
        yield
    except kind as error:
        raise pytest.fail.Exception(f"{prefix}{error}", pytrace=False) from None


def _end_at_caller(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Let the traceback of a caller's mistake end at the line that made it."""
    from rtpverify.errors import RequestError

    if not isinstance(excinfo.value, RequestError):
        return
    here: TracebackType | None = excinfo.tb
    caller, before, is_in_ours = None, None, True
    while here is not None:
        code = here.tb_frame.f_code
        is_hook = code.co_name.startswith("pytest_")  # hooks surround the test
        was_in_ours, is_in_ours = is_in_ours, Path(code.co_filename).is_relative_to(_PACKAGE) and not is_hook
        if is_in_ours and not was_in_ours:
            caller = before
        before, here = here, here.tb_next
    if caller is not None:
        caller.tb_next = None
        excinfo.value.__cause__ = None  # is in the message


@contextmanager
def _collected(problems: list[RequestError]) -> Iterator[None]:
    """Let what fails not keep others from ending."""
    from rtpverify.errors import RequestError

    try:
        yield
    except RequestError as problem:
        problems.append(problem)


class _Found(NamedTuple):
    """What one check found: a result, or why there is none; and where its evidence is."""

    source: str
    result: Result | None
    error: RequestError | None
    evidence: Path | None

    def properties(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield what a JUnit file says of it."""
        yield f"{prefix}.source", self.source
        if self.result is None:
            yield f"{prefix}.error", str(self.error)
        else:
            yield f"{prefix}.verdict", str(self.result.verdict)
            if self.result.reason:
                yield f"{prefix}.reason", self.result.reason
            packets = [stream.transport for stream in self.result.arrived if stream.transport is not None]
            if packets:
                yield f"{prefix}.packets_received", str(sum(counts.packets_received for counts in packets))
                yield f"{prefix}.packets_lost", str(sum(counts.packets_lost for counts in packets))
        if self.evidence is not None:
            yield f"{prefix}{_EVIDENCE}", str(self.evidence)

    def summary(self) -> str:
        """Return what a report of pytest shows; nothing of a check that passed and has no evidence."""
        if self.result is not None and self.result.passed and self.evidence is None:
            return ""
        from rtpverify.report import text

        out = StringIO()
        if self.result is None:
            out.write(f"{self.error}\n")
        else:
            text.write(self.result, out)
        if self.evidence is not None:
            out.write(f"\nEvidence {self.evidence}\n")
        return out.getvalue()


def _found_by(verifier: LiveVerifier) -> _Found:
    """Return what a check that has ended found."""
    from rtpverify.errors import RequestError

    try:
        return _Found(verifier.source, verifier.result, None, verifier.evidence)
    except RequestError as error:
        return _Found(verifier.source, None, error, verifier.evidence)


class _Attachments:
    """Names the evidence of a test in its part of the JUnit file, as Jenkins and GitLab attach files."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the names before the test's part is finished; also those of tests that xdist's workers ran."""
        from _pytest.junitxml import xml_key

        folders = [str(value) for name, value in report.user_properties if str(name).endswith(_EVIDENCE)]
        xml = self._config.stash.get(xml_key, None)
        if report.when != "teardown" or not folders or xml is None:
            return
        node = ET.Element("system-out")
        files = [path for folder in folders for path in sorted(Path(folder).iterdir())]
        node.text = "\n".join(f"[[ATTACHMENT|{path}]]" for path in files)
        xml.node_reporter(report).append(node)
