"""Archived alerts into the raw topic: all of them, keyed, and what is broken kept with its reason."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import bson
import fastavro
import pytest
from click.testing import CliRunner
from confluent_kafka import Message

from boom_streams import names
from boom_streams.astro import sky
from boom_streams.cli import cli
from boom_streams.errors import ServiceError
from boom_streams.ingest.raw_records import NSIDE, cell_key
from boom_streams.ingest.replay import Counts, replay
from boom_streams.kafka import partitions, topics
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.operate import dead_letters
from boom_streams.operate.supervise import environment
from boom_streams.settings import Settings

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "alert",
    "namespace": "ztf",
    "fields": [
        {"name": "schemavsn", "type": "string"},
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {
            "name": "candidate",
            "type": {
                "type": "record",
                "name": "candidate",
                "fields": [{"name": name, "type": "double"} for name in ("jd", "ra", "dec")],
            },
        },
        {"name": "padding", "type": "bytes"},
    ],
}


def alert(candid: int, ra: float = 10.0, dec: float = 20.0, size: int = 100) -> dict[str, Any]:
    return {
        "schemavsn": "4.02",
        "objectId": f"ZTF{candid}",
        "candid": candid,
        "candidate": {"jd": 2460000.5, "ra": ra, "dec": dec},
        "padding": b"\x01" * size,
    }


def container(*alerts: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, SCHEMA, alerts)
    return stream.getvalue()


def candids(messages: list[Message]) -> list[int]:
    """Candid of each alert; an alert a record."""
    found = []
    for message in messages:
        (record,) = fastavro.reader(io.BytesIO(message.value()))
        found.append(record["candid"])
    return sorted(found)


@pytest.fixture
def settings(make_settings) -> Settings:
    made = make_settings(partitions=4)
    topics.ensure_topics(made)
    return made


def raw(settings: Settings, role: bytes | None = None) -> list[Message]:
    messages = scan(settings, [names.topic("ZTF", "raw", settings.topic_prefix)])
    return [message for message in messages if headers_of(message).get("role") == role]


def test_every_alert_of_files_and_archives_arrives_once(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "many.avro").write_bytes(container(*map(alert, range(50))))
    (tmp_path / "sub").mkdir()
    for number in range(50, 60):
        (tmp_path / "sub" / f"{number}.avro").write_bytes(container(alert(number)))
    with tarfile.open(tmp_path / "night.tar.gz", "w:gz") as archive:
        for number in range(60, 70):
            data = container(alert(number))
            info = tarfile.TarInfo(f"{number}.avro")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    counts = replay(settings, "ZTF", [tmp_path])
    assert candids(raw(settings)) == list(range(70))
    assert (counts.alerts, counts.dead, counts.containers, counts.problems) == (70, 0, 21, [])
    assert counts.consumed == counts.total


def test_key_is_the_cell_and_the_partition_is_the_keys(settings: Settings, tmp_path: Path) -> None:
    places = [(i * 17.3 % 360, i * 1.7 - 80) for i in range(100)]
    alerts = [alert(i, ra, dec) for i, (ra, dec) in enumerate(places)]
    (tmp_path / "a.avro").write_bytes(container(*alerts))
    replay(settings, "ZTF", [tmp_path])
    cells = sky.cells(*zip(*places, strict=True), NSIDE).tolist()
    found = {m.value(): (m.key(), m.partition()) for m in raw(settings)}
    keys = {candids_of: key for candids_of, key in enumerate(map(cell_key, cells))}
    for message in raw(settings):
        (candid,) = candids([message])
        assert found[message.value()] == (keys[candid], partitions.raw_partition(keys[candid], 4))
    assert len(found) == 100


def test_an_alert_at_a_cell_edge_leaves_its_position_next_door(settings: Settings, tmp_path: Path) -> None:
    ras = [i * 0.0005 for i in range(8000)]  # every 1.8 arcsec along the equator: cell edges among them
    (tmp_path / "a.avro").write_bytes(container(*(alert(i, ra, 0.01) for i, ra in enumerate(ras))))
    counts = replay(settings, "ZTF", [tmp_path])
    margins = raw(settings, b"margin")
    assert len(margins) == counts.margins > 0
    own = {candids([m])[0]: m.partition() for m in raw(settings)}
    for message in margins:
        position = bson.decode(message.value())
        assert set(position) == {"v", "survey", "objectId", "candid", "jd", "ra", "dec"}
        assert message.partition() != own[position["candid"]]
        assert message.partition() == partitions.raw_partition(message.key(), 4)


def test_what_is_broken_becomes_a_dead_letter_once(settings: Settings, tmp_path: Path) -> None:
    good = container(alert(1))
    (tmp_path / "empty.avro").write_bytes(b"")
    (tmp_path / "good.avro").write_bytes(good)
    (tmp_path / "noise.avro").write_bytes(b"no avro")
    (tmp_path / "nowhere.avro").write_bytes(container(alert(2, dec=95.0)))
    counts = replay(settings, "ZTF", [tmp_path])
    replay(settings, "ZTF", [tmp_path])
    assert candids(raw(settings)) == [1, 1]
    assert (counts.alerts, counts.dead) == (1, 3)
    letters = {Path(letter.topic).name: letter for letter in dead_letters.letters(settings)}
    assert set(letters) == {"empty.avro", "noise.avro", "nowhere.avro"}
    assert "candidate.dec is 95.0" in letters["nowhere.avro"].reason
    assert {letter.stage for letter in letters.values()} == {"replay"}
    assert dead_letters.read_value(settings, letters["noise.avro"]) == b"no avro"


def test_good_alerts_of_a_damaged_file_are_kept(settings: Settings, tmp_path: Path) -> None:
    first, second = container(alert(1, size=20_000)), container(alert(1, size=20_000), alert(2, size=20_000))
    (tmp_path / "cut.avro").write_bytes(second[: len(first) + 100])
    counts = replay(settings, "ZTF", [tmp_path])
    assert candids(raw(settings)) == [1]
    assert (counts.alerts, counts.dead) == (1, 1)


def test_an_alert_too_large_for_any_topic_is_a_dead_letter_without_its_bytes(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a.avro").write_bytes(container(alert(1, size=13 << 20)))
    (tmp_path / "b.avro").write_bytes(container(alert(2)))
    counts = replay(settings, "ZTF", [tmp_path])
    assert candids(raw(settings)) == [2]
    assert (counts.alerts, counts.dead) == (1, 1)
    (letter,) = dead_letters.letters(settings)
    assert letter.size == 0
    assert "too many to be kept" in letter.reason


def test_limit_counts_alerts_and_not_files(settings: Settings, tmp_path: Path) -> None:
    for number in range(3):
        many = container(*(alert(100 * number + i) for i in range(10)))
        (tmp_path / f"{number}.avro").write_bytes(many)
    counts = replay(settings, "ZTF", [tmp_path], limit=13)
    assert counts.alerts == 13
    assert candids(raw(settings)) == [*range(10), 100, 101, 102]


def test_rate_is_held(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_bytes(container(*map(alert, range(21))))
    start = time.monotonic()
    counts = replay(settings, "ZTF", [tmp_path], rate=20)
    assert time.monotonic() - start >= 1.0  # the 21st is due after one second
    assert counts.alerts == 21


def test_a_broken_archive_is_reported_and_what_came_before_is_kept(settings: Settings, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as archive:
        for number in range(30):
            data = container(alert(number, size=5000))
            info = tarfile.TarInfo(f"{number}.avro")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    cut = tmp_path / "in" / "cut.tar"
    cut.parent.mkdir()
    cut.write_bytes(whole.read_bytes()[:60_000])
    counts = replay(settings, "ZTF", [cut.parent])
    found = candids(raw(settings))
    assert found == list(range(len(found)))
    assert len(found) == counts.alerts >= 5
    assert len(counts.problems) == 1


def test_hostile_names_in_an_archive_cost_only_their_members(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "night.tar.gz"
    with tarfile.open(path, "w:gz", encoding="utf-8", errors="surrogateescape") as archive:
        for number, name in enumerate(
            ("1.avro", "\udcff\udcfe.avro", "n" * 300_000 + ".avro", "[/bold].avro", "5.avro")
        ):
            info = tarfile.TarInfo(name)
            data = container(alert(number))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    ran = CliRunner().invoke(cli, ["replay", "ztf", "--quiet", str(path)], env=environment(settings))
    assert "3 alerts" in ran.output
    assert "\\xff\\xfe.avro: passed over: its name is not UTF-8" in ran.output
    assert "passed over: its name, or what comes with it, has" in ran.output
    assert len(ran.output) < 3000
    assert candids(raw(settings)) == [0, 3, 4]


def test_progress_ends_at_the_total(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_bytes(container(*map(alert, range(5))))
    shares: list[tuple[int, int, int]] = []

    def note(counts: Counts) -> None:
        shares.append((counts.consumed, counts.total, counts.alerts))

    replay(settings, "ZTF", [tmp_path], progress=note)
    size = (tmp_path / "a.avro").stat().st_size
    assert shares[-1] == (size, size, 5)


def test_real_nights_arrive_whole(settings: Settings, shared: Path) -> None:
    """The folders' README gives the numbers of alerts."""
    ztf = shared / "data" / "alerts" / "ztf"
    counts = replay(settings, "ZTF", [ztf / "20211121_snappy", ztf / "20231012", ztf / "20200202"])
    assert (counts.alerts, counts.dead) == (110 + 24 + 12, 0)
    assert len(raw(settings)) == 146


def test_broken_real_files_are_told_apart(settings: Settings, shared: Path, tmp_path: Path) -> None:
    """Four have a broken header; three are cut off after a first alert, which is good."""
    folder = shared / "data" / "alerts" / "ztf" / "ampel" / "alerts"
    for name in ("121540793515135009", "516434762915010006", "516401801315010009", "516442330015015017"):
        (path,) = folder.rglob(f"{name}.avro")
        shutil.copy(path, tmp_path)
    counts = replay(settings, "ZTF", [tmp_path])
    assert (counts.alerts, counts.dead) == (2, 4)


def run(settings: Settings, *arguments: str, code: int = 0) -> str:
    from boom_streams.settings import current_settings as read_once

    read_once.cache_clear()
    result = CliRunner(env=environment(settings)).invoke(cli, ["replay", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_says_how_many(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_bytes(container(*map(alert, range(5))))
    assert run(settings, "ztf", str(tmp_path), "--limit", "4").startswith("4 alerts (")
    assert len(raw(settings)) == 4


def test_the_command_names_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    assert "absent" in run(settings, "ztf", str(tmp_path / "absent"), code=1)
    assert "among the surveys of this broker: ztf" in run(settings, "lsst", str(tmp_path), code=2)


def test_a_replay_without_an_alert_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "noise.avro").write_bytes(b"no avro")
    told = run(settings, "ztf", str(tmp_path), code=1)
    assert "Error: not one of the 1 containers has an alert that can be sent" in told
    assert "`boom-streams dead list` says what is wrong" in told
    (tmp_path / "good.avro").write_bytes(container(alert(1)))
    assert "`boom-streams dead list` says what is wrong" in run(settings, "ztf", str(tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"partitions": 16}, "`partitions` is 16"), ({"kafka": "127.0.0.1:1"}, "Kafka does not answer at 127.0.0.1:1")],
)
def test_a_broker_that_cannot_take_a_night_is_told_of_at_once(
    settings: Settings, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    (tmp_path / "good.avro").write_bytes(container(alert(1)))
    began = time.monotonic()
    with pytest.raises(ServiceError, match=told):
        replay(settings.model_copy(update=change), "ZTF", [tmp_path])
    assert time.monotonic() - began < 10
    assert raw(settings) == []
