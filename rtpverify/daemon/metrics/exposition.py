"""Metrics as a scrape gets them: rendered in a thread, once for all who ask at a time.

Whoever asks gets what is known after asking. One rendering runs at a time, those who ask meanwhile share the next, and
between two there is a pause that grows with what the last one cost: however many scrapers there are, and however fast,
the receive path keeps its share of the interpreter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from rtpverify.daemon.metrics.families import families
from rtpverify.daemon.metrics.snapshot import Snapshot
from rtpverify.daemon.metrics.text import EOF, Family, exposition
from rtpverify.live.histogram import BucketCounter

PAUSE = 4.0
"""Between two renderings, times the processor time that the first took: at most a fifth of a core goes into them."""
LONGEST_PAUSE_SECONDS = 0.5
RENDER_EDGES_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_OPENMETRICS = "application/openmetrics-text"


class Exposition:
    """Renders snapshots.

    Parameters
    ----------
    latest
        Returns the snapshot to show; called in the rendering thread.
    """

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._requests = 0
        self._durations = BucketCounter(RENDER_EDGES_SECONDS)
        self._waiting: dict[bool, asyncio.Task[bytes]] = {}
        self._turn = asyncio.Lock()
        self._not_before = 0.0

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text and its content type: OpenMetrics where the ``Accept`` header asks for it.

        Parameters
        ----------
        accept
            The ``Accept`` header of the request.

        Returns
        -------
        text : bytes
            In UTF-8.
        content_type : str
            With version and character set.
        """
        _, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith(_OPENMETRICS)
        self._requests += 1
        task = self._waiting.get(openmetrics)
        if task is None:
            task = self._waiting[openmetrics] = asyncio.create_task(self._render_in_turn(openmetrics))
        # Who gives up must not take the text from the others.
        return await asyncio.shield(task), content_type

    async def _render_in_turn(self, openmetrics: bool) -> bytes:
        async with self._turn:
            return await asyncio.to_thread(self._render_when_due, openmetrics)

    def _render_when_due(self, openmetrics: bool) -> bytes:
        """Wait out the pause and render; the event loop, which may be busy, is not asked in between."""
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        self._waiting.pop(openmetrics)  # from here on the text would be too old for who asks
        started = time.thread_time()
        text = self.render(openmetrics=openmetrics)
        cost_seconds = time.thread_time() - started
        self._durations.add(cost_seconds)
        self._not_before = time.monotonic() + min(PAUSE * cost_seconds, LONGEST_PAUSE_SECONDS)
        return text

    def render(self, *, openmetrics: bool = False) -> bytes:
        """Return the text; may be called in any thread.

        Parameters
        ----------
        openmetrics
            OpenMetrics 1.0 in place of the text format of Prometheus.

        Returns
        -------
        bytes
            In UTF-8.
        """
        encode, _ = choose_encoder(_OPENMETRICS if openmetrics else "")
        process = encode(self._process).decode().removesuffix(EOF)
        text = exposition([*families(self._latest()), *self._own()], openmetrics=openmetrics)
        return f"{text}{process}{EOF if openmetrics else ''}".encode()

    def _own(self) -> list[Family]:
        """Return what scraping itself costs."""
        requests = Family("rtpverify_scrapes", "counter", "Requests for metrics.")
        requests.add("", self._requests)
        durations = Family(
            "rtpverify_render_duration_seconds", "histogram", "Processor time spent on writing the metrics."
        )
        durations.add("", self._durations.counts())
        return [requests, durations]
