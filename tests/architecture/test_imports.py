"""Who may import whom: the floors of the house, and what only some rooms may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.floors import FLOORS, floor, room
from tests.architecture.sources import imported, modules, parse

#: Modules that lie loose in ``boom_streams/``; everything else has a room.
LOOSE = {"main", "settings", "names", "errors", "testing"}

#: Rooms that know Faust.
APPLICATION = {"agents", "tables", "main"}

#: Rooms of pure functions: they know neither Kafka nor MongoDB (BSON is a format).
PURE = {"astro", "avro", "surveys", "lightcurves", "models", "schema", "synthetic", "page", "topologies"}

#: ``boom_streams.app``, made when Faust asks for it.
EXCEPTIONS = {("boom_streams", "boom_streams.main.build_app"), ("boom_streams", "boom_streams.errors.BoomError")}

MODULES = [pytest.param(name, file, id=name) for name, file in modules()]


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_imports_go_down(name: str, file: Path) -> None:
    wrong = [
        f"{file}:{line} {name} (floor {floor(name)}) imports {target} (floor {floor(target)})"
        for line, target in imported(parse(file))
        if target.startswith("boom_streams.") and floor(target) > floor(name) and (name, target) not in EXCEPTIONS
    ]
    assert wrong == []


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_only_the_application_knows_faust(name: str, file: Path) -> None:
    found = [t for _, t in imported(parse(file)) if t.split(".")[0] in ("faust", "mode", "aiokafka")]
    assert room(name) in APPLICATION or found == []


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_pure_rooms_know_no_clients(name: str, file: Path) -> None:
    found = [t for _, t in imported(parse(file)) if t.split(".")[0] in ("pymongo", "confluent_kafka")]
    assert room(name) not in PURE or found == []


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_every_module_has_a_room_on_a_floor(name: str, file: Path) -> None:
    assert name == "boom_streams" or floor(name) >= 0, f"{name} is on no floor"
    if file.parent.name == "boom_streams" and file.name != "__init__.py":
        assert room(name) in LOOSE, f"{name} lies loose"


def test_floors_are_told_apart() -> None:
    examples = {
        "boom_streams.names": "errors",
        "boom_streams.surveys.ztf.packets": "kafka",
        "boom_streams.agents.enrich": "agents",
        "boom_streams.main.build_app": "demo",
        "boom_streams.cli.up": "web",
    }
    for name, neighbour in examples.items():
        assert neighbour in FLOORS[floor(name)]
