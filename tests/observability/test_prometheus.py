"""The files Prometheus and Alertmanager read are ones that they accept, and every alert is tested and explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.observability.stack import CONFIGS, ROOT

PROMETHEUS, ALERTMANAGER = CONFIGS / "prometheus", CONFIGS / "alertmanager" / "alertmanager.yml"
UNIT_TESTS = Path(__file__).with_name("rules.test.yml")


def checked(program: str, *arguments: str | Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian packages prometheus, prometheus-alertmanager)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> dict[str, dict[str, object]]:
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_prometheus_takes_its_configuration() -> None:
    checked("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("name", ["prometheus-site.yml", "prometheus-central.yml"])
def test_prometheus_takes_the_configurations_of_a_fleet(name: str) -> None:
    checked("promtool", "check", "config", ROOT / "examples" / "fleet" / name)


def test_the_rules_pass_their_unit_tests() -> None:
    checked("promtool", "test", "rules", UNIT_TESTS)


def test_alertmanager_takes_its_configuration() -> None:
    checked("amtool", "check-config", ALERTMANAGER)


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: dict[str, set[bool]] = {}
    for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]:
        for case in test.get("alert_rule_test", ()):
            fires.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert fires == {name: {True, False} for name in alerts()}


def test_every_alert_is_explained_where_it_says_so() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == list(alerts())
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name  # type: ignore[index]
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "description", "runbook"}, name  # type: ignore[attr-defined]
        assert notes["runbook"] == f"{name} in docs/alerts.md"  # type: ignore[index]


def test_links_are_made_of_runbooks_as_the_documentation_says(tmp_path: Path) -> None:
    (command,) = re.findall(r"^sed -i .*$", (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8"), re.MULTILINE)
    rules = tmp_path / "configs" / "prometheus" / "rules" / "alerts.yml"
    rules.parent.mkdir(parents=True)
    rules.write_text((ROOT / "configs" / "prometheus" / "rules" / "alerts.yml").read_text(encoding="utf-8"))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    links = {
        rule["alert"]: rule["annotations"].get("runbook_url")
        for group in yaml.safe_load(rules.read_text())["groups"]
        for rule in group["rules"]
    }
    assert links == {name: f"https://docs.example/alerts#{name.lower()}" for name in alerts()}


def test_what_inhibits_and_is_inhibited_are_alerts() -> None:
    names = set(alerts())
    for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            _, operator, value = re.fullmatch(r'(alertname) (=~|=|!=) "(.*)"', matcher).groups()  # type: ignore[union-attr]
            assert any(re.fullmatch(value, name) for name in names), matcher
            assert operator != "=" or value in names
