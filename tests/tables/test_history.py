"""The history of an object against a slow model, in any order, again and again, and through crashes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.agents.enrich import enriched_record
from boom_streams.astro.sky import mean_position
from boom_streams.crossmatch import Matches
from boom_streams.surveys import packed_points
from boom_streams.tables.objects import history
from boom_streams.testing import stages
from boom_streams.testing.stages import ZTF, Memory
from tests.support.objects import PACKETS, START, Packet, deliveries, known, packets_of, place
from tests.support.ztf_packets import candidate, container, detection, limit

WINDOW = 365.0
many = settings(deadline=None, max_examples=60)


def admit(store: Memory, packet: Packet, **changes: Any) -> history.Answer:
    arrival = stages.arrival(packet.value())
    for name, value in changes.items():
        setattr(arrival, name, value)
    return history.admit(store, arrival)


def answer_bytes(answer: history.Answer) -> tuple[Any, ...]:
    parts = [{name: found.tobytes() for name, found in each.items()} for each in (answer.changed, answer.series)]
    return (answer.revision, parts, answer.replaced, answer.appended, answer.position, answer.history)


def as_documents(series: dict[str, packed_points.Points]) -> dict[str, list[dict[str, Any]]]:
    return {name: ZTF.series[name].to_documents(found) for name, found in series.items()}


def first_deliveries(delivered: list[Packet]) -> list[Packet]:
    return list(dict.fromkeys(delivered))


@given(deliveries(repeats=0))
@many
def test_answers_are_those_of_the_model(delivered: list[Packet]) -> None:
    store = Memory()
    for revision, packet in enumerate(delivered, 1):
        answer = admit(store, packet)
        before, after = known(delivered[: revision - 1]), known(delivered[:revision])
        assert (answer.revision, answer.repeated, answer.history) == (revision, False, "complete")
        changed = {
            name: [
                point
                for identity, point in found.items()
                if before[name].get(identity) != point or identity == packet.candid
            ]
            for name, found in after.items()
        }
        assert as_documents(answer.changed) == {
            name: sorted(found, key=place) for name, found in changed.items() if found
        }
        in_window = {
            name: sorted((p for p in found.values() if packet.jd - WINDOW <= p["jd"] <= packet.jd), key=place)
            for name, found in after.items()
        }
        assert as_documents(answer.series) == in_window
        since = max(p.jd for p in delivered[:revision]) - WINDOW
        seen = [p for p in after["prv_candidates"].values() if p["jd"] >= since]
        seen.sort(key=place)
        assert answer.position == mean_position([p["ra"] for p in seen], [p["dec"] for p in seen])
        check_how_it_changed(answer, packet, changed, before)


def check_how_it_changed(answer: history.Answer, packet: Packet, changed: Any, before: Any) -> None:
    def identity(point: Any) -> Any:
        return point.get("candid") or (point["jd"], point["fid"], point["programid"])

    replaced = any(identity(p) in before[name] for name, found in changed.items() for p in found)
    later = all(
        min(p["jd"] for p in found) > max((p["jd"] for p in before[name].values()), default=-1.0)
        for name, found in changed.items()
        if found
    )
    old = any(p["jd"] <= packet.jd - WINDOW for found in changed.values() for p in found)
    assert answer.replaced == replaced
    assert answer.appended == (later and not replaced and not old)


@given(PACKETS, st.data())
@many
def test_any_order_and_repetition_ends_in_the_same_table(packets: list[Packet], data: st.DataObject) -> None:
    tables = []
    for _ in range(2):
        store = Memory()
        order = data.draw(st.permutations(packets))
        again = data.draw(st.lists(st.sampled_from(packets), max_size=6))
        for packet in [*order, *again] if data.draw(st.booleans()) else interleaved(data, order, again):
            admit(store, packet)
        tables.append(history.canonical(store.items(), ZTF))
    assert tables[0] == tables[1]


def interleaved(data: st.DataObject, order: list[Packet], again: list[Packet]) -> list[Packet]:
    delivered = list(order)
    for packet in again:
        delivered.insert(data.draw(st.integers(0, len(delivered))), packet)
    return delivered


@given(deliveries())
@many
def test_a_repeated_alert_gets_its_first_answer_and_is_written_again(delivered: list[Packet]) -> None:
    store, first = Memory(), {}
    for packet in delivered:
        before, store.puts = dict(store), []
        answer = admit(store, packet)
        if packet.candid in first:
            assert answer.repeated
            assert answer_bytes(answer) == first[packet.candid][0]
            assert dict(store) == before
            assert {key for key, _ in store.puts} >= first[packet.candid][1]
            assert store.puts[-1][0].count(b":") == 1, "the head is written last"
        else:
            assert not answer.repeated
            first[packet.candid] = answer_bytes(answer), {key for key, _ in store.puts}


def test_the_last_eight_alerts_keep_their_answers() -> None:
    packets = packets_of([float(day) for day in range(12)], seed=5)
    store = Memory()
    first = [answer_bytes(admit(store, packet)) for packet in packets]
    again = [answer_bytes(admit(store, packet)) for packet in packets]
    assert again[-history.KEPT_REVISIONS :] == first[-history.KEPT_REVISIONS :]
    assert [answer[0] for answer in again] == list(range(1, 13)), "older ones keep their number"


def test_an_early_alert_again_after_a_late_one() -> None:
    """The position is that of the first answer, also when its own detection has left the window."""
    early, late = packets_of([0.0, 800.0], seed=1)
    store = Memory()
    first = admit(store, early)
    admit(store, late)
    assert answer_bytes(admit(store, early)) == answer_bytes(first)


@given(deliveries(), st.data())
@many
def test_rebuilt_from_the_changelog_after_a_kill(delivered: list[Packet], data: st.DataObject) -> None:
    """RocksDB has all, the changelog lacks the end: what comes again puts it in."""
    expected = Memory()
    for packet in delivered:
        admit(expected, packet)
    acknowledged = data.draw(st.integers(0, len(delivered)))
    processed = data.draw(st.integers(acknowledged, len(delivered)))
    store = Memory()
    for packet in delivered[:acknowledged]:
        admit(store, packet)
    changelog = list(store.puts)
    store.puts = []
    for packet in delivered[acknowledged:processed]:
        admit(store, packet)
    changelog += store.puts[: data.draw(st.integers(0, len(store.puts)))]
    store.puts = []
    for packet in delivered[acknowledged:]:
        admit(store, packet)
    rebuilt = dict([*changelog, *store.puts])
    assert rebuilt == dict(store)
    assert history.canonical(rebuilt.items(), ZTF) == history.canonical(expected.items(), ZTF)


@given(deliveries(), st.data())
@many
def test_crash_in_the_middle_of_the_changelog(delivered: list[Packet], data: st.DataObject) -> None:
    """RocksDB is gone, the changelog has a part of what an alert wrote: chunks without their head."""
    expected = Memory()
    answers = {packet.candid: answer_bytes(admit(expected, packet)) for packet in delivered}
    acknowledged = data.draw(st.integers(0, len(delivered)))
    lost = Memory()
    sizes = []
    for packet in delivered:
        sizes.append(len(lost.puts))
        admit(lost, packet)
    least = [*sizes, len(lost.puts)][acknowledged]
    store = Memory(lost.puts[: data.draw(st.integers(least, len(lost.puts)))])
    for packet in delivered[acknowledged:]:
        assert answer_bytes(admit(store, packet)) == answers[packet.candid]
    assert history.canonical(store.items(), ZTF) == history.canonical(expected.items(), ZTF)


def test_programmes_at_one_time_are_sorted_whoever_came_first() -> None:
    jd = START - 1
    points_at = [detection(jd, None, programid=2), limit(jd, programid=2)]
    others = [detection(jd, None, programid=1), limit(jd, programid=1)]
    packets = [
        Packet(5, START, container(candid=5, candidate=candidate(jd=START, candid=5), prv_candidates=points_at)),
        Packet(6, START, container(candid=6, candidate=candidate(jd=START, candid=6), prv_candidates=others)),
    ]
    for order in (packets, packets[::-1]):
        store = Memory()
        answer = [admit(store, packet) for packet in order][-1]
        assert answer.series["prv_candidates"]["programid"].tolist()[:2] == [1, 2]
        assert answer.series["prv_nondetections"]["programid"].tolist() == [1, 2]


def test_a_detection_whose_time_is_revised_across_a_month_is_one_point() -> None:
    edge = (START // 30 + 1) * 30
    own = {candid: candidate(jd=edge + 5, candid=candid) for candid in (5, 6)}
    packets = [
        Packet(candid, edge + 5, container(candid=candid, candidate=own[candid], prv_candidates=[detection(jd, 9)]))
        for candid, jd in ((5, edge - 0.01), (6, edge + 0.01))
    ]
    store = Memory()
    for packet in (*packets, packets[1]):
        answer = admit(store, packet)
    assert answer.series["prv_candidates"]["candid"].tolist() == [9, 5, 6]
    reloaded = admit(Memory(store.puts), packets[1])
    assert answer_bytes(reloaded) == answer_bytes(answer)


def test_an_object_whose_id_looks_like_another_ones_month_is_apart() -> None:
    """Whatever an objectId holds, it is the key of nothing else: ``:``, ``%``, and what they are escaped as."""
    jd = 2460000.5
    month = int(jd // 30)
    ids = ["ZTF00aaaaaaa", f"ZTF00aaaaaaa:{month}", f"ZTF00aaaaaaa%3A{month}", f"ZTF00aaaaaaa%253A{month}", ":", "%"]
    store = Memory()
    for turn in (0, 1):
        for number, object_id in enumerate(ids):
            candid = 10 * number + turn + 1
            value = container(candidate=candidate(jd=jd + turn), candid=candid, objectId=object_id, prv_candidates=None)
            answer = history.admit(store, stages.arrival(enriched_record(stages.alerts([value])[0], jd, Matches())))
            assert answer.revision == turn + 1
            assert answer.series["prv_candidates"]["candid"].tolist() == [candid - i for i in range(turn, -1, -1)]
