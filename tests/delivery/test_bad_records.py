"""What a record does wrong becomes one dead letter; its neighbours in the batch pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.kafka.reading import headers_of
from boom_streams.kafka.writer import Writer
from tests.delivery.harness import STAGE, Bench

#: What bad records do, and what their dead letters say.
BAD = {
    3: ({"do": "raise"}, "RuntimeError: made to fail"),
    4: ({"do": "bad"}, "made to be bad"),
    7: ({"do": "few"}, "TypeError: 0 results for 1 records"),
    11: ({"do": "raise", "text": "half a pair \ud800"}, r"RuntimeError: half a pair \ud800"),
    12: ({"do": "large"}, "bytes; Kafka takes 12582912"),
    18: ({"do": "large value"}, "bytes; Kafka takes 12582912"),
}


def tasks(count: int) -> list[dict[str, Any]]:
    return [{"id": i, "key": f"k{i % 3}", **(BAD[i][0] if i in BAD else {})} for i in range(count)]


@pytest.mark.parametrize("role", ["enrich", "classify"])
def test_bad_records_are_found_in_their_batch(make_bench: Callable[..., Bench], role: str) -> None:
    bench = make_bench(role=role)
    bench.produce(tasks(20))
    bench.run_until_committed()
    good = [i for i in range(20) if i not in BAD]
    assert bench.ids() == good
    assert bench.rebuilt() == bench.stored() == {f"k{k}": [i for i in good if i % 3 == k] for k in range(3)}
    letters = bench.dead_letters()
    assert [json.loads(m.value())["id"] for m in letters] == list(BAD)
    for message, (task, reason) in zip(letters, BAD.values(), strict=True):
        headers = {name: value.decode() for name, value in headers_of(message).items()}
        assert reason in headers["dead.reason"]
        assert (headers["dead.stage"], headers["dead.topic"]) == (STAGE, bench.raw)
        assert headers["dead.offset"] == str(json.loads(message.value())["id"])
        assert "Traceback" in headers["dead.traceback"]
        assert task["do"] in message.value().decode()


def test_a_dead_letter_is_the_record_as_it_came(bench: Bench) -> None:
    nearly_all = b"\xff" * ((12 << 20) - 1000)
    headers = [("role", b"x"), ("role", b"y"), ("none", None), ("received", b"1700000000000")]
    sent = [(b"not JSON", b"k", headers), (None, None, []), (b"", b"", []), (nearly_all, b"k", [])]
    writer = Writer(bench.settings)
    for value, key, given in sent:
        writer.send(bench.raw, value, key, 0, given)  # type: ignore[arg-type]
    writer.finish()
    bench.run_until_committed()
    letters = bench.dead_letters()
    assert [(m.value(), m.key()) for m in letters] == [(value, key) for value, key, _ in sent]
    came = [(name, value) for name, value in letters[0].headers() if name.startswith("orig.")]
    assert came == [(f"orig.{name}", value) for name, value in headers]
    assert headers_of(letters[0])["dead.timestamp"] == b"1700000000000"
    assert headers_of(letters[0])["dead.reason"].startswith(b"JSONDecodeError")
    assert headers_of(letters[1])["dead.reason"] == b"the record has no value"


def test_a_record_that_kills_the_process_is_found(make_bench: Callable[..., Bench]) -> None:
    """Two of them side by side, in one batch: neither is tried again when the other is found."""
    bench = make_bench(batch_ms=500)
    deadly = [4, 5]
    bench.produce([{"id": i, "key": "k", **({"do": "kill"} if i in deadly else {})} for i in range(10)])
    exits = []
    for _ in range(3 + len(deadly)):
        exits.append(bench.start().wait(60))
    assert exits == [-9] * 5, bench.log().read_text()[-3000:]
    bench.run_until_committed()
    letters = bench.dead_letters()
    assert [json.loads(m.value())["id"] for m in letters] == deadly
    assert {headers_of(m)["dead.reason"] for m in letters} == {b"the process died whenever it handled this record"}
    good = [i for i in range(10) if i not in deadly]
    assert sorted(set(bench.ids())) == good
    assert bench.rebuilt() == bench.stored() == {"k": good}


def test_no_record_is_blamed_for_rocksdb(bench: Bench) -> None:
    """The record was in hand at three deaths, and is tried alone: one more would be its last."""
    name = f"{STAGE} {bench.raw}/0/2"
    journal = bench.folder / "a" / "journal.json"
    journal.parent.mkdir()
    journal.write_text(json.dumps({"in_hand": [], "deaths": {name: 3}, "deadly": []}))
    bench.produce([{"id": i, "key": "k", **({"do": "store"} if i == 2 else {})} for i in range(5)])
    assert bench.start().wait(60) == 70
    assert "cannot be read" in bench.log().read_text()
    assert json.loads(journal.read_text()) == {"in_hand": [], "deaths": {name: 3}, "deadly": []}
    bench.open_gate("store")
    bench.run_until_committed()
    assert sorted(set(bench.ids())) == list(range(5))
    assert bench.dead_letters() == []


def test_a_record_that_makes_the_process_exit_is_found(bench: Bench) -> None:
    """It was in hand at three deaths, and is tried alone."""
    journal = bench.folder / "a" / "journal.json"
    journal.parent.mkdir()
    deaths = {f"{STAGE} {bench.raw}/0/1": 3}
    journal.write_text(json.dumps({"in_hand": [], "deaths": deaths, "deadly": []}))
    bench.produce([{"id": i, "key": "k", **({"do": "exit"} if i == 1 else {})} for i in range(3)])
    assert bench.start().wait(60) == 70
    bench.run_until_committed()
    assert [json.loads(m.value())["id"] for m in bench.dead_letters()] == [1]
    assert sorted(set(bench.ids())) == [0, 2]


def test_no_record_is_blamed_for_a_full_disk(make_bench: Callable[..., Bench]) -> None:
    """In one batch, so that all would be."""
    bench = make_bench(batch_ms=500)
    bench.produce([{"id": i, "key": "k", **({"do": "full"} if i == 2 else {})} for i in range(5)])
    assert bench.start().wait(60) == 70
    assert "journal.json: No space left on device" in bench.log().read_text()
    bench.open_gate("full")
    bench.run_until_committed()
    assert sorted(set(bench.ids())) == list(range(5))
    assert bench.dead_letters() == []


def test_what_kafka_refuses_ends_the_worker(bench: Bench) -> None:
    """A topic that takes less than the broker says: a mistake of an operator, not of the record."""
    bench.limit(bench.enriched, 1000)
    bench.produce([{"id": 0, "key": "k"}, {"id": 1, "key": "k", "text": "x" * 2000}])
    for _ in range(2):
        assert bench.start().wait(60) == 70
    assert "could not send to Kafka" in bench.log().read_text()
    assert json.loads((bench.folder / "a" / "journal.json").read_text())["deaths"] == {}
    bench.limit(bench.enriched, MAX_BYTES)
    bench.run_until_committed()
    assert sorted(set(bench.ids())) == [0, 1]
    assert bench.dead_letters() == []
