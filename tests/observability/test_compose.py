"""Containers: pinned, without rights, and running what the files of configs/ say."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from rtpverify.daemon.configuration import read_config
from rtpverify.sender.faults import parse_fault
from rtpverify.sources.live.endpoint import parse_endpoint
from tests.observability.stack import CONFIGS, ROOT

PATH = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(PATH.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_compose_takes_the_file() -> None:
    """The package's own schema; no engine is needed for that."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed (Debian package docker-compose)")
    done = subprocess.run(
        ["docker-compose", "--file", PATH, "--profile", "demo", "config", "--services"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == set(SERVICES)


def test_what_runs_has_no_rights_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    user, _, _ = service["user"].partition(":")
    assert int(user) > 0
    assert service["network_mode"] == "host"


def test_images_are_pinned_to_a_version(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"rtpverify:local|[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
    assert ("build" in service) == service["image"].startswith("rtpverify")


def test_health_is_asked_for(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    if "demo" in service.get("profiles", ()):
        assert check == {"disable": True}
    else:
        assert any("http://127.0.0.1:" in part for part in check["test"])


def test_who_is_waited_for_is_one_whose_health_is_asked_for() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            assert "test" in SERVICES[other]["healthcheck"]


def test_what_is_mounted_is_there_and_only_data_is_written() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).is_dir(), (name, source)
                assert mode == ["ro"], (name, volume)
            else:
                assert source in COMPOSE["volumes"], (name, source)
                assert target.startswith(("/var/lib/", "/prometheus", "/alertmanager")), (name, target)


def test_everything_listens_on_loopback() -> None:
    text = PATH.read_text()
    addresses = re.findall(r"(?:listen-address=|HTTP_ADDR: )([\d.]+)", text)
    assert addresses == ["127.0.0.1"] * 3
    assert str(read_config(CONFIGS / "container.toml").metrics.listen) == "127.0.0.1:9464"
    assert "ports" not in {key for service in SERVICES.values() for key in service}


def test_what_the_daemon_keeps_goes_to_a_volume() -> None:
    targets = [volume.split(":")[1] for volume in SERVICES["rtpverify"]["volumes"] if not volume.endswith(":ro")]
    configuration = read_config(CONFIGS / "container.toml")
    assert configuration.history
    assert configuration.recorder
    for path in configuration.history.path, configuration.recorder.path:
        assert any(path.is_relative_to(target) for target in targets), path


def test_the_configuration_that_runs_is_one_that_is_there() -> None:
    command = SERVICES["rtpverify"]["command"]
    (mounted,) = (volume for volume in SERVICES["rtpverify"]["volumes"] if volume.startswith("./configs:"))
    assert command == ["serve", f"{mounted.split(':')[1]}/container.toml"]
    assert f'CMD ["serve", "{command[1]}"]' in DOCKERFILE


def test_ports_are_those_that_the_files_name() -> None:
    for target, port in ("rtpverify", 9464), ("prometheus", 9090), ("alertmanager", 9093):
        (group,) = yaml.safe_load((CONFIGS / "prometheus" / "targets" / f"{target}.yml").read_text())
        assert group["targets"] == [f"127.0.0.1:{port}"]
        assert f"127.0.0.1:{port}" in PATH.read_text()


def test_the_demo_sends_faults_that_there_are_to_the_stream_of_the_configuration() -> None:
    command = SERVICES["sender"]["command"]
    (stream,) = read_config(CONFIGS / "container.toml").stream
    assert command[0] == "send"
    assert parse_endpoint(command[1], "") == stream.source
    faults = [word.removeprefix("--fault=") for word in command if word.startswith("--fault=")]
    assert len({parse_fault(fault).kind for fault in faults}) >= 4


def test_the_image_is_built_apart_pinned_and_runs_without_rights() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", DOCKERFILE, re.MULTILINE)
    assert [name for _, name in stages] == ["build", ""]
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z-]+", image) for image, _ in stages)
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user
    assert int(user[1]) > 0
    assert f"{user[1]}:{user[2]}" == SERVICES["rtpverify"]["user"]
    assert "pip install" not in last
    assert not re.search(r"^(ADD|MAINTAINER)\b|\bsudo\b|\blatest\b|^RUN cd |\bcurl\b", DOCKERFILE, re.MULTILINE)
    for line in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE):
        assert line.startswith("[")


def test_what_the_image_is_built_from_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert source.split("/")[0] in allowed
        assert (ROOT / source).exists()
