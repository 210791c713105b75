"""Compose file, image and workflow: well-formed, and in step with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.services import jars
from boom_streams.settings import Settings
from tests.architecture.sources import ROOT

COMPOSE = ROOT / "docker-compose.yaml"


def load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = load(COMPOSE)["services"]
    return found


def test_compose_file_follows_the_compose_specification() -> None:
    compose = PyCompose.from_yaml(COMPOSE.read_text())
    compose.validate()
    assert set(compose.to_spec().services) == {"kafka", "mongo", "workers"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("healthcheck:", "helthcheck:"), ("service_healthy", "service_helthy"), ("30s", "soon")],
)
def test_compose_check_refuses_a_mistake(right: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"services\.|line \d+"):
        PyCompose.from_yaml(COMPOSE.read_text().replace(right, wrong)).validate()


def test_services_have_health_checks_and_fixed_images(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name
    limits = ("KAFKA_MESSAGE_MAX_BYTES", "KAFKA_REPLICA_FETCH_MAX_BYTES")
    assert {services["kafka"]["environment"][name] for name in limits} == {str(MAX_BYTES)}
    assert services["kafka"]["image"] == f"apache/kafka:{jars.VERSION}", "the same Kafka as the local one"


def test_ports_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_workers_wait_for_healthy_services_and_get_known_settings(services: dict[str, Any]) -> None:
    workers = services["workers"]
    assert {n: d["condition"] for n, d in workers["depends_on"].items()} == {
        "kafka": "service_healthy",
        "mongo": "service_healthy",
    }
    known = {f"BOOM_{name.upper()}" for name in Settings.model_fields}
    assert set(workers["environment"]) <= known
    assert workers["environment"]["BOOM_KAFKA"] in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert workers["environment"]["BOOM_MONGO_URI"] == "mongodb://mongo:27017"


def test_volumes_are_declared(services: dict[str, Any]) -> None:
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert used == set(load(COMPOSE)["volumes"])


def test_image_installs_the_wheel_and_copies_no_package_folder() -> None:
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    copies = [line for line in lines if line and line[0] == "COPY"]
    assert copies == [["COPY", ".", "."]], "links inside boom_streams/ would dangle"


def test_workflow_runs_what_every_change_must_pass() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "ci.yaml")
    steps = {name: [s.get("run", "") for s in job["steps"]] for name, job in workflow["jobs"].items()}
    assert ".ci/run" in steps["all"]
    assert workflow["jobs"]["all"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert any(run.startswith("docker compose up") for run in steps["compose"])
    assert any("pytest" in run for run in steps["macos"])
