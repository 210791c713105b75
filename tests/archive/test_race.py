"""Two sinks write the same alert at the same moment: both parts are there afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from boom_streams.agents.classify import classified_record
from boom_streams.agents.enrich import enriched_record
from boom_streams.archive import Archive, mongo
from boom_streams.crossmatch import Matches
from boom_streams.models import Scores
from boom_streams.schema import bson_records
from boom_streams.settings import Settings
from boom_streams.surveys import get_survey
from boom_streams.tables.objects import history
from tests.support.ztf_packets import candidate, container, decode

ALERTS = 300


def records(number: int) -> tuple[bytes, bytes]:
    """An alert as enriched and as classified."""
    alert = decode(container(objectId=f"ZTF00{number:07d}", candid=number + 1, candidate=candidate(candid=number + 1)))
    enriched = enriched_record(alert, 2460001.5, Matches())
    arrival = history.Arrival(get_survey("ztf"), alert.object_id, alert.candid, alert.jd, alert.programid, alert.series)
    answer = history.admit(Memory(), arrival)
    return enriched, classified_record(bson_records.fields(enriched), answer, {"star": True}, Scores())


class Memory(dict[bytes, bytes]):
    """A table in memory."""

    put = dict.__setitem__


def test_no_part_of_an_alert_is_lost(settings: Settings) -> None:
    both = [records(number) for number in range(ALERTS)]
    database = mongo.database(settings)
    start = Barrier(2)

    def write(part: int) -> None:
        archive = Archive(database, ["ZTF"])
        store = (archive.write_enriched, archive.write_classified)[part]
        for record in both:
            start.wait()
            store([record[part]])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    assert database["ZTF_alerts"].count_documents({}) == ALERTS
    incomplete = {"$or": [{"candidate": {"$exists": False}}, {"properties": {"$exists": False}}]}
    assert [document["_id"] for document in database["ZTF_alerts"].find(incomplete)] == []
