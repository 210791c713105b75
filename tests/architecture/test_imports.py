"""Who may import whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.sources import imported, modules, parse

#: From the ground up; a module imports only from its own layer and those below.
LAYERS = ("base", "core", "schema", "library", "tables", "agents", "topologies", "main", "cli")
BASE = ("errors", "names", "settings")

#: Pure functions: no Kafka, no MongoDB (BSON is a format).
CORE = ("avro", "avro_columns", "avro_schema", "lightcurve", "photometry", "points", "raw", "sky", "surveys", "wire")

#: ``boom_streams.app``, made when Faust asks for it.
EXCEPTIONS = {("boom_streams", "boom_streams.main.build_app")}

MODULES = [pytest.param(name, file, id=name) for name, file in modules()]


def layer(module: str) -> int:
    part = [*module.split("."), ""][1]
    if part in BASE:
        return LAYERS.index("base")
    if part in CORE:
        return LAYERS.index("core")
    return LAYERS.index(part if part in LAYERS else "library")


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_imports_go_down_the_layers(name: str, file: Path) -> None:
    wrong = [
        f"{file}:{line} {name} ({LAYERS[layer(name)]}) imports {target} ({LAYERS[layer(target)]})"
        for line, target in imported(parse(file))
        if target.startswith("boom_streams.") and layer(target) > layer(name) and (name, target) not in EXCEPTIONS
    ]
    assert wrong == []


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_only_the_application_knows_faust(name: str, file: Path) -> None:
    allowed = LAYERS[layer(name)] in ("tables", "agents", "topologies", "main")
    found = [t for _, t in imported(parse(file)) if t.split(".")[0] in ("faust", "mode", "aiokafka")]
    assert allowed or found == []


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_only_the_library_and_commands_know_the_clients_of_kafka_and_mongodb(name: str, file: Path) -> None:
    allowed = LAYERS[layer(name)] in ("library", "cli")
    found = [t for _, t in imported(parse(file)) if t.split(".")[0] in ("pymongo", "confluent_kafka")]
    assert allowed or [t for t in found if not t.startswith("pymongo.errors")] == []


def test_layers_are_told_apart() -> None:
    examples = {
        "boom_streams": "library",
        "boom_streams.names": "base",
        "boom_streams.surveys.ztf": "core",
        "boom_streams.kafka": "library",
        "boom_streams.agents.enrich": "agents",
        "boom_streams.main.build_app": "main",
        "boom_streams.cli.up": "cli",
    }
    assert {name: LAYERS[layer(name)] for name in examples} == examples
