"""The dashboards are what tools/dashboards.py makes, and hang together: the data source, links, panels, columns."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.observability.stack import CONFIGS, ROOT

GRAFANA = CONFIGS / "grafana"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (GRAFANA / "dashboards").glob("*.json")}
STABLE = {"row", "stat", "table", "timeseries", "state-timeline"}


@pytest.fixture(params=sorted(BOARDS))
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = BOARDS[request.param]
    return found


def sources() -> dict[str, dict[str, Any]]:
    text = (GRAFANA / "provisioning" / "datasources" / "rtpverify.yml").read_text()
    return {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}


def test_the_files_are_what_the_generator_makes() -> None:
    pytest.importorskip("grafana_foundation_sdk")
    done = subprocess.run([sys.executable, ROOT / "tools" / "dashboards.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_fleet_a_bench_and_one_stream_in_depth() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {"rtpverify-fleet", "rtpverify-bench", "rtpverify-stream"}


def test_every_query_goes_to_the_provisioned_data_source(board: dict[str, Any]) -> None:
    uids = [
        *(panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"),
        *(target["datasource"]["uid"] for panel in board["panels"] for target in panel.get("targets", ())),
        *(item["datasource"]["uid"] for item in board["templating"]["list"] + board["annotations"]["list"]),
    ]
    assert set(uids) == {"rtpverify-prometheus"}
    assert sources()["rtpverify-prometheus"]["type"] == "prometheus"


def test_panels_are_of_stable_types_numbered_and_do_not_overlap(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert {panel["type"] for panel in panels} <= STABLE
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(refs) == len(set(refs)), panel["title"]
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_columns_of_a_table_are_named_and_formatted_by_those_names(board: dict[str, Any]) -> None:
    tables = [panel for panel in board["panels"] if panel["type"] == "table"]
    assert tables
    for panel in tables:
        merge, organize = panel["transformations"]
        assert (merge["id"], organize["id"]) == ("merge", "organize")
        refs = [target["refId"] for target in panel["targets"]]
        values = [f"Value #{ref}" for ref in refs] if len(refs) > 1 else ["Value"]
        renamed = organize["options"]["renameByName"]
        assert set(values) <= renamed.keys()
        assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= set(
            renamed.values()
        )
        assert all(target["format"] == "table" and target["instant"] for target in panel["targets"])


def test_variables_of_every_expression_are_defined(board: dict[str, Any]) -> None:
    names = {item["name"] for item in board["templating"]["list"]} | {"__rate_interval", "__range"}
    text = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
    used = {
        word.lstrip("$")
        for word in text.replace('"', " ").replace("[", " ").replace("]", " ").split()
        if word[0] == "$"
    }
    assert used <= names
    assert used & {"instance", "site"}


def test_links_lead_to_dashboards_that_are_there() -> None:
    links = [
        link["url"]
        for board in BOARDS.values()
        for panel in board["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]
    assert links
    uids = {board["uid"] for board in BOARDS.values()}
    assert {link.split("/")[2].partition("?")[0] for link in links} <= uids


def test_dashboards_are_provisioned_from_where_compose_mounts_them() -> None:
    providers = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "rtpverify.yml").read_text())["providers"]
    (path,) = (provider["options"]["path"] for provider in providers)
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./configs/grafana/dashboards:{path}:ro" in volumes


def test_alerts_and_exemplars_lead_somewhere() -> None:
    prometheus, alertmanager = sources()["rtpverify-prometheus"], sources()["rtpverify-alertmanager"]
    assert prometheus["jsonData"]["alertmanagerUid"] == alertmanager["uid"]
    (exemplar,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["name"] == "event_id"
    assert "$${__value.raw}" in exemplar["url"]
    scrape = yaml.safe_load((CONFIGS / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert prometheus["jsonData"]["timeInterval"] == scrape
