"""The description of the API (OpenAPI 3.1). Schemas of what the result has are made from its own classes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Literal

from rtpverify.daemon.web.stream_status import Health
from rtpverify.events import SIZES, Cause, Kind, figures_of
from rtpverify.evidence.folder import FILES
from rtpverify.result import Leg, Signal, Transport, Verdict
from rtpverify.version import __version__

Schema = dict[str, Any]

_NUMBER: Schema = {"type": ["number", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_NUMBERS: Schema = {"type": "array", "items": _NUMBER}


@cache
def text() -> bytes:
    """Return the description as JSON."""
    return json.dumps(document(), ensure_ascii=False).encode()


def document() -> dict[str, Any]:
    """Return the description."""
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
    line = {
        "name": _TEXT,
        "health": {"enum": [str(health) for health in Health], "description": "Worst first."},
        "reason": {"type": "string", "description": "Reason for the state."},
        "judged": {"enum": ["signal", "transport"], "description": "`transport` if no reference is configured."},
        "reference": {"enum": ["tone", "recording", None], "description": "What the signal is compared with."},
        "level_dbfs": {**_NUMBERS, "description": "Per channel, over the last second; null for digital silence."},
        "residual_dbfs": {**_NUMBERS, "description": "Signal minus reference; null while the reference is not found."},
        "followed": {"type": "array", "items": {"type": "boolean"}, "description": "Whether the reference was found."},
        "packets_expected": _COUNT,
        "packets_lost": _COUNT,
        "loss_ratio": {**_NUMBER, "description": "Over the last ten seconds."},
        "jitter_seconds": _NUMBER,
        "faults": {**_COUNT, "description": "Since the start of the daemon."},
        "open_faults": {"type": "array", "items": _TEXT, "description": "Kinds of ongoing faults."},
        "last_fault": {"anyOf": [_ref("Fault"), {"type": "null"}]},
        "quiet_seconds": {**_NUMBER, "description": "Time since the last fault; 0 while a fault is ongoing."},
    }
    host = {
        "behind_seconds": {
            "type": "number",
            "description": "Age of the oldest packet that waits to be processed, the most of the last 2 s.",
        },
        "receive_buffer_dropped": {**_COUNT, "description": "Packets lost in this host after arrival."},
    }
    channel_history = {"channel": _COUNT, "level_dbfs": _NUMBERS, "residual_dbfs": _NUMBERS, "phase_degrees": _NUMBERS}
    event = {
        "id": _TEXT,
        "stream": _TEXT,
        "kind": {"enum": [str(kind) for kind in Kind]},
        "cause": {"enum": [str(cause) for cause in Cause]},
        "channel": {"type": ["integer", "null"], "minimum": 1},
        "start_frame": {"type": "integer"},
        "duration_frames": _COUNT,
        "fault": {"type": "boolean"},
        "open": {"type": "boolean", "description": "Whether the event is ongoing."},
        "packets": {"type": ["array", "null"], "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "time": _TIME,
        "message": _TEXT,
        "confidence": {**_NUMBER, "description": "Probability of the kind; null where no fault models were compared."},
        "alternatives": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "number"},
            "description": "Other kinds with a probability above 0.05.",
        },
    }
    file = {"name": _TEXT, "title": _TEXT, "size": _COUNT}
    evidence = {"type": "array", "items": _object(file), "description": "Files of `/api/events/{id}/evidence/{file}`."}
    return {
        "Streams": _object({"time": _TIME, "host": _object(host), "streams": {"type": "array", "items": _ref("Line")}}),
        "Line": _object(line),
        "Fault": _object({name: event[name] for name in ("id", "kind", "channel", "time", "message", "open")}),
        "Stream": _object(
            {
                **line,
                "result": {"anyOf": [_ref("Result"), {"type": "null"}]},
                "present": {"type": "array", "items": _ref("Signal"), "description": "The last second."},
            }
        ),
        "Result": {
            "type": "object",
            "description": "One stream of the schema rtpverify.result/1, without its events.",
            "required": ["verdict", "encoding", "sample_rate", "channels", "frames", "signal", "warnings"],
            "properties": {
                "verdict": {"enum": [str(verdict) for verdict in Verdict]},
                "inconclusive": _MAYBE_TEXT,
                "ssrc": _TEXT,
                "sender": _MAYBE_TEXT,
                "destination": _MAYBE_TEXT,
                "payload_type": {"type": ["integer", "null"]},
                "packet_time_seconds": _NUMBER,
                "encoding": _MAYBE_TEXT,
                "sample_rate": {"type": ["integer", "null"]},
                "channels": {"type": ["integer", "null"]},
                "frames": _COUNT,
                "transport": _ref("Transport"),
                "legs": {"type": "array", "items": _ref("Leg")},
                "signal": {"type": "array", "items": _ref("Signal"), "description": "Over all steady signal."},
                "warnings": {"type": "array", "items": _TEXT},
            },
        },
        "History": _object(
            {
                "time": {"type": "array", "items": {"type": "number"}, "description": "Unix seconds."},
                "packets_expected": _NUMBERS,
                "packets_lost": _NUMBERS,
                "jitter_seconds": _NUMBERS,
                "channels": {"type": "array", "items": _object(channel_history)},
            }
        ),
        "Scope": _scope(),
        "Event": {
            **_object({**event, "evidence": evidence}),
            "description": "The figures of the event's kind are further properties. Events sent live have no "
            "`evidence`.",
            "oneOf": [_figures(kind) for kind in Kind],
        },
        "Events": _object({"events": {"type": "array", "items": _ref("Event")}, "next": _MAYBE_TEXT}),
        "Problem": {
            **_object({"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT}),
            "description": "RFC 9457.",
        },
        **_result_schemas(),
    }


_FIGURES: dict[Any, Schema] = {
    int | None: {"type": ["integer", "null"]},
    float | None: _NUMBER,
    str | None: _MAYBE_TEXT,
    list[int] | None: {"type": ["array", "null"], "items": {"type": "integer"}},
}


def _figures(kind: Kind) -> Schema:
    """Return the schema of what events of one kind have apart from what all have."""
    properties = {
        name: {**_FIGURES[types], "description": f"{figure.documentation[0].upper()}{figure.documentation[1:]}."}
        for name, (types, figure) in figures_of(kind).items()
    }
    return {
        "title": str(kind),
        "description": SIZES[kind].__doc__,
        "required": list(properties),
        "properties": {"kind": {"const": str(kind)}, **properties},
    }


def _scope() -> Schema:
    columns = {"low": _NUMBERS, "high": _NUMBERS}
    reference = {"amplitude": _NUMBER, "frequency_hz": _NUMBER, "phase_rad": _NUMBER, "dc_offset": _NUMBER}
    spectrum = {"frequency_hz": _NUMBERS, "level_dbfs": _NUMBERS, "resolution_hz": _NUMBER}
    return _object(
        {
            "channel": {"type": "integer", "minimum": 1},
            "sample_rate": _COUNT,
            "start_frame": {"type": "integer", "description": "First frame shown, on the media timeline."},
            "frames": _COUNT,
            "frames_per_column": {"type": "integer", "minimum": 1},
            "start_seconds": {
                "type": "number",
                "description": "Time of the first frame relative to the trigger: a rising zero crossing of the "
                "reference, or the requested frame.",
            },
            **columns,
            "residual": {"anyOf": [_object(columns), {"type": "null"}]},
            "reference": {
                "anyOf": [_object(reference), _object(columns), {"type": "null"}],
                "description": "A tone, amplitude · cos(2π · frequency_hz · seconds + phase_rad) + dc_offset, or the "
                "frames of a recording.",
            },
            "reference_hz": _NUMBER,
            "threshold": {
                **_NUMBER,
                "description": "Detection threshold: no frame of a clean signal deviates by this much.",
            },
            "step": {**_NUMBER, "description": "Quantisation step of the encoding."},
            "spectrum": _object(spectrum),
        }
    )


def _result_schemas() -> dict[str, Schema]:
    """Return the schemas of the classes of the result, and of what is in them."""
    from pydantic import TypeAdapter

    types: tuple[Any, ...] = (Transport, Signal, Leg)
    mode: Literal["serialization"] = "serialization"
    adapters: list[tuple[str, Literal["serialization"], TypeAdapter[Any]]] = [
        (kind.__name__, mode, TypeAdapter(kind)) for kind in types
    ]
    _, schemas = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Schema] = schemas["$defs"]
    return definitions


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


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
