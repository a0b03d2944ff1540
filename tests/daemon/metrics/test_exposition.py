from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from rtpverify.daemon.metrics.exposition import Exposition
from rtpverify.daemon.metrics.snapshot import Snapshot
from tests.helpers.patience import PATIENCE_SECONDS

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Source:
    """Snapshots whose count of dropped packets tells them apart; taking one can be held up."""

    def __init__(self) -> None:
        self.taken = 0
        self.threads: set[threading.Thread] = set()
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> Snapshot:
        self.taken += 1
        taken = self.taken
        self.threads.add(threading.current_thread())
        assert self.go.wait(PATIENCE_SECONDS)
        return Snapshot(receive_buffer_dropped=taken)


def shown(text: bytes) -> int:
    (line,) = (line for line in text.decode().splitlines() if line.startswith("rtpverify_receive_buffer_dropped_total"))
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [(OPENMETRICS, "application/openmetrics-text"), ("*/*", "text/plain"), ("", "text/plain")],
)
async def test_the_form_is_the_one_asked_for(accept: str, content_type: str) -> None:
    text, given = await Exposition(Snapshot).scrape(accept)
    assert given.startswith(content_type)
    assert text.endswith(b"# EOF\n") == content_type.startswith("application")


async def test_text_is_never_rendered_on_the_event_loop() -> None:
    source = Source()
    await Exposition(source).scrape()
    assert source.threads
    assert threading.main_thread() not in source.threads


async def test_scrapers_that_wait_share_one_rendering_which_begins_after_they_asked() -> None:
    source = Source()
    exposition = Exposition(source)
    source.go.clear()
    first = asyncio.create_task(exposition.scrape())
    while not source.taken:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(exposition.scrape()) for _ in range(100)]
    await asyncio.sleep(0)
    source.go.set()
    assert shown((await first)[0]) == 1
    assert {shown(text) for text, _ in await asyncio.gather(*others)} == {2}
    assert source.taken == 2


class Clock:
    """Stands in for the module ``time``; time passes only where somebody says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now_seconds, self._cost_seconds = 100.0, 0.0
        self.slept: list[float] = []
        monkeypatch.setattr("rtpverify.daemon.metrics.exposition.time", self)

    def monotonic(self) -> float:
        return self._now_seconds

    def thread_time(self) -> float:
        return self._cost_seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now_seconds += seconds

    def rendering(self, seconds: float, of_the_processor: float) -> Callable[[], Snapshot]:
        """Return what takes so long to take a snapshot."""

        def snapshot() -> Snapshot:
            self._now_seconds += seconds
            self._cost_seconds += of_the_processor
            return Snapshot()

        return snapshot


@pytest.mark.parametrize(
    ("seconds", "of_the_processor", "pause_seconds"),
    [
        pytest.param(0.02, 0.02, 0.08, id="a fifth of a core at most"),
        pytest.param(0.3, 0.02, 0.08, id="on a busy machine it comes late, and the next no later for it"),
        pytest.param(1.0, 1.0, 0.5, id="and never a long pause"),
    ],
)
async def test_the_pause_grows_with_the_processor_time_of_a_rendering(
    seconds: float, of_the_processor: float, pause_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    exposition = Exposition(clock.rendering(seconds, of_the_processor))
    for _ in range(3):
        await exposition.scrape()
    assert clock.slept == pytest.approx([0.0, pause_seconds, pause_seconds])


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    source = Source()
    exposition = Exposition(source)
    source.go.clear()
    impatient = asyncio.create_task(exposition.scrape())
    while not source.taken:
        await asyncio.sleep(0.001)
    patient, given_up = (asyncio.create_task(exposition.scrape()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    given_up.cancel()
    source.go.set()
    text, _ = await patient
    assert shown(text) == 2
    assert shown((await exposition.scrape())[0]) == 3


async def test_a_failure_is_told_and_the_next_scrape_goes_on() -> None:
    failures = [True]

    def failing() -> Snapshot:
        if failures:
            failures.pop()
            raise RuntimeError("once")
        return Snapshot()

    exposition = Exposition(failing)
    with pytest.raises(RuntimeError, match="once"):
        await exposition.scrape()
    assert (await exposition.scrape())[0]


async def test_what_scraping_costs_is_shown() -> None:
    exposition = Exposition(Snapshot)
    await exposition.scrape()
    text = (await exposition.scrape())[0].decode()
    assert "\nrtpverify_scrapes_total 2\n" in text
    assert '\nrtpverify_render_duration_seconds_bucket{le="+Inf"} 1\n' in text
    assert "\nprocess_resident_memory_bytes " in text
