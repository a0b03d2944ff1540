"""Every expression of rules and dashboards is run by a real Prometheus that scrapes a real daemon under faults."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.stack import CONFIGS, PROGRAMS, Bench, bench, until

WITHOUT_DATA = {'absent(up{job="rtpverify"})', 'sum by (site) (rtpverify_outlet_waiting{outlet="nats"})'}
"""What gives nothing while all is well, and cannot be made to by turning a comparison into a number; no NATS here."""

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        any(shutil.which(program) is None for program in PROGRAMS),
        reason=f"not all installed: {', '.join(PROGRAMS)} (Debian packages {', '.join(PROGRAMS.values())})",
    ),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


def as_number(expr: str) -> str:
    """Return an expression that gives a number where the alert's gives nothing."""
    return re.sub(r" (==|!=|>=|<=|>|<) (?!bool\b|on\b)", r" \1 bool ", expr).replace("> on (", "> bool on (")


def rules() -> Iterator[tuple[str, str, bool]]:
    for path in sorted((CONFIGS / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if rule["expr"] not in WITHOUT_DATA:
                    yield rule.get("alert") or rule["record"], as_number(rule["expr"]), True


def filled_in(expr: str) -> Iterator[str]:
    """Yield an expression for each stream that its variable may stand for."""
    expr = (
        expr.replace("$__rate_interval", "5s")
        .replace("$__range", "60s")
        .replace("$instance", ".*")
        .replace("$site", ".*")
    )
    for stream in ("main", "legs", "ill", "late") if "$stream" in expr else ("",):
        yield expr.replace("$stream", stream)


def panels() -> Iterator[tuple[str, str, bool]]:
    for path in sorted((CONFIGS / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{board['title']}: {panel['title']}: {target['legendFormat']}", target["expr"], target["instant"]
        for item in board["annotations"]["list"]:
            yield f"{board['title']}: {item['name']}", item["expr"], False
        for item in board["templating"]["list"]:
            series = re.fullmatch(r"label_values\((.*), \w+\)", item["query"]["query"])
            assert series, item
            yield f"{board['title']}: ${item['name']}", series[1], True


def test_every_expression_returns_data(running: Bench) -> None:
    waiting: dict[str, tuple[list[str], bool]] = {
        f"{name}: {expr}": (list(filled_in(expr)), instant) for name, expr, instant in [*rules(), *panels()]
    }
    assert len(waiting) > 100

    def look() -> bool:
        for name, (exprs, instant) in list(waiting.items()):
            if any(running.ask(expr, instant=instant) for expr in exprs):
                del waiting[name]
        return not waiting

    until(look)
    assert list(waiting) == []


def test_an_alert_fires_through_to_the_webhook(running: Bench) -> None:
    def told() -> dict[tuple[str, str], dict[str, Any]]:
        return {(alert["labels"]["alertname"], alert["labels"].get("stream", "")): alert for alert in running.alerts}

    wanted = {("RtpverifyPacketLoss", "main"), ("RtpverifyLegLoss", "legs"), ("RtpverifyDistortion", "main")}
    until(lambda: wanted <= told().keys())
    assert wanted <= told().keys()
    loss = told()["RtpverifyPacketLoss", "main"]
    assert loss["labels"]["severity"] == "warning"
    assert loss["annotations"]["summary"] == "main loses packets"
    assert ("RtpverifyPacketLoss", "legs") not in told()


def test_an_exemplar_leads_from_prometheus_to_the_event(running: Bench) -> None:
    def ids() -> set[str]:
        found = running.api("query_exemplars", query='rtpverify_events_total{stream="main"}', start=0, end=4e9)
        return {item["labels"]["event_id"] for series in found for item in series["exemplars"]}

    def logged() -> set[str]:
        lines = [json.loads(line) for line in Path(running.folder / "daemon.log").read_text().splitlines()]
        return {line["id"] for line in lines if line["event"] == "event"}

    until(ids)
    assert ids()
    assert until(lambda: ids() <= logged())


def test_prometheus_takes_every_sample_and_exemplar(running: Bench) -> None:
    """What it does not like it writes down."""
    until(lambda: running.ask("rtpverify_events_total > 0", instant=True))
    log = (running.folder / "prometheus.log").read_text()
    assert [line for line in log.splitlines() if "level=warn" in line or "level=error" in line] == []
    (target,) = (target for target in running.api("targets")["activeTargets"] if target["labels"]["job"] == "rtpverify")
    assert (target["health"], target["lastError"]) == ("up", "")
