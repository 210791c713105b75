"""Stages that go on while MongoDB is away can also be started then; those that write to it say what is wrong."""

from __future__ import annotations

from boom_streams import names
from boom_streams.operate import layouts
from boom_streams.operate.supervise import Supervisor
from boom_streams.services.process import free_ports
from tests.conftest import MakeSettings
from tests.support.waiting import wait_for


def test_enrich_and_classify_start_without_mongodb(make_settings: MakeSettings) -> None:
    (port,) = free_ports(1)
    settings = make_settings(partitions=1, mongo_uri=f"mongodb://127.0.0.1:{port}")
    exits: set[str] = set()
    with Supervisor(settings, {"enrich": 1, "classify": 1, "sink": 1}) as supervisor:

        def started() -> bool:
            exits.update(exited.worker for exited in supervisor.poll())
            members = layouts.members(settings)
            joined = all(members.get(names.group_id(role, settings.topic_prefix)) for role in ("enrich", "classify"))
            return joined and bool(exits)

        wait_for(started, seconds=90.0)
        said = supervisor.log_file("sink", 0).read_text()
        words = supervisor.last_words("sink", 0)
    assert exits == {"sink-0"}
    assert f"MongoDB does not answer (127.0.0.1:{port}" in words
    assert words.endswith("set BOOM_MONGO_URI to one that runs")
    assert "Topology Description" not in said
