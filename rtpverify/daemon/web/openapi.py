"""The description of the API (OpenAPI 3.1). Its schemas are made from the types of what is answered."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from rtpverify.daemon.web.answers import ANSWERS
from rtpverify.events import Cause, Kind
from rtpverify.evidence.folder import FILES
from rtpverify.result.schema import figures_schema
from rtpverify.version import __version__

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}


@cache
def text() -> bytes:
    """Return the description as JSON."""
    return json.dumps(document(), ensure_ascii=False).encode()


def document() -> dict[str, Any]:
    """Return the description.

    Returns
    -------
    dict[str, Any]
        OpenAPI 3.1, in values of JSON's types.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtpverify",
            "version": __version__,
            "summary": "Compares audio received over RTP with what was sent.",
            "description": "Read-only. A value that was not measured is null, never 0. Where the configuration asks "
            "for a token or password, everything except `/healthz` and `/readyz` requires it.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}, {"password": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Any]:
    name = _parameter("name", "path", _TEXT, "Name of a stream, as configured.")
    moment = {"type": "string", "format": "date-time"}
    return {
        "/api/streams": _get("streams", "State of all streams", _ref("Streams")),
        "/api/streams/{name}": _get(
            "stream", "One stream: state, result until now, and current measurements", _ref("Stream"), [name]
        ),
        "/api/streams/{name}/history": _get(
            "history",
            "The last ten minutes of a stream, one point every half second",
            _ref("History"),
            [name, _parameter("since", "query", {"type": "number"}, "Points after this time, in Unix seconds.")],
        ),
        "/api/streams/{name}/scope": _get(
            "scope",
            "The latest frames of a channel, or those around a frame, with the reference, residual and spectrum",
            _ref("Scope"),
            [
                name,
                _parameter("channel", "query", {"type": "integer", "minimum": 1, "default": 1}, "From 1."),
                _parameter(
                    "span",
                    "query",
                    {"type": "number", "minimum": 0.0005, "maximum": 1, "default": 0.01},
                    "Seconds to show.",
                ),
                _parameter(
                    "frame",
                    "query",
                    {"type": "integer", "minimum": 0},
                    "Frame of the media timeline to show; frames are kept for about two seconds.",
                ),
            ],
        ),
        "/api/events": _get(
            "events",
            "Events, latest first",
            _ref("Events"),
            [
                _parameter("stream", "query", _TEXT, "Only events of this stream."),
                _parameter("kind", "query", {"enum": [str(kind) for kind in Kind]}, "Only events of this kind."),
                _parameter("cause", "query", {"enum": [str(cause) for cause in Cause]}, "Only events of this cause."),
                _parameter("since", "query", moment, "Only events at or after this time."),
                _parameter("until", "query", moment, "Only events before this time."),
                _parameter(
                    "limit",
                    "query",
                    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
                    "Maximum number of events.",
                ),
                _parameter("cursor", "query", _TEXT, "`next` of the previous response."),
            ],
        ),
        "/api/events/{id}": _get(
            "event", "One event", _ref("Event"), [_parameter("id", "path", _TEXT, "Identity of the event.")]
        ),
        "/api/events/{id}/evidence/{file}": _evidence(),
        "/api/live": {
            "get": {
                "operationId": "live",
                "summary": "Server-sent events",
                "description": "`hello` at first, `state` (schema Streams) every quarter second, `events` (an array of "
                "Event, with the number of events omitted) at once, `reset` if missed events are no longer "
                "available. A client that reconnects sends the last id it saw as `Last-Event-ID`.",
                "parameters": [_parameter("Last-Event-ID", "header", _TEXT, "Id of the last message received.")],
                "responses": {
                    "200": {"description": "An endless stream.", "content": {"text/event-stream": {}}},
                    **_problems(503),
                },
            }
        },
        "/metrics": _get_text("metrics", "Metrics for Prometheus, in its text format or OpenMetrics"),
        "/healthz": _get_text("health", "Whether the daemon runs", open_to_all=True),
        "/readyz": _get_text("ready", "Whether the daemon is fully operational", 503, open_to_all=True),
    }


def _schemas() -> dict[str, Schema]:
    """Return the schemas of :mod:`rtpverify.daemon.web.answers`, without ``Answer`` in their names."""
    mode: Literal["serialization"] = "serialization"
    adapters: list[tuple[str, Literal["serialization"], TypeAdapter[Any]]] = [
        (answer.__name__, mode, TypeAdapter(answer)) for answer in ANSWERS
    ]
    _, found = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    text = _ANSWER.sub(r"\1", json.dumps(found["$defs"]))
    schemas: dict[str, Schema] = json.loads(text)
    schemas["Event"]["oneOf"] = [figures_schema(kind) for kind in Kind]
    return schemas


_ANSWER = re.compile(r"(?<=[/\"])(\w+)Answer(?=\")")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, place: str, schema: Schema, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
    }


def _get(operation: str, summary: str, schema: Schema, parameters: list[dict[str, Any]] | None = None) -> Schema:
    content = {"application/json": {"schema": schema}}
    asks_by_path = any(parameter["in"] == "path" for parameter in parameters or [])
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": parameters or [],
            "responses": {
                "200": {"description": summary, "content": content},
                **_problems(400, *((404,) if asks_by_path else ())),
            },
        }
    }


def _evidence() -> Schema:
    names = {"enum": list(FILES)}
    types = ("audio/wav", "application/vnd.tcpdump.pcap", "image/svg+xml", "application/json")
    return {
        "get": {
            "operationId": "evidence",
            "summary": "Evidence recorded for an event",
            "parameters": [
                _parameter("id", "path", _TEXT, "Identity of the event."),
                _parameter("file", "path", names, "Name of the file."),
            ],
            "responses": {
                "200": {"description": "The file.", "content": {name: {} for name in types}},
                **_problems(400, 404),
            },
        }
    }


def _get_text(operation: str, summary: str, *statuses: int, open_to_all: bool = False) -> Schema:
    answer = {"description": summary, "content": {"text/plain": {"schema": _TEXT}}}
    described: Schema = {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": answer, **_problems(*statuses, closed=not open_to_all)},
    }
    if open_to_all:
        described["security"] = []
    return {"get": described}


def _problems(*statuses: int, closed: bool = True) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    known = {
        400: "A parameter is invalid.",
        401: "A token or password is required.",
        404: "Not found.",
        421: "`Host` is not a name of this server.",
    }
    return {
        str(status): {"description": known.get(status, "Not available at present."), "content": content}
        for status in (*statuses, *((401,) if closed else ()), 421)
    }
