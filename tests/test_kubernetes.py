"""The manifests in examples/kubernetes are what Kubernetes takes, and what is in them is what rtpverify takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rtpverify.cli.app import main
from rtpverify.commands.fleet.configuration import read_configuration
from rtpverify.daemon.configuration import parse_config

FOLDER = Path(__file__).parents[1] / "examples" / "kubernetes"
MANIFESTS = {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))}
ALL = [(name, one) for name, documents in MANIFESTS.items() for one in documents]


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for _, one in ALL if "template" in one.get("spec", {})]


def named(name: str, kind: str) -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS[name] if one["kind"] == kind]
    return found


@pytest.mark.parametrize("version", ["1.29", "1.34"])
@pytest.mark.parametrize(("name", "document"), ALL, ids=[f"{name}-{one['kind']}" for name, one in ALL])
def test_every_manifest_fulfils_its_schema(name: str, document: dict[str, Any], version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    assert validate.validate(document, version, strict=True).startswith(version), name
    with pytest.raises(validate.ValidationError):
        validate.validate({**document, "specs": {}}, version, strict=True)


def test_selectors_select_their_pods_and_volumes_are_there() -> None:
    for name, one in ALL:
        if "selector" not in one.get("spec", {}) or "template" not in one["spec"]:
            continue
        labels = one["spec"]["template"].get("metadata", {}).get("labels", {})
        assert one["spec"]["selector"]["matchLabels"] == labels, name
    services = [one for _, one in ALL if one["kind"] == "Service"]
    deployed = [one["spec"]["template"]["metadata"]["labels"] for _, one in ALL if one["kind"] == "Deployment"]
    assert all(one["spec"]["selector"] in deployed for one in services)
    for pod in pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_every_container_has_as_little_as_it_needs() -> None:
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not security["allowPrivilegeEscalation"]
            assert security["readOnlyRootFilesystem"]
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_the_daemon_is_on_the_network_of_its_node() -> None:
    pod = named("daemon.yaml", "DaemonSet")["spec"]["template"]["spec"]
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")


def test_configurations_are_valid(tmp_path: Path) -> None:
    credentials = tmp_path / "x.creds"
    credentials.write_text("-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\nx\n")
    (tmp_path / "token").write_text("correct horse\n")
    text = named("daemon.yaml", "ConfigMap")["data"]["rtpverify.toml"]
    daemon = parse_config(text.replace("/etc/nats/bench.creds", str(credentials)), tmp_path / "rtpverify.toml")
    assert daemon.nats is not None
    path = tmp_path / "fleet.toml"
    text = named("fleet.yaml", "ConfigMap")["data"]["fleet.toml"]
    path.write_text(text.replace("/etc/fleet/fleet.creds", str(credentials)).replace("/etc/fleet/token", "token"))
    assert read_configuration(str(path)).page is not None


def test_arguments_are_those_of_the_command() -> None:
    seen = set()
    for pod in pods():
        for container in pod["containers"]:
            if "command" in container:
                assert container["command"][0] == "dask"
                continue
            name, *arguments = container["args"]
            seen.add(name)
            with click.Context(main) as context:
                main.commands[name].make_context(name, list(arguments), parent=context)
    assert seen == {"serve", "fleet", "batch"}
