"""The HTTP API: streams, what one of them carries now, its last minutes, and events. Described by :mod:`.openapi`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.daemon.sinks.evidence import Recorder
from rtpverify.daemon.sinks.history import History
from rtpverify.daemon.web import openapi, oscilloscope, parameters
from rtpverify.daemon.web.answers import HistoryAnswer, HostAnswer, RangesAnswer, ScopeAnswer, SineAnswer, StreamsAnswer
from rtpverify.daemon.web.context import ServiceView
from rtpverify.daemon.web.events import Document, EventPage, EventQuery, RecentEvents
from rtpverify.daemon.web.evidence import file_of, with_evidence
from rtpverify.daemon.web.problems import not_found, response
from rtpverify.daemon.web.stream_status import Board
from rtpverify.engine.stream import Stream
from rtpverify.events import rfc3339
from rtpverify.report.json import strict
from rtpverify.result import StreamResult, stream_as_dict
from rtpverify.version import __version__

SHORTEST_SPAN_SECONDS = 0.0005
DEFAULT_SPAN_SECONDS = 0.01
MOST_EVENTS = 1000
LOOK_AGAIN_SECONDS = 0.1
"""Who asks for the same picture sooner gets the one before."""


class Api:
    """Answers what the page and scripts ask.

    Parameters
    ----------
    service
        What it may know of the service.
    board
        What is seen of the streams.
    """

    def __init__(self, service: ServiceView, board: Board) -> None:
        self._service = service
        self._board = board
        self._log = RecentEvents()
        self._working = asyncio.Lock()
        """One at a time: what many ask for must not share the interpreter with the receiver."""
        self._pictures: dict[tuple[str, int, float], tuple[float, bytes]] = {}
        self._started = rfc3339(time.time_ns())

    def add_routes(self, app: web.Application) -> None:
        """Add what is answered to an application.

        Parameters
        ----------
        app
            The application.
        """
        app.add_routes(
            [
                web.get("/api/openapi.json", self._description),
                web.get("/api/streams", self._streams),
                web.get("/api/streams/{name}", self._stream),
                web.get("/api/streams/{name}/history", self._history),
                web.get("/api/streams/{name}/scope", self._scope),
                web.get("/api/events", self._events),
                web.get("/api/events/{id}", self._event),
                web.get("/api/events/{id}/evidence/{file}", self._evidence),
            ]
        )

    def about(self) -> dict[str, Any]:
        """Return what is answering.

        Returns
        -------
        dict[str, Any]
            Its version, and when it was started.
        """
        return {"version": __version__, "started": self._started}

    def streams(self) -> StreamsAnswer:
        """Return how every stream fares, and this host.

        Returns
        -------
        StreamsAnswer
            In the order of the configuration.
        """
        host: HostAnswer = {
            "behind_seconds": round(self._service.behind_seconds, 3),
            "receive_buffer_dropped": self._service.snapshot.receive_buffer_dropped,
            "sinks": [
                {"name": section, "waiting": sink.waiting, "trouble": sink.trouble}
                for section, sink in self._service.sinks.items()
            ],
        }
        return {"time": rfc3339(self._board.now_ns), "host": host, "streams": self._board.overview()}

    def tell(self, told: Sequence[ReportedEvent], now_ns: int) -> list[Document]:
        """Remember events, and return them as they are shown.

        Parameters
        ----------
        told
            Events with their streams.
        now_ns
            Time, in ns since the Unix epoch.

        Returns
        -------
        list[Document]
            In the same order.
        """
        documents: list[Document] = [strict(item.document) for item in told]
        self._log.add(documents, [item.event.time_ns or now_ns for item in told])
        return documents

    # Answers --------------------------------------------------------------------------------------------------------

    async def _description(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        return _json(await asyncio.to_thread(openapi.text))

    async def _streams(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        return _json(_text(self.streams()))

    async def _stream(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        name = self._name(request)
        line, state = self._board.line(name), self._service.states[name]
        stream = self._board.stream(name)
        verifier = self._service.verifier
        present = [] if stream is None else verifier.present(stream, verifier.result_of(stream).signal)

        def render() -> bytes:
            document = {**line, "result": None if state.result is None else _result(state.result)}
            document["present"] = [asdict(signal) for signal in present]
            return _text(strict(document))

        return _json(await asyncio.to_thread(render))

    async def _history(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ("since",))
        name = self._name(request)
        since = parameters.number(request, "since", 0.0, 1e12) or 0.0
        times, figures, channels = self._board.history(name, since)
        return _json(await asyncio.to_thread(lambda: _text(_history(times, figures, channels))))

    async def _scope(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ("channel", "span", "frame"))
        name = self._name(request)
        stream = self._board.stream(name)
        if stream is None or stream.track is None or stream.encoding is None:
            raise not_found(f"stream {name}: no audio available: no packet yet, no reference, or encoding unknown")
        channel = parameters.integer(request, "channel", 1, stream.encoding.channels) or 1
        span = (
            parameters.number(request, "span", SHORTEST_SPAN_SECONDS, oscilloscope.LONGEST_SECONDS)
            or DEFAULT_SPAN_SECONDS
        )
        frame = parameters.integer(request, "frame", 0, parameters.LARGEST_FRAME)
        return _json(await self._picture(stream, channel, span, frame))

    async def _picture(self, stream: Stream, channel: int, span: float, frame: int | None) -> bytes:
        """Return what is seen of a channel, drawn at most a few times a second however many ask."""
        key = stream.name, channel, span
        async with self._working:
            drawn = self._pictures.get(key)
            if frame is None and drawn is not None and time.monotonic() - drawn[0] < LOOK_AGAIN_SECONDS:
                return drawn[1]
            taken = oscilloscope.take(stream, channel, span, frame)
            if taken is None:
                raise not_found(f"stream {stream.name}: no audio available")
            text = await asyncio.to_thread(lambda: _text(_scope(oscilloscope.measure(taken))))
            if frame is None:
                now = time.monotonic()
                self._pictures = {
                    other: item for other, item in self._pictures.items() if now - item[0] < LOOK_AGAIN_SECONDS
                }
                self._pictures[key] = now, text
            return text

    async def _events(self, request: web.Request) -> web.Response:
        known = ("stream", "kind", "cause", "since", "until", "limit", "cursor")
        parameters.known_only(request, known)
        at = parameters.cursor(request)
        query = EventQuery(
            stream=parameters.name(request, "stream"),
            kind=parameters.kind(request),
            cause=parameters.cause(request),
            since_ns=parameters.moment(request, "since"),
            until_ns=parameters.moment(request, "until") if at is None else at[0] + 1,
            skip=0 if at is None else at[1],
            limit=parameters.integer(request, "limit", 1, MOST_EVENTS) or 100,
        )
        page = await self._log.find(query, self._service.sink(History))
        shown = await with_evidence([document for _, document in page.events], self._service.sink(Recorder))
        document = {"events": shown, "next": _next(page, query)}
        return _json(await asyncio.to_thread(lambda: _text(document)))

    async def _event(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        event_id = request.match_info["id"]
        document = await self._log.get(event_id, self._service.sink(History))
        if document is None:
            raise not_found(f"event {event_id[:40]}: is not known")
        (shown,) = await with_evidence([document], self._service.sink(Recorder))
        return _json(_text(shown))

    async def _evidence(self, request: web.Request) -> web.StreamResponse:
        parameters.known_only(request, ())
        return await file_of(self._service.sink(Recorder), request.match_info["id"], request.match_info["file"])

    def _name(self, request: web.Request) -> str:
        name = request.match_info["name"]
        if name not in self._service.states:
            raise not_found(f"stream {name[:80]}: is not known")
        return name


def ready(reasons: Sequence[str]) -> web.Response:
    """Return the answer that shows whether the daemon does its whole work.

    Parameters
    ----------
    reasons
        Why it does not.

    Returns
    -------
    web.Response
        Status 200 where there are no reasons, else 503.
    """
    if reasons:
        return response(503, "; ".join(reasons), reasons=list(reasons))
    return web.Response(text="ready\n")


def _result(result: StreamResult) -> dict[str, Any]:
    """Return the result of a stream without its events, which are asked for by themselves."""
    document = stream_as_dict(result)
    del document["events"]
    return document


def _history(times: NDArray[np.float64], figures: NDArray[np.float32], channels: int) -> HistoryAnswer:
    signal = figures[:, 3:].reshape(len(figures), channels, 3) if channels else np.zeros((len(figures), 0, 3))
    return {
        "time": times.tolist(),  # exact: the last of them is what is asked for the next time
        "packets_expected": _numbers(figures[:, 0], 6),
        "packets_lost": _numbers(figures[:, 1], 6),
        "jitter_seconds": _numbers(figures[:, 2], 4),
        "channels": [
            {
                "channel": channel + 1,
                "level_dbfs": _numbers(signal[:, channel, 0], 6),
                "residual_dbfs": _numbers(signal[:, channel, 1], 6),
                "phase_degrees": _numbers(np.degrees(signal[:, channel, 2]), 7),
            }
            for channel in range(channels)
        ],
    }


def _scope(seen: oscilloscope.Scope) -> ScopeAnswer:
    reference: SineAnswer | RangesAnswer | None = None
    if seen.amplitude is not None and seen.omega is not None:
        reference = {
            "amplitude": seen.amplitude,
            "frequency_hz": seen.omega * seen.sample_rate_hz / (2.0 * np.pi),
            "phase_rad": seen.phase_rad,
            "dc_offset": seen.dc,
        }
    elif seen.content_low is not None and seen.content_high is not None:
        low = _numbers(seen.content_low, 7)
        reference = {"low": low, "high": low if seen.frames_per_column == 1 else _numbers(seen.content_high, 7)}
    residual: RangesAnswer | None = None
    if seen.residual_low is not None and seen.residual_high is not None:
        low = _numbers(seen.residual_low, 5)
        residual = {"low": low, "high": low if seen.frames_per_column == 1 else _numbers(seen.residual_high, 5)}
    low = _numbers(seen.low, 7)
    return {
        "channel": seen.channel,
        "sample_rate": seen.sample_rate_hz,
        "start_frame": seen.start_frame,
        "frames": seen.frames,
        "frames_per_column": seen.frames_per_column,
        "start_seconds": seen.start_seconds,
        "low": low,
        "high": low if seen.frames_per_column == 1 else _numbers(seen.high, 7),
        "residual": residual,
        "reference": reference,
        "reference_hz": seen.reference_hz,
        "threshold": seen.threshold,
        "step": seen.step,
        "spectrum": {
            "frequency_hz": _numbers(seen.spectrum_hz, 5),
            "level_dbfs": _numbers(seen.spectrum_dbfs, 5),
            "resolution_hz": seen.resolution_hz,
        },
    }


def _next(page: EventPage, query: EventQuery) -> str | None:
    """Return where the page after this one begins: see :func:`rtpverify.daemon.web.parameters.cursor`."""
    if not page.more:
        return None
    last_ns = page.events[-1][0]
    shown = sum(time_ns == last_ns for time_ns, _ in page.events)
    return f"{last_ns}.{shown + (query.skip if query.until_ns == last_ns + 1 else 0)}"


def _numbers(values: NDArray[np.floating[Any]], digits: int) -> list[float | None]:
    """Return numbers with so many significant digits; what is not finite as None."""
    form = f"%.{digits}g"
    return [float(form % value) if value - value == 0 else None for value in values.tolist()]


def _text(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _json(text: bytes) -> web.Response:
    return web.Response(body=text, content_type="application/json")
