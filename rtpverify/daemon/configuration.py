"""The daemon's configuration: TOML, checked whole.

Every mistake is reported at once, one line each: ``FILE:LINE: KEY = VALUE: what is wrong``. Where a value has no line
of its own, the line is that of the table that should hold it. Streams are counted from 1.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from rtpverify.daemon.config.base import Table, mistake, text_of, told
from rtpverify.daemon.config.toml_lines import Place, find_lines, line_of, write_mistake
from rtpverify.daemon.nats.table import NatsTable
from rtpverify.daemon.sinks.event_log import EventLogTable
from rtpverify.daemon.sinks.evidence import RecorderTable
from rtpverify.daemon.sinks.history import HistoryTable
from rtpverify.daemon.sinks.webhook import WebhookTable
from rtpverify.daemon.streams.expected import ExpectationTable, FollowedStream, PresenceTable, overlap, reference_of
from rtpverify.daemon.streams.sap_sessions import AnnouncedTable
from rtpverify.daemon.streams.sdp_folder import FolderTable
from rtpverify.daemon.web.table import MetricsTable
from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import ConfigurationError, RequestError
from rtpverify.limits import Limits, with_values
from rtpverify.live.loop import TICK_SECONDS
from rtpverify.live.sdp_session import Session, read_session, spec_at
from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.sources.live.endpoint import Endpoint, parse_endpoint
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES
from rtpverify.sources.open_receiver import Backend
from rtpverify.sources.ring.tap import is_tap
from rtpverify.sources.small_file import read_small
from rtpverify.transport.places import MAX_STREAMS
from rtpverify.transport.presentation import HostClock

AnyTable = TypeVar("AnyTable", bound=Table)


def _source(value: object) -> Endpoint:
    text = text_of(value)
    if is_tap(text):
        raise mistake("names no stream: write it as interface, and where the stream is sent to as source")
    try:
        return parse_endpoint(text, "source")
    except RequestError as error:
        raise told(error, f"source: {text!r}") from None


def _encoding(value: object) -> Encoding:
    text = text_of(value)
    try:
        return parse_rtpmap(text, "encoding")
    except RequestError as error:
        raise told(error, f"encoding: {text!r}") from None


def _session(value: object, folder: Path) -> Session:
    path = folder / text_of(value)
    try:
        return read_session(path)
    except RequestError as error:
        raise told(error, "") from None


def _session_field(value: object, info: ValidationInfo) -> Session:
    folder: Path = info.context  # type: ignore[assignment]
    return _session(value, folder)


class LogTable(Table):
    """``[log]``."""

    format: Literal["console", "json"] = "console"
    state_seconds: Annotated[float, Field(strict=True, gt=0, le=86400)] = 10.0
    """Time between two lines that show a stream's state."""


class ReceiveTable(Table):
    """``[receive]``."""

    backend: Backend | None = None
    """None: ``recvmmsg`` where the system has it."""
    tick_seconds: Annotated[float, Field(strict=True, ge=0.001, le=0.1)] = TICK_SECONDS
    buffer_bytes: Annotated[int, Field(strict=True, ge=65536, le=2**30)] = RECEIVE_BUFFER_BYTES
    """Receive buffer asked for, per socket."""
    receiver_reports: Annotated[bool, Field(strict=True)] = False
    """Send receiver reports to the senders of all streams."""
    host_clock: HostClock = "utc"
    """What arrival times count, for the presentation lead."""


class StreamTable(ExpectationTable):
    """``[[stream]]``."""

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    source: Annotated[Endpoint, BeforeValidator(_source)] | None = None
    encoding: Annotated[Encoding, BeforeValidator(_encoding)] | None = None
    sdp: Annotated[Session, BeforeValidator(_session_field)] | None = None
    """States encodings, and the source where there is none."""

    @property
    def followed(self) -> FollowedStream:
        """Where it is received, and what is expected of it."""
        base = replace(self.base_spec(), name=self.name, encoding=self.encoding)
        if self.source:
            source = self.source.with_rtcp() if self.rtcp else self.source
            endpoints, spec = [source], spec_at(source, base, self.sdp)
        else:
            endpoints, spec = _only_stream(self.sdp, base, rtcp=self.rtcp)
        return FollowedStream(tuple(endpoints), spec).through(self.interface)


def _only_stream(
    session: Session | None,
    base: StreamSpec = StreamSpec(),  # noqa: B008 - immutable
    *,
    rtcp: bool = False,
) -> tuple[list[Endpoint], StreamSpec]:
    """Return where the one stream of a description arrives, and what is expected of it.

    Raises
    ------
    ConfigurationError
        Where it does not describe one stream.
    """
    if session is None:
        raise ConfigurationError("is missing")
    streams = session.streams(base, rtcp=rtcp)
    if len(streams) != 1:
        raise ConfigurationError(f"is missing, and {session.place} describes {len(streams)} streams")
    return streams[0]


class Configuration(Table):
    """The whole file."""

    metrics: MetricsTable = MetricsTable()
    log: LogTable = LogTable()
    receive: ReceiveTable = ReceiveTable()
    presence: PresenceTable = PresenceTable()
    announced: AnnouncedTable | None = None
    folder: tuple[FolderTable, ...] = ()
    history: HistoryTable | None = None
    event_log: EventLogTable | None = None
    webhook: tuple[WebhookTable, ...] = ()
    recorder: RecorderTable | None = None
    nats: NatsTable | None = None
    stream: tuple[StreamTable, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Let what ``[presence]`` says hold for tables that say nothing of it."""
        return self.model_copy(
            update={
                "announced": self.announced and self.announced.with_presence(self.presence),
                "folder": tuple(table.with_presence(self.presence) for table in self.folder),
                "stream": tuple(table.with_presence(self.presence) for table in self.stream),
            }
        )


def read_config(path: Path) -> Configuration:
    """Read and check a configuration; relative paths in it start from its folder.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Configuration
        What it says, with the defaults of what it does not.

    Raises
    ------
    ConfigurationError
        With every mistake, one line each.
    """
    return parse_config(_read(path), path)


def read_table(path: Path, name: str, model: type[AnyTable]) -> AnyTable | None:
    """Read one table of a configuration, whatever the rest of it holds; None where there is no such table.

    Who looks up events need not be who may read the secrets that the rest names.

    Parameters
    ----------
    path
        The file.
    name
        Name of the table.
    model
        What the table is.

    Returns
    -------
    AnyTable or None
        The table.

    Raises
    ------
    ConfigurationError
        Where there is a mistake in it: with that, and every other one.
    """
    text = _read(path)
    value = _parse_toml(text, path).get(name)
    if value is None:
        return None
    try:
        return model.model_validate(value, context=path.parent)
    except ValidationError:
        parse_config(text, path)
        raise


def history_path_in(configuration: Path) -> Path:
    """Return the store that a configuration keeps; nothing else of it is examined.

    Parameters
    ----------
    configuration
        The file.

    Returns
    -------
    Path
        Path of the store.

    Raises
    ------
    ConfigurationError
        Where it has no such table, or there is a mistake in that.
    """
    history = read_table(configuration, "history", HistoryTable)
    if history is None:
        raise ConfigurationError(f"{configuration}: has no [history]")
    return history.path


def _read(path: Path) -> str:
    try:
        return read_small(path).decode()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8: {error}") from error


def _parse_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigurationError(f"{path}: not TOML: arrays or tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        place = f"{path}:{line[1]}" if line else f"{path}"
        raise ConfigurationError(f"{place}: not TOML: {error}") from error


def parse_config(text: str, path: Path) -> Configuration:
    """Check a configuration that was read from ``path``; see :func:`read_config`.

    Parameters
    ----------
    text
        The content.
    path
        The file, for messages; relative paths start from its folder.

    Returns
    -------
    Configuration
        What it says.

    Raises
    ------
    ConfigurationError
        With every mistake, one line each.
    """
    data = _parse_toml(text, path)
    mistakes: dict[Place, str] = {}
    configuration = None
    try:
        configuration = Configuration.model_validate(data, context=path.parent)
    except ValidationError as errors:
        for detail in errors.errors(include_url=False):
            mistakes.setdefault(detail["loc"], _message(detail))
    streams = data.get("stream")
    if not {"stream", "announced", "folder"} & data.keys():
        mistakes["stream",] = "is missing, and so are [[folder]] and [announced]"
    if "nats" in data and "history" not in data:
        mistakes.setdefault(("nats",), "needs [history], in which events wait while the server is away")
    for expectation, table in _expectations(data):
        if isinstance(table.get("limits"), dict):
            _check_limits(table["limits"], (*expectation, "limits"), mistakes)
    if isinstance(streams, list):
        _check_together([item if isinstance(item, dict) else {} for item in streams], path.parent, mistakes)
    if mistakes or configuration is None:
        lines = find_lines(text)
        order = sorted((line_of(lines, place), str(place), place) for place in mistakes)
        raise ConfigurationError(
            "\n".join(write_mistake(path, line, place, data, mistakes[place]) for line, _, place in order)
        )
    return configuration


def _message(error: ErrorDetails) -> str:
    """Say what pydantic found in our words."""
    place = error["loc"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            table = _table_at(place[:-1])
            return f"is not known; known are {', '.join(table.model_fields)}"
        case "string_pattern_mismatch":
            return "is not a name of 1 to 63 letters, digits, '_', '-' and '.' that starts with a letter or digit"
        case "model_type" | "tuple_type" | "dict_type":
            is_list = len(place) == 1 and get_origin(Configuration.model_fields[str(place[0])].annotation) is tuple
            return f"is not a list of tables [[{place[0]}]]" if is_list else "is not a table"
        case _:
            return error["msg"].removeprefix("Input ")


def _table_at(place: Place) -> type[BaseModel]:
    """Return the model of the table at a place."""
    table: type[BaseModel] = Configuration
    for key in place:
        if isinstance(key, str):
            table = next(tables_in(table.model_fields[key].annotation))
    return table


def tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of tables that a field may hold.

    Parameters
    ----------
    annotation
        Type of the field.

    Yields
    ------
    type[BaseModel]
        Each of them once.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from tables_in(part)


def _expectations(data: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the tables that show what is expected of streams."""
    for key in ("announced", "folder", "stream"):
        tables = data.get(key)
        if isinstance(tables, dict):
            yield (key,), tables
        elif isinstance(tables, list):
            yield from (((key, index), table) for index, table in enumerate(tables) if isinstance(table, dict))


def _check_together(streams: list[dict[str, Any]], folder: Path, mistakes: dict[Place, str]) -> None:
    """Add what is wrong with values only besides others: also where other values are wrong by themselves."""
    if not streams:
        mistakes["stream",] = "holds no stream"
    if len(streams) > MAX_STREAMS:
        mistakes["stream", MAX_STREAMS] = f"exceeds the limit of {MAX_STREAMS} streams at a time"
    names: dict[str, int] = {}
    endpoints: dict[int, list[Endpoint]] = {}
    for index, stream in enumerate(streams):
        name = stream.get("name")
        if isinstance(name, str) and names.setdefault(name, index) != index:
            mistakes.setdefault(("stream", index, "name"), f"is the name of stream[{names[name] + 1}] already")
        session = None
        with suppress(PydanticCustomError, KeyError):
            session = _session(stream["sdp"], folder)
        with suppress(PydanticCustomError):
            _check_source(stream, index, session, endpoints, mistakes)
        with suppress(PydanticCustomError):
            _check_reference(stream, index, session, endpoints.get(index, []), folder, mistakes)


def _check_limits(limits: dict[str, Any], place: Place, mistakes: dict[Place, str]) -> None:
    """Check limits one by one."""
    for limit, value in limits.items():
        try:
            with_values(Limits(), {limit: value}, "")
        except RequestError as error:
            mistakes[*place, limit] = str(error).removeprefix(": ").removeprefix(f"{limit} = {value!r} ")


def _check_source(
    stream: dict[str, Any],
    index: int,
    session: Session | None,
    endpoints: dict[int, list[Endpoint]],
    mistakes: dict[Place, str],
) -> None:
    """Check where a stream arrives against the streams before it, and add it to them."""
    if "source" not in stream and session is None and "sdp" in stream:
        return  # the mistake is reported with the description
    try:
        ours = [_source(stream["source"])] if "source" in stream else _only_stream(session)[0]
    except ConfigurationError as error:
        mistakes["stream", index, "source"] = str(error)
        return
    for other_index, others in endpoints.items():
        if any(overlap(one, other) for one in ours for other in others):
            mistakes["stream", index, "source"] = f"takes packets of stream[{other_index + 1}] too"
    endpoints[index] = ours


def _check_reference(
    stream: dict[str, Any],
    index: int,
    session: Session | None,
    endpoints: list[Endpoint],
    folder: Path,
    mistakes: dict[Place, str],
) -> None:
    """Check the reference of a stream against every encoding it may have."""
    reference = reference_of(stream.get("reference"), folder)
    encodings = list(session.encodings_at(endpoints[0]).values()) if session and endpoints else []
    if "encoding" in stream:
        encodings.append(_encoding(stream["encoding"]))
    if reference is None:
        return
    for encoding in encodings:
        try:
            reference.check(encoding.sample_rate_hz, encoding.channels)
        except RequestError as error:
            mistakes["stream", index, "reference"] = str(error).partition(": ")[2]
