"""What the API answers is what was found, in the form that its own description gives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from rtpverify.daemon.sinks.evidence import Recorder, RecorderTable
from rtpverify.daemon.sinks.history import History, HistoryTable
from rtpverify.daemon.web import openapi, stream_status
from rtpverify.evidence.folder import EvidenceFolder
from tests.daemon.web.bench import Bench, Client, Sender, serving

DESCRIPTION = openapi.document()


def conforms(answer: Any, path: str, status: int = 200) -> None:
    """Assert that an answer is what the description says of it."""
    import jsonschema  # it takes a second to load, and every worker would

    (content,) = DESCRIPTION["paths"][path]["get"]["responses"][str(status)]["content"].values()
    schema = {**content["schema"], "components": DESCRIPTION["components"]}
    jsonschema.validate(answer, schema, jsonschema.Draft202012Validator, format_checker=jsonschema.FormatChecker())


def test_the_description_is_openapi() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(DESCRIPTION).validate()


async def test_the_description_is_whole() -> None:
    async with serving() as client:
        assert await client.get("/api/openapi.json") == DESCRIPTION
        routes = {path for _, path in client.server.http.routes}
    assert routes - set(DESCRIPTION["paths"]) == {"/", "/page/{name}", "/api/openapi.json"}


async def test_streams_that_wait_fare_so() -> None:
    async with serving() as client:
        client.bench.pass_time(1)
        answer = await client.get("/api/streams")
        conforms(answer, "/api/streams")
        assert [(line["name"], line["health"]) for line in answer["streams"]] == [("a", "waiting"), ("b", "waiting")]
        stream = await client.get("/api/streams/a")
        conforms(stream, "/api/streams/{name}")
        assert stream["result"] is None
        conforms(await client.get("/api/streams/a/history"), "/api/streams/{name}/history")
        conforms(await client.get("/api/streams/a/scope", 404), "/api/streams/{name}/scope", 404)


async def line_of(client: Client, name: str = "a") -> dict[str, Any]:
    answer = await client.get("/api/streams")
    conforms(answer, "/api/streams")
    return next(line for line in answer["streams"] if line["name"] == name)


async def test_a_clean_stream_is_well_until_it_stops() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=3.0).send())
        line = await line_of(client)
        assert (line["health"], line["reason"], line["faults"]) == ("ok", "no fault", 0)
        assert line["level_dbfs"] == [-6.02, -6.02]
        assert line["residual_dbfs"] == [pytest.approx(-146.3, abs=0.5)] * 2
        assert (line["packets_lost"], line["loss_ratio"]) == (0, 0.0)
        assert line["packets_expected"] == pytest.approx(3000, abs=300)
        client.bench.pass_time(5)
        line = await line_of(client)
        assert (line["health"], line["reason"]) == ("down", "no packet for 5 s")
        conforms(await client.get("/api/streams/a"), "/api/streams/{name}")


async def test_a_fault_is_shown_then_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_status, "FRESH_NS", 1_000_000_000)
    packets = Sender(seconds=4.0, slips={48_000: 48}).send()
    async with serving() as client:
        client.bench.feed(packets[:1500])
        line = await line_of(client)
        assert (line["health"], line["faults"], line["last_fault"]["kind"]) == ("fault", 1, "slip")
        assert "48 frames" in line["reason"]
        client.bench.feed(packets[1500:])
        line = await line_of(client)
        assert (line["health"], line["faults"]) == ("recent", 1)
        assert line["quiet_seconds"] == pytest.approx(2.6, abs=0.4)


async def test_a_fault_that_goes_on_is_shown_as_long_as_it_does() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=4.0, dropouts={48_000: 48_000 * 30}).send())
        line = await line_of(client)
        assert line["health"] == "fault"
        assert line["open_faults"]
        assert line["quiet_seconds"] == 0
        assert line["level_dbfs"] == [None, None]
        assert line["followed"] == [False, False]


async def test_another_tone_than_the_reference_is_not_well() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=0.2, frequency_hz=300.0).send())
        line = await line_of(client)
        assert line["health"] in ("unjudged", "fault")


async def test_transport_alone_says_so() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=1.0, flow=1, ssrc=7).send(lost=(500,)))
        line = await line_of(client, "b")
        assert (line["judged"], line["health"], line["packets_lost"]) == ("transport", "fault", 1)
        problem = await client.get("/api/streams/b/scope", 404)
        assert "no reference" in problem["detail"]


async def test_the_history_has_a_point_every_half_second() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=5.0).send(lost=(3210, 3211)))
        answer = await client.get("/api/streams/a/history")
        conforms(answer, "/api/streams/{name}/history")
        times = answer["time"]
        assert len(times) == pytest.approx(10, abs=1)
        assert sum(answer["packets_lost"]) == 2
        assert sum(answer["packets_expected"]) == pytest.approx(5000, abs=500)
        assert [channel["level_dbfs"][-1] for channel in answer["channels"]] == [pytest.approx(-6.02, abs=0.01)] * 2
        for number in range(len(times)):
            later = await client.get(f"/api/streams/a/history?since={times[number]}")
            assert later["time"] == times[number + 1 :]


async def test_a_scope_shows_the_frames_asked_for() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=2.0, clicks={90_000: 0.25}).send())
        now = await client.get("/api/streams/a/scope?channel=2&span=0.02")
        conforms(now, "/api/streams/{name}/scope")
        assert (now["channel"], now["frames"], len(now["low"])) == (2, 960, 960)
        assert now["reference"]["frequency_hz"] == pytest.approx(997, rel=1e-6)
        assert max(now["residual"]["high"]) < 1e-7
        click = await client.get("/api/streams/a/scope?span=0.02&frame=90000")
        conforms(click, "/api/streams/{name}/scope")
        assert click["residual"]["high"][90_000 - click["start_frame"]] == pytest.approx(0.25, abs=1e-6)
        whole = await client.get("/api/streams/a/scope?span=1")
        conforms(whole, "/api/streams/{name}/scope")
        assert len(whole["low"]) == len(whole["high"]) == 1200


async def test_events_are_found_by_what_they_are(bench: Bench) -> None:
    async with serving(bench) as client:
        client.bench.feed(Sender(seconds=4.0, slips={120_000: 48}).send(lost=(500, 1500)))
        every = await client.get("/api/events")
        conforms(every, "/api/events")
        assert [event["kind"] for event in every["events"]] == ["slip", "gap", "gap"]
        assert every["next"] is None
        gaps = await client.get("/api/events?kind=gap&stream=a&cause=network")
        assert [event["start_frame"] for event in gaps["events"]] == [1500 * 48, 500 * 48]
        assert (await client.get("/api/events?stream=b"))["events"] == []
        moment = gaps["events"][0]["time"]
        since = await client.get("/api/events", params={"since": moment})
        assert [event["kind"] for event in since["events"]] == ["slip", "gap"]
        ever = {"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-12:00", "limit": "1000"}
        assert (await client.get("/api/events", params=ever))["events"] == every["events"]
        assert (await client.get("/api/events", params={"since": ever["until"]}))["events"] == []
        assert (await client.get("/api/events", params={"cursor": f"{'9' * 19}.{'9' * 19}"}))["events"] == []
        until = await client.get("/api/events", params={"until": moment})
        assert [event["start_frame"] for event in until["events"]] == [500 * 48]
        one = await client.get(f"/api/events/{gaps['events'][0]['id']}")
        conforms(one, "/api/events/{id}")
        assert one == gaps["events"][0]
        conforms(await client.get("/api/events/000000000000", 404), "/api/events/{id}", 404)


@pytest.fixture(params=["memory", "history"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench that keeps its events in memory alone, or in a history too."""
    bench = Bench()
    if request.param == "history":
        history = History(HistoryTable(path=str(tmp_path / "events.sqlite")), bench)
        bench.sinks["history"] = history
        await history.start()
        yield bench
        await history.stop()
    else:
        yield bench


async def test_evidence_is_opened_from_its_event(tmp_path: Path) -> None:
    bench = Bench()
    bench.sinks["recorder"] = Recorder(RecorderTable(path=str(tmp_path / "evidence")), bench)
    async with serving(bench) as client:
        bench.feed(Sender(seconds=3.0, slips={70_000: 48}).send(lost=(500,)))
        slip, gap = (await client.get("/api/events"))["events"]
        files = {"event.json": b"{}", "plot.svg": b"<svg/>", "packets.pcap": b"p"}
        EvidenceFolder(tmp_path / "evidence", 1 << 20).add(gap["time"], "a", "gap", gap["id"], files)
        (tmp_path / "secret").write_text("secret")
        events = await client.get("/api/events")
        conforms(events, "/api/events")
        assert [event["id"] for event in events["events"]] == [slip["id"], gap["id"]]
        assert events["events"][1]["evidence"] == [
            {"name": "packets.pcap", "title": "pcap", "size": 1},
            {"name": "plot.svg", "title": "plot", "size": 6},
            {"name": "event.json", "title": "JSON", "size": 2},
        ]
        assert events["events"][0]["evidence"] == []
        path = f"/api/events/{gap['id']}/evidence"
        assert (await client.get(f"/api/events/{gap['id']}"))["evidence"] == events["events"][1]["evidence"]
        async with client.session.get(f"{client.url}{path}/plot.svg") as answer:
            assert (answer.content_type, await answer.text()) == ("image/svg+xml", "<svg/>")
            assert "script" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with client.session.get(f"{client.url}{path}/packets.pcap") as answer:
            assert answer.headers["Content-Disposition"] == f'attachment; filename="a-gap-{gap["id"]}-packets.pcap"'
        for name in ("audio.wav", "..%2f..%2fsecret", "%2e%2e/%2e%2e/secret", "..", "event.json%00", "none"):
            await client.get(URL(f"{client.url}{path}/{name}", encoded=True).raw_path, 404)
        for event_id in ("..", "%2e%2e", "*", slip["id"]):
            await client.get(f"/api/events/{event_id}/evidence/event.json", 404)


async def test_pages_of_events_show_each_once(bench: Bench) -> None:
    async with serving(bench) as client:
        client.bench.feed(Sender(seconds=4.0).send(lost=range(500, 3500, 100)))
        seen: list[str] = []
        path = "/api/events?limit=7"
        for _ in range(5):
            answer = await client.get(path)
            seen += [event["id"] for event in answer["events"]]
            if answer["next"] is None:
                break
            path = f"/api/events?limit=7&cursor={answer['next']}"
        assert len(seen) == len(set(seen)) == 30


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/events?kind=tone", "kind"),
        ("/api/events?cause=me", "cause"),
        ("/api/events?since=yesterday", "since"),
        ("/api/events?until=2026-01-01T00:00:00", "until"),
        ("/api/events?stream=*", "stream"),
        ("/api/events?limit=0", "limit"),
        ("/api/events?limit=9999999999999999999999", "limit"),
        ("/api/events?limit=²", "limit"),
        ("/api/events?cursor=1", "cursor"),
        ("/api/events?stream=a&stream=b", "stream"),
        ("/api/streams?x=1", "x"),
        ("/api/streams/a/history?since=nan", "since"),
        ("/api/streams/a/scope?channel=3", "channel"),
        ("/api/streams/a/scope?span=2", "span"),
        ("/api/streams/a/scope?frame=-1", "frame"),
    ],
)
async def test_a_wrong_parameter_is_named(path: str, told: str) -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=0.5).send())
        problem = await client.get(path, 400)
        assert problem["parameter"] == told
        assert problem["detail"].startswith(f"{told}: ")
        conforms(problem, "/api/events", 400)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/nothing", 404), ("/api/streams/c", 404), ("/page/none.js", 404), ("/page/..%2f..%2fserver.py", 404)],
)
async def test_what_is_not_there_is_a_problem(path: str, status: int) -> None:
    async with serving() as client:
        problem = await client.get(path, status)
        assert problem["status"] == status


async def test_nothing_is_changed_by_asking() -> None:
    async with serving() as client, client.session.post(f"{client.url}/api/streams") as answer:
        assert answer.status == 405
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Allow"] == "GET,HEAD"


async def test_a_mistake_of_ours_is_a_problem_and_tells_nothing() -> None:
    bench = Bench()
    async with serving(bench) as client:
        bench.states = None  # type: ignore[assignment]
        problem = await client.get("/api/streams", 500)
        assert problem["detail"] == "the request failed; see the log"


def test_the_page_of_the_api_names_every_path() -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
    for path in DESCRIPTION["paths"]:
        written = path.replace("{name}", "NAME").replace("{id}", "ID").replace("{file}", "FILE")
        assert f"`{written}`" in page
