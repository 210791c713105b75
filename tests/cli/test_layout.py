"""Moving committed offsets between the two layouts of workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition

from boom_streams import names
from boom_streams.cli import cli
from boom_streams.errors import BoomError
from boom_streams.kafka import clients, topics
from boom_streams.operate import layouts, status
from boom_streams.operate.supervise import environment
from boom_streams.settings import Settings
from tests.support.waiting import wait_for


@pytest.fixture
def settings(make_settings) -> Settings:
    made = make_settings(partitions=2)
    topics.ensure_topics(made)
    return made


def commit(settings: Settings, role: str, stage: str, *offsets: int) -> None:
    topic = names.topic("ZTF", stage, settings.topic_prefix)
    client = clients.consumer(settings, names.group_id(role, settings.topic_prefix))
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in enumerate(offsets)]
    client.commit(offsets=wanted, asynchronous=False)
    client.close()


def offsets(settings: Settings, running: str) -> dict[str, dict[str, list[int]]]:
    """Offsets by role and stage."""
    found: dict[str, dict[str, list[int]]] = {}
    for group, positions in layouts.offsets(settings, running).items():
        role = group.rpartition("-")[2] if "-" in group else "all"
        for (topic, _), offset in sorted(positions.items()):
            found.setdefault(role, {}).setdefault(topic.rpartition(".")[2], []).append(offset)
    return found


def test_each_role_gets_the_offsets_of_the_topics_that_it_reads(settings: Settings) -> None:
    commit(settings, "all", "raw", 5, 6)
    commit(settings, "all", "enriched", 3, 4)
    assert layouts.current(settings) == "all"
    assert layouts.move(settings, "roles")
    assert offsets(settings, "roles") == {
        "enrich": {"raw": [5, 6]},
        "classify": {"enriched": [3, 4]},
        "sink": {"enriched": [3, 4]},
    }
    assert offsets(settings, "all") == {}
    assert layouts.move(settings, "roles") == []


def test_one_group_gets_the_smaller_offset_and_none_that_a_reader_lacks(settings: Settings) -> None:
    commit(settings, "enrich", "raw", 9, 9)
    commit(settings, "classify", "enriched", 7, 2)
    commit(settings, "sink", "enriched", 4, 8)
    commit(settings, "filter", "classified", 1, 1)  # the sink has read none of classified
    layouts.move(settings, "all")
    assert offsets(settings, "all") == {"all": {"raw": [9, 9], "enriched": [4, 2]}}
    assert offsets(settings, "roles") == {}


def test_both_layouts_at_once_are_refused(settings: Settings) -> None:
    commit(settings, "all", "raw", 5, 6)
    commit(settings, "enrich", "raw", 2, 2)
    for act in (lambda: layouts.current(settings), lambda: layouts.move(settings, "roles")):
        with pytest.raises(BoomError, match="both layouts have committed offsets"):
            act()
    assert offsets(settings, "all") == {"all": {"raw": [5, 6]}}


def test_of_both_layouts_one_can_be_kept(settings: Settings) -> None:
    commit(settings, "all", "raw", 5, 6)
    with pytest.raises(BoomError, match="no committed offsets to keep"):
        layouts.discard(settings, "roles")
    commit(settings, "enrich", "raw", 2, 2)
    report = status.collect(settings, interval=0.1)
    assert report["layout"] == "both"
    assert any("boom-streams layout roles --discard" in problem for problem in report["missing"])
    assert layouts.discard(settings, "roles") == [f"deleted group {settings.topic_prefix}boom"]
    layouts.check(settings, "roles")
    assert offsets(settings, "roles") == {"enrich": {"raw": [2, 2]}}
    assert layouts.discard(settings, "roles") == []


@pytest.mark.parametrize(
    ("other", "role", "refused"), [("enrich", "all", True), ("all", "enrich", True), ("sink", "enrich", False)]
)
def test_a_worker_itself_refuses_the_other_layout(
    settings: Settings, root: Path, other: str, role: str, refused: bool
) -> None:
    commit(settings, other, "raw" if other != "sink" else "enriched", 0, 0)
    command = [sys.executable, "-m", "faust", "-A", "boom_streams", "worker", "-l", "warn", "--without-web"]
    variables = os.environ | environment(settings) | {"BOOM_ROLE": role}
    with subprocess.Popen(command, cwd=root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as worker:
        if refused:
            said = worker.communicate(timeout=120)[0].decode()
            assert worker.returncode == 1, said
            assert "this broker has run in the layout" in said
            assert "Traceback" not in said
            return
        try:
            group = names.group_id(role, settings.topic_prefix)
            wait_for(lambda: worker.poll() is not None or group in layouts.members(settings), seconds=120.0)
            assert worker.poll() is None
        finally:
            worker.kill()


def test_a_move_that_was_cut_off_can_be_finished(settings: Settings) -> None:
    commit(settings, "all", "raw", 5, 6)
    commit(settings, "enrich", "raw", 5, 6)
    assert layouts.move(settings, "roles") == [
        f"moved 2 offsets to group {settings.topic_prefix}boom-enrich",
        f"deleted group {settings.topic_prefix}boom",
    ]


def test_nothing_moves_while_a_worker_runs(settings: Settings) -> None:
    commit(settings, "all", "raw", 5, 6)
    client = clients.consumer(settings, names.group_id("all", settings.topic_prefix))
    client.subscribe([names.topic("ZTF", "raw", settings.topic_prefix)])
    client.consume(1, timeout=3)
    try:
        with pytest.raises(BoomError, match=r"still members of .*boom \(1\)"):
            layouts.move(settings, "roles")
    finally:
        client.close()
    assert layouts.move(settings, "roles")


def test_workers_of_the_other_layout_may_not_start(settings: Settings) -> None:
    layouts.check(settings, "all")
    layouts.check(settings, "roles")
    commit(settings, "all", "raw", 5, 6)
    layouts.check(settings, "all")
    with pytest.raises(BoomError, match="boom-streams layout roles"):
        layouts.check(settings, "roles")


def test_the_command_shows_and_moves(settings: Settings) -> None:
    def run(*arguments: str) -> str:
        from boom_streams.settings import current_settings as read_once

        read_once.cache_clear()
        result = CliRunner(env=environment(settings)).invoke(cli, ["layout", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "none yet" in run()
    commit(settings, "all", "raw", 5, 6)
    assert run().splitlines()[0] == "all"
    assert "boom-enrich" in run("roles")
    assert run().splitlines()[0] == "roles"
