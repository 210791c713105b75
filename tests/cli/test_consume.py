"""Reading what passed a filter."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from boom_streams import names
from boom_streams.archive import ensure, mongo
from boom_streams.cli import cli
from boom_streams.errors import BoomError
from boom_streams.filters import FilterStore
from boom_streams.kafka import clients, topics
from boom_streams.kafka.writer import Writer
from boom_streams.operate.supervise import environment
from boom_streams.publish.results import for_json, passing
from boom_streams.schema.filtered import decode_filtered, filtered_schema
from boom_streams.settings import Settings
from boom_streams.testing import sample_packets
from tests.support.html_tree import parse

ANNOTATIONS = '{"age": 3.25, "n": 2}'


def record(candid: int, *filters: str) -> bytes:
    alert: dict[str, Any] = {
        "survey": "ZTF",
        "objectId": f"ZTF21abcde{candid:02}",
        "candid": candid,
        "jd": 2460000.5,
        "ra": 150.123456,
        "dec": -20.5,
        "programid": 1,
        "received": 2460000.6,
        "band": "r",
        "magnitude": 18.456,
        "magnitude_error": 0.1,
        "history": "complete",
        "filters": [
            {"filter_id": f"id-{name}", "name": name, "fid": f"v-{name}", "annotations": ANNOTATIONS}
            for name in filters
        ],
        "classifications": [],
        "photometry": [],
        "cutoutScience": b"\x1f\x8b",
        "cutoutTemplate": None,
        "cutoutDifference": None,
        "cutouts_missing": None,
    }
    stream = io.BytesIO()
    fastavro.writer(stream, filtered_schema(), [alert])
    return stream.getvalue()


@pytest.fixture
def settings(make_settings) -> Settings:
    made = make_settings(partitions=2)
    topics.ensure_topics(made)
    topics.ensure_filter_topic(made, "fast")
    return made


def publish(settings: Settings, topic: str, *containers: bytes) -> None:
    writer = Writer(settings)
    count = clients.partition_counts(settings)[settings.topic_prefix + topic]
    for number, container in enumerate(containers):
        writer.send(settings.topic_prefix + topic, container, None, number % count)
    writer.finish()


def run(settings: Settings, *arguments: str, code: int = 0) -> str:
    from boom_streams.settings import current_settings as read_once

    read_once.cache_clear()
    result = CliRunner(env=environment(settings)).invoke(cli, ["consume", *arguments, "--timeout", "2"])
    read_once.cache_clear()
    assert result.exit_code == code, result.output
    return result.output


def test_the_table_has_what_a_person_asks_for(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(1, "fast"))
    shown = run(settings, "fast", "--limit", "1")
    for expected in ("ZTF21abcde01", "150.12346", "-20.50000", " r ", "18.46", "fast", "age=3.25, n=2"):
        assert expected in shown


def test_json_lines_are_whole_but_for_the_cutouts(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(1, "fast"), record(2, "fast"))
    found = sorted((json.loads(line) for line in run(settings, "fast", "--json").splitlines()), key=str)
    assert [alert["candid"] for alert in found] == [1, 2]
    assert found[0]["ra"] == 150.123456
    assert "cutoutScience" not in found[0]


def test_avro_files_are_the_records_as_they_came(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "filtered.fast", record(7, "fast"))
    run(settings, "fast", "--avro-dir", str(tmp_path / "out"))
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "7_v-fast.avro"
    assert decode_filtered(file.read_bytes())["cutoutScience"] == b"\x1f\x8b"


def test_results_of_two_versions_are_two_files(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "filtered.fast", record(7, "fast"), record(7, "slow"), record(7, "fast", "slow"))
    publish(settings, "filtered.fast", record(7, "../../x"), record(7, "fast"))
    run(settings, "fast", "--avro-dir", str(tmp_path / "out"))
    names_of_files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert len(names_of_files) == 4
    assert names_of_files[2:] == ["7_v-fast.avro", "7_v-slow.avro"]


def test_a_program_gets_exact_ids_and_annotations_as_an_object(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(2475433850015010009, "fast"))
    (line,) = run(settings, "fast", "--json").splitlines()
    alert = json.loads(line)
    assert alert["candid"] == 2475433850015010009
    assert alert["candid_text"] == "2475433850015010009"
    assert alert["filters"][0]["annotations"] == {"age": 3.25, "n": 2}


def test_numbers_that_programs_would_round_have_texts_beside_them() -> None:
    deep = '{"a": ' * 600 + "1" + "}" * 600
    annotations = ['{"id": 9007199254740993, "small": 7, "far": [{"id": -9007199254740993}]}', "no JSON", deep]
    made = for_json({"candid": 5, "stamp": b"x", "filters": [{"annotations": text} for text in annotations]})
    assert (made["candid"], made["candid_text"], "stamp" in made) == (5, "5", False)
    first, second, third = (passed["annotations"] for passed in made["filters"])
    assert first == {
        "id": 9007199254740993,
        "id_text": "9007199254740993",
        "small": 7,
        "far": [{"id": -9007199254740993, "id_text": "-9007199254740993"}],
    }
    assert second == {"annotations": "no JSON"}
    assert json.dumps(third).count("a") >= 600


def test_a_foreign_record_is_passed_over_with_a_line(settings: Settings) -> None:
    other = io.BytesIO()
    schema = {"type": "record", "name": "t[/b]", "fields": [{"name": "candid", "type": "string"}]}
    fastavro.writer(other, schema, [{"candid": "../../x"}])
    foreign = [b"", b"no avro", other.getvalue(), record(1, "fast")[:-40]]
    publish(settings, "filtered.fast", *foreign, record(1, "fast"), *([b"x"] * 10))
    output = run(settings, "fast", "--json")
    lines = output.splitlines()
    assert [json.loads(line)["candid"] for line in lines if line.startswith("{")] == [1]
    assert sum("is passed over: no Avro object container" in line for line in lines) == 5
    assert "filtered.fast/0/0 is passed over" in output
    assert "9 more records are passed over" in output


def test_records_of_another_stage_are_told_in_short_lines(settings: Settings) -> None:
    (packet,) = sample_packets("ZTF", 1)
    publish(settings, "ztf.raw", *([packet] * 10))
    told = run(settings, "ztf.raw", code=1).splitlines()
    assert len(told) == 3
    assert "/0 is passed over: an Avro object container of other records than alerts that passed a filter" in told[0]
    assert told[1] == "9 more records are passed over"
    assert max(map(len, told)) < 200


def test_the_help_says_when_it_ends() -> None:
    told = " ".join(CliRunner().invoke(cli, ["consume", "--help"]).output.split())
    assert "ends by itself after 5 quiet seconds" in told
    assert "[default: 5.0" in told
    assert "[default: earliest]" in told


def test_of_a_filter_that_has_passed_nothing_its_state_is_told(settings: Settings) -> None:
    store = FilterStore(mongo.database(settings))
    for name in ("fast", "young"):
        store.add(name, "ZTF", [{"$match": {"candid": 1}}, {"$project": {"objectId": 1}}], {"ZTF": [1]})
        store.activate(name)
    assert "filter fast is active, nothing yet" in run(settings, "fast")
    assert "filter young is active, nothing yet" in run(settings, "young")
    store.deactivate("fast")
    assert "filter fast is off; `boom-streams filters activate fast` switches it on" in run(settings, "fast")
    assert "ztf.filtered: nothing has come" in run(settings, "ztf.filtered")


def test_ctrl_c_shows_what_has_come(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(1, "fast"))
    command = [sys.executable, "-m", "boom_streams.cli", "consume", "fast", "--timeout", "60"]
    process = subprocess.Popen(
        command, env=os.environ | environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert "ZTF21abcde01" in shown


def test_the_page_has_a_card_an_alert(settings: Settings, tmp_path: Path) -> None:
    ensure(mongo.database(settings), ["ZTF"])
    mongo.database(settings)["ZTF_alerts_aux"].insert_one(
        {"_id": "ZTF21abcde01", "cross_matches": {"NED": [{"_id": "NGC 1", "distance_arcsec": 2.0}]}}
    )
    mongo.database(settings)["filters"].insert_one({"name": "fast", "survey": "ZTF", "permissions": {"ZTF": [1, 2, 3]}})
    publish(settings, "filtered.fast", record(1, "fast"), record(2, "fast"))
    output = run(settings, "fast", "--page", str(tmp_path / "pages" / "fast.html"))
    assert (tmp_path / "pages" / "fast.html").as_uri() in output
    first, second = sorted(
        parse((tmp_path / "pages" / "fast.html").read_text()).all("article"), key=lambda card: card["id"]
    )
    assert "NGC 1" in first.text
    assert "it cannot be gunzipped" in first.text
    assert "No catalogue has been searched." in second.text
    assert "ZTF21abcde01" in output, "the table is there as well"


def test_without_mongodb_the_page_has_no_matches(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "filtered.fast", record(1, "fast"))
    away = settings.model_copy(update={"mongo_uri": SecretStr("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")})
    run(away, "fast", "--json", "--page", str(tmp_path / "fast.html"))
    assert "The archive was not asked for catalogue matches." in parse((tmp_path / "fast.html").read_text()).text


def test_a_page_that_cannot_be_written_is_an_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    publish(settings, "filtered.fast", record(1, "fast"))
    output = run(settings, "fast", "--page", str(tmp_path / "file" / "fast.html"), code=1)
    assert "the page cannot be written" in output
    assert "ZTF21abcde01" in output


def test_an_alert_delivered_twice_is_shown_once(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(1, "fast"), record(1, "fast"), record(2, "fast"))
    assert len(run(settings, "fast", "--json").splitlines()) == 2


def test_limit(settings: Settings) -> None:
    publish(settings, "filtered.fast", *(record(i, "fast") for i in range(9)))
    assert len(run(settings, "fast", "--json", "--limit", "4").splitlines()) == 4


def test_all_filters_at_once(settings: Settings) -> None:
    publish(settings, "ztf.filtered", record(1, "fast", "slow"))
    (alert,) = passing(settings, "ztf.filtered", quiet_seconds=2)
    assert [row["filter"] for row in alert.rows()] == ["fast", "slow"]


def test_latest_gives_only_what_comes_now(settings: Settings) -> None:
    publish(settings, "filtered.fast", record(1, "fast"))
    assert list(passing(settings, "fast", latest=True, quiet_seconds=0.5)) == []


def test_a_filter_that_is_not_there_is_an_error_that_names_the_others(settings: Settings) -> None:
    assert "no filter and no topic fats; filters with a topic: fast" in run(settings, "fats", code=1)


def test_a_topic_without_results_is_an_error(settings: Settings) -> None:
    publish(settings, "ztf.raw", b"no avro")
    with pytest.raises(BoomError, match=r"the 1 records of .*ztf\.raw that were read are no results of filters"):
        list(passing(settings, names.topic("ZTF", "raw"), quiet_seconds=2))
