"""Dead letters: listed once, shown whole, replayed to where they came from."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import fastavro
import pytest
from click.testing import CliRunner

from boom_streams import names
from boom_streams.cli import cli
from boom_streams.errors import BoomError
from boom_streams.kafka import clients, topics
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate import dead_letters
from boom_streams.operate.supervise import environment
from boom_streams.schema.dead_letters import letter_headers
from boom_streams.settings import Settings
from tests.support.alerts import alert_schema

SCHEMA = alert_schema("jd", "ra", "dec")


def alert(candid: int = 1) -> bytes:
    stream = io.BytesIO()
    candidate = {"jd": 2460000.5, "ra": 1.0, "dec": 2.0}
    fastavro.writer(stream, SCHEMA, [{"objectId": "ZTF", "candid": candid, "candidate": candidate}])
    return stream.getvalue()


@pytest.fixture
def settings(make_settings) -> Settings:
    made = make_settings(partitions=2)
    topics.ensure_topics(made)
    return made


def topic(settings: Settings, stage: str) -> str:
    return names.topic("ZTF", stage, settings.topic_prefix)


def bury(
    settings: Settings,
    stage: str,
    value: bytes,
    offset: int,
    *,
    source: str = "raw",
    copies: int = 1,
    **orig: bytes,
) -> str:
    """Put a letter where a stage would; return its id."""
    record = (topic(settings, source), 1, offset)
    headers = letter_headers(stage, f"{stage} says no", record, 1_700_000_000_000, list(orig.items()), "Traceback …")
    writer = Writer(settings)
    for _ in range(copies):
        writer.send(topic(settings, "dead"), value, b"key", 1, headers)
    writer.finish()
    return f"{record[0]}/1/{offset}"


def run(settings: Settings, *arguments: str, code: int = 0) -> str:
    from boom_streams.settings import current_settings as read_once

    read_once.cache_clear()
    result = CliRunner(env=environment(settings)).invoke(cli, ["dead", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_copies_of_a_letter_count_once(settings: Settings) -> None:
    bury(settings, "enrich", b"one", 7, copies=3)
    bury(settings, "classify", b"two", 7, source="enriched")
    found = dead_letters.letters(settings)
    assert [(a.stage, a.offset, a.size) for a in found] == [("classify", 7, 3), ("enrich", 7, 3)]
    assert dead_letters.count(settings) == {"ZTF": 2}


def test_a_letter_has_all_of_the_record(settings: Settings) -> None:
    name = bury(settings, "enrich", b"bytes", 7, role=b"margin", empty=b"")
    (letter,) = dead_letters.letters(settings)
    assert letter.id == name
    original = dead_letters.read(settings, letter)
    assert (original.key, original.headers) == (b"key", [("role", b"margin"), ("empty", b"")])
    assert (letter.reason, original.traceback) == ("enrich says no", "Traceback …")
    assert letter.timestamp == 1_700_000_000_000
    assert dead_letters.read_value(settings, letter) == b"bytes"


def test_a_letter_from_raw_is_keyed_anew(settings: Settings) -> None:
    value = alert()
    bury(settings, "enrich", value, 7)
    done = dead_letters.replay(settings, dead_letters.letters(settings))
    assert (done.sent, done.refused) == (1, {})
    (message,) = scan(settings, [topic(settings, "raw")])
    assert message.value() == value
    assert message.key() != b"key"
    assert headers_of(message) == {"received": b"1700000000000"}
    assert message.timestamp()[1] > (time.time() - 600) * 1000, "or retention would delete it unread"


@pytest.mark.parametrize(("source", "headers"), [("enriched", {"a": b"1"}), ("raw", {"role": b"margin"})])
def test_any_other_letter_goes_back_as_it_was(settings: Settings, source: str, headers: dict) -> None:
    bury(settings, "classify", b"\x00any", 7, source=source, **headers)
    dead_letters.replay(settings, dead_letters.letters(settings))
    (message,) = scan(settings, [topic(settings, source)])
    assert (message.value(), message.key(), message.partition()) == (b"\x00any", b"key", 1)
    assert headers_of(message) == headers
    assert message.timestamp()[1] > (time.time() - 600) * 1000, "or retention would delete it unread"


def test_replayed_letters_leave_the_list_and_a_new_failure_is_a_new_letter(settings: Settings) -> None:
    bury(settings, "classify", b"x", 7, source="enriched")
    dead_letters.replay(settings, dead_letters.letters(settings))
    assert dead_letters.letters(settings) == []
    assert [a.replayed for a in dead_letters.letters(settings, replayed=True)] == [True]
    bury(settings, "classify", b"x", 7, source="enriched")  # the same letter, delivered late
    assert dead_letters.letters(settings) == []
    bury(settings, "classify", b"x", 12, source="enriched")
    assert [a.offset for a in dead_letters.letters(settings)] == [12]


def test_what_is_still_no_alert_is_not_written(settings: Settings) -> None:
    name = bury(settings, "enrich", b"no avro", 7)
    bury(settings, "enrich", alert(), 8)
    done = dead_letters.replay(settings, dead_letters.letters(settings))
    assert done.sent == 1
    assert list(done.refused) == [name]
    assert [a.id for a in dead_letters.letters(settings)] == [name]
    assert len(list(scan(settings, [topic(settings, "raw")]))) == 1


def test_many_letters_are_replayed_each_once(settings: Settings) -> None:
    writer = Writer(settings)
    for number in range(1200):
        record = (topic(settings, "enriched"), 0, number)
        headers = letter_headers("classify", "no", record, 1_700_000_000_000)
        writer.send(topic(settings, "dead"), b"%d" % number, None, number % 2, headers)
    writer.finish()
    chosen = [letter for letter in dead_letters.letters(settings) if letter.offset % 3 == 0]
    assert dead_letters.replay(settings, chosen).sent == 400
    found = sorted(int(m.value()) for m in scan(settings, [topic(settings, "enriched")]))
    assert found == list(range(0, 1200, 3))
    assert dead_letters.count(settings) == {"ZTF": 800}


def test_list_and_show(settings: Settings, tmp_path: Path) -> None:
    name = bury(settings, "enrich", b"bytes", 7)
    bury(settings, "classify", b"other", 7, source="enriched")
    (line,) = run(settings, "list", "--stage", "enrich", "--json").splitlines()
    assert json.loads(line)["record"] == name
    assert "classify says no" in run(settings, "list")
    shown = run(settings, "show", name, "--save", str(tmp_path / "a.avro"))
    assert "enrich says no" in shown
    assert "Traceback …" in shown
    assert (tmp_path / "a.avro").read_bytes() == b"bytes"


def test_replay_of_chosen_and_of_all(settings: Settings) -> None:
    name = bury(settings, "enrich", alert(1), 7)
    bury(settings, "enrich", alert(2), 8)
    bury(settings, "classify", b"x", 8, source="enriched")
    assert "replayed 1 of 1" in run(settings, "replay", name)
    assert "replayed 1 of 1" in run(settings, "replay", "--all", "--stage", "classify")
    assert "replayed 1 of 1" in run(settings, "replay", "--all")
    assert "no dead letters" in run(settings, "list")


def test_mistakes_are_explained(settings: Settings) -> None:
    assert "no dead letter ztf.raw/0/1" in run(settings, "show", "ztf.raw/0/1", code=1)
    assert "name the records, or say --all" in run(settings, "replay", code=2)


def test_a_letter_that_retention_took_is_named(settings: Settings) -> None:
    bury(settings, "enrich", b"x", 7)
    (letter,) = dead_letters.letters(settings)
    from confluent_kafka import TopicPartition

    (future,) = clients.admin(settings).delete_records([TopicPartition(topic(settings, "dead"), 1, 1)]).values()
    future.result()
    with pytest.raises(BoomError, match="no longer in"):
        dead_letters.read_value(settings, letter)


def bury_many(settings: Settings, count: int, size: int = 1) -> None:
    writer = Writer(settings)
    for number in range(count):
        record = (topic(settings, "enriched"), 0, number)
        headers = letter_headers("classify" if number % 4 else "enrich", "no", record, 1_700_000_000_000)
        writer.send(topic(settings, "dead"), b"x" * size, None, 0, headers)
    writer.finish()


def test_the_newest_are_listed_without_reading_the_others(settings: Settings) -> None:
    bury_many(settings, 1000)
    listed = dead_letters.newest(settings, 10)
    assert [letter.offset for letter in listed.letters] == list(range(990, 1000))
    assert listed.older == 990
    assert next(a.offset for a in dead_letters.newest(settings, 200, stage="enrich").letters) == 200
    assert len(dead_letters.newest(settings, 2000).letters) == 1000
    assert dead_letters.newest(settings, 2000).older == 0
    printed = run(settings, "list", "--limit", "3")
    assert "3 dead letters" in printed
    assert "997 older records" in printed
    assert len(run(settings, "list", "--all", "--json").splitlines()) == 1000
    old = f"{topic(settings, 'enriched')}/0/3"
    assert json.loads(run(settings, "show", old, "--json"))["record"] == old


def test_counting_stops_after_some_time_and_gives_the_most_that_there_may_be(settings: Settings) -> None:
    bury_many(settings, 1000)
    assert dead_letters.count(settings, seconds=0) == {"ZTF": 1000}
    dead_letters.replay(settings, dead_letters.newest(settings, 100).letters)
    assert dead_letters.count(settings) == {"ZTF": 900}
    assert dead_letters.count(settings, seconds=0)["ZTF"] >= 900


@pytest.mark.parametrize("milliseconds", [-1_000_000_000_000_000, 900_000_000_000_000_000])
def test_any_timestamp_can_be_listed_and_replayed(settings: Settings, milliseconds: int) -> None:
    headers = letter_headers("classify", "no", (topic(settings, "enriched"), 0, 7), milliseconds)
    writer = Writer(settings)
    writer.send(topic(settings, "dead"), b"x", None, 0, headers)
    writer.finish()
    assert f"{milliseconds} ms since 1970" in " ".join(run(settings, "list", "--json").split())
    assert "replayed 1 of 1" in run(settings, "replay", "--all")


def test_what_is_no_letter_is_passed_over(settings: Settings) -> None:
    bury(settings, "enrich", b"x", 7)
    writer = Writer(settings)
    writer.send(topic(settings, "dead"), b"foreign", None, 0)
    writer.finish()
    assert [letter.offset for letter in dead_letters.letters(settings)] == [7]
    assert "1 dead letter" in run(settings, "list")
