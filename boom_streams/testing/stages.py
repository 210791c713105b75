"""The stages in memory: containers in, records of each stage out, by the code that the workers run.

* `run` runs a stage on a batch of records, with tables in memory: `MemoryTable`
* `enriched`, `classified` and `filtered` make the records of a stage from those of the one before it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from boom_streams import names
from boom_streams.agents.classify import Classifier, classified_values, take
from boom_streams.agents.delivery.loop import Process, Record, Result, Work
from boom_streams.agents.delivery.output import Send
from boom_streams.agents.enrich import enriched_record
from boom_streams.crossmatch import Matches
from boom_streams.ingest import raw_records as raw
from boom_streams.models import Scorer
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import Passed, encode_body
from boom_streams.settings import Settings
from boom_streams.surveys import Alert, Survey, get_survey, packed_points
from boom_streams.tables.objects import history
from boom_streams.tables.objects.chunks import Store

__all__ = [
    "NO_MODELS",
    "RECEIVED",
    "ZTF",
    "Memory",
    "MemoryTable",
    "alerts",
    "arrival",
    "classified",
    "enriched",
    "filtered",
    "points_of",
    "raw_records",
    "record",
    "run",
]

#: The survey whose records these are unless another is named.
ZTF = get_survey("ZTF")

#: What a stage without models scores with.
NO_MODELS = Classifier({"ZTF": Scorer(None, [])})

#: Time of the first raw record, Julian date (UTC); each further one is a second later.
RECEIVED = 2460500.5


class Memory(dict[bytes, bytes]):
    """A table as one record sees it, with the order of its puts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.puts: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.puts.append((key, value))
        self[key] = value


@dataclass
class MemoryTable:
    """What a stage needs of a table, over dictionaries; one a partition."""

    name: str
    partitions: dict[int, dict[bytes, bytes]] = field(default_factory=dict)

    def reader(self, partition: int) -> Any:
        """Function that reads the value of a key."""
        return self.partitions.setdefault(partition, {}).get


def run(process: Process, records: Sequence[Record], *tables: MemoryTable) -> list[Result]:
    """Run a stage on a batch and write its tables."""
    work = Work(list(records), cast(Any, {table.name: table for table in tables}))
    results = process(work)
    for (name, partition), writes in work.writes.items():
        (table,) = [table for table in tables if table.name == name]
        table.partitions.setdefault(partition, {}).update({key: value for key, (_, value) in writes.items()})
    return results


def record(send: Send, offset: int = 0, timestamp: float = 1.7e9) -> Record:
    """A record as a stage gets it, from what another sent."""
    value = b"".join(send.value) if isinstance(send.value, tuple) else send.value or b""
    headers = {name: held or b"" for name, held in send.headers}
    return Record(send.topic, send.partition, offset, timestamp, send.key, value, headers)


def raw_records(container: bytes, settings: Settings, survey: Survey = ZTF) -> list[Record]:
    """Raw records of a container, as the one writer makes them."""
    topic = names.topic(survey.name, "raw", settings.topic_prefix)
    return [
        Record(topic, r.partition, offset, 1.7e9, r.key, r.value, dict(r.headers))
        for offset, r in enumerate(raw.raw_batch([container], survey, settings.partitions).records)
    ]


def alerts(containers: Sequence[bytes], survey: Survey = ZTF) -> list[Alert]:
    """Decoded alerts of containers that are all good."""
    decoded = survey.decode(containers)
    assert all(isinstance(alert, Alert) for alert in decoded), decoded
    return cast(list[Alert], decoded)


def enriched(containers: Sequence[bytes], survey: Survey = ZTF) -> list[bytes]:
    """Enriched records of containers, received a second apart."""
    return [
        enriched_record(alert, RECEIVED + index / 86400, Matches())
        for index, alert in enumerate(alerts(containers, survey))
    ]


def arrival(value: bytes, survey: Survey = ZTF, days: float = 365.0) -> history.Arrival:
    """What the history is asked with an enriched record."""
    return take(value, survey, days)[1]


def classified(values: Sequence[bytes], store: Store, survey: Survey = ZTF, *, partial: bool = False) -> list[bytes]:
    """Classified records of enriched ones, which are admitted to the history in their order."""
    admitted = []
    for value in values:
        fields, arrived = take(value, survey, 365.0)
        arrived.partial = partial
        admitted.append((fields, arrived, history.admit(store, arrived)))
    return classified_values(admitted, NO_MODELS)


def filtered(
    value: bytes,
    *filter_ids: str,
    annotations: str = "{}",
    survey: Survey = ZTF,
    cutouts: Mapping[str, bytes] | None = None,
) -> bytes:
    """A record of ``<survey>.filtered`` of a classified one that passed some filters."""
    passed = [Passed(name, f"named-{name}", "v1", annotations) for name in filter_ids]
    body = encode_body(survey, bson_records.fields(value), survey.rights.programmes, cutouts)
    return b"".join(body.container(passed))


def points_of(classified_record: Mapping[str, Any], name: str, survey: Survey = ZTF) -> packed_points.Points:
    """A light curve of a decoded classified record."""
    return survey.series[name].loads(classified_record["series"][name])
