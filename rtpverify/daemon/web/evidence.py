"""The evidence of events, as it is handed out: no path is made of what a request says, only names are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from rtpverify.daemon.sinks.evidence import Recorder
from rtpverify.daemon.web.problems import not_found
from rtpverify.evidence.folder import AUDIO, EVENT, PACKETS, PLOT, Evidence, evidence_in, evidence_of

_TITLES = {AUDIO: "WAV", PACKETS: "pcap", PLOT: "plot", EVENT: "JSON"}
_TYPES = {
    AUDIO: "audio/wav",
    PACKETS: "application/vnd.tcpdump.pcap",
    PLOT: "image/svg+xml",
    EVENT: "application/json",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; frame-ancestors 'none'"
"""A picture brings its own style; nothing in it may run or load anything."""

Document = dict[str, Any]


async def with_evidence(documents: Iterable[Document], recorder: Recorder | None) -> list[Document]:
    """Return events with what there is of each: ``evidence`` lists name, title and size of its files.

    Parameters
    ----------
    documents
        Events as they are shown.
    recorder
        Who keeps evidence; None where nobody does.

    Returns
    -------
    list[Document]
        Copies, in the same order.
    """
    items = list(documents)
    known: dict[str, Evidence] = {}
    if recorder is not None and items:
        known = {item.id: item for item in await asyncio.to_thread(evidence_in, recorder.path)}
    if not any(document["id"] in known for document in items):
        return [{**document, "evidence": []} for document in items]
    return await asyncio.to_thread(
        lambda: [{**document, "evidence": _files(known.get(document["id"]))} for document in items]
    )


def _files(evidence: Evidence | None) -> list[Document]:
    found = []
    for name, path in (evidence.files if evidence else {}).items():
        try:
            found.append({"name": name, "title": _TITLES[name], "size": path.stat().st_size})
        except OSError:  # removed for newer ones meanwhile
            continue
    return sorted(found, key=lambda item: list(_TITLES).index(item["name"]))


async def file_of(recorder: Recorder | None, event_id: str, name: str) -> web.FileResponse:
    """Return a file of an event's evidence.

    Parameters
    ----------
    recorder
        Who keeps evidence; None where nobody does.
    event_id
        Id of the event.
    name
        Name of the file.

    Returns
    -------
    web.FileResponse
        To be answered.

    Raises
    ------
    aiohttp.web.HTTPNotFound
        Where there is none.
    """
    evidence = None if recorder is None else await asyncio.to_thread(evidence_of, recorder.path, event_id)
    path = None if evidence is None else (await asyncio.to_thread(lambda: evidence.files)).get(name)
    if evidence is None or path is None:
        raise not_found(f"event {event_id[:40]}: there is no {name[:40]} of it")
    how = "attachment" if name == PACKETS else "inline"
    stem, _, suffix = name.rpartition(".")
    headers = {
        "Content-Type": _TYPES[name],
        "Content-Disposition": f'{how}; filename="{evidence.stream}-{evidence.kind}-{evidence.id}-{stem}.{suffix}"',
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "no-cache",
    }
    return web.FileResponse(path, headers=headers)
