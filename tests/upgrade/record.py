"""Records a sample of everything that this release writes and that lives on, for tests of upgrades from it.

    python tests/upgrade/record.py              into tests/upgrade/data/<release>

A made-up night goes through the chain in five parts, each with a role less than the one before, so that every topic is
left with work for somebody, and a broker that is upgraded has to go on in the middle: the last alerts lie in the raw
topic, those before are enriched and no more, and so on.

A sample is made once, with the code of its release, and kept. `tests.upgrade.load` brings it into a Kafka and a
MongoDB.

This script recorded release 0.1.0 and runs only with that release's code, whose modules it names: it stays as the
description of how the sample was made, and as the beginning of the next release's own.
"""

# ruff: noqa: I001 - modules of a release that is gone are not known to be this project's

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import bson
import numpy as np
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource, ConfigSource

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from boom_streams import layout, mongo, names, offsets, raw, services, sky, status  # noqa: E402
from boom_streams.cli.signals import interrupt_on_sigterm  # noqa: E402
from boom_streams.demo_equipment import import_catalogs  # noqa: E402
from boom_streams.filters import FilterStore  # noqa: E402
from boom_streams.init import initialise  # noqa: E402
from boom_streams.kafka import admin, partition_counts  # noqa: E402
from boom_streams.replay import replay  # noqa: E402
from boom_streams.settings import Settings, load_settings  # noqa: E402
from boom_streams.supervise import Supervisor  # noqa: E402
from boom_streams.synthetic import make_night, stamps  # noqa: E402
from boom_streams.writer import Writer  # noqa: E402
from tests.upgrade.sample import (  # noqa: E402
    DATA,
    Collection,
    Record,
    Sample,
    Topic,
    counts,
    pack_workers,
    worker_files,
    write,
)

PARTITIONS = 2

#: A night that has margin records at its beginning and at its end, and objects old and new in every part.
SEED = 115

#: Roles that run, and the alerts that they get: the last alerts stay in the raw topic.
PARTS = tuple((names.ROLES[:count], alerts) for count, alerts in ((4, 16), (3, 4), (2, 4), (1, 4), (0, 4)))

#: Left out, so that alerts say why they were not matched with it.
NOT_IMPORTED = "DESI_DR1"

#: Pixels are rounded to so many counts: with their noise in full precision they do not pack at all.
COUNTS = np.float32(4.0)

#: Seconds that a part of the night may take.
PATIENCE = 120.0

#: Filters: pipelines of all versions, the last one active.
FILTERS: dict[str, list[list[dict[str, Any]]]] = {
    "bright": [
        [
            {"$match": {"candidate.magpsf": {"$lt": limit}}},
            {"$project": {"objectId": 1, "annotations.magnitude": "$candidate.magpsf"}},
        ]
        for limit in (17.0, 18.0)
    ],
    "repeated": [
        [
            {"$match": {"prv_candidates.24": {"$exists": True}}},
            {"$project": {"objectId": 1, "annotations.detections": {"$size": "$prv_candidates"}}},
        ]
    ],
}


def main() -> None:
    """Record the sample, and say what is in it."""
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    parser = argparse.ArgumentParser(description="Record a sample of everything that this release writes.")
    parser.add_argument("--folder", type=Path, default=DATA / release, help="default: %(default)s")
    folder = parser.parse_args().folder.absolute()
    for name in [name for name in os.environ if name.startswith("BOOM_")]:
        del os.environ[name]
    with interrupt_on_sigterm(), _broker() as settings:
        _run_night(settings)
        sample = Sample(_topics(settings), _records(settings), _committed(settings), _collections(settings))
        workers = settings.data_dir / "workers"
        problems = _missing(sample)
        problems += _private(sample, workers, [str(ROOT), str(Path.home()), os.getcwd(), sys.prefix])
        if problems:
            raise RuntimeError("; ".join(problems))
        recorded = time.strftime("%Y-%m-%d", time.gmtime())
        write(folder, sample, {"release": release, "recorded": recorded, "partitions": PARTITIONS})
        pack_workers(folder, workers)
    for file in sorted(folder.iterdir()):
        print(f"{file.name}: {file.stat().st_size} bytes")


@contextmanager
def _broker() -> Iterator[Settings]:
    """A Kafka and a MongoDB of this run's own; the names of files that it stores are relative."""
    with tempfile.TemporaryDirectory() as place, chdir(place):
        endpoints = services.start("boom")
        try:
            yield load_settings(
                kafka=endpoints.kafka,
                mongo_uri=endpoints.mongo_uri,
                partitions=PARTITIONS,
                data_dir=Path("boom"),
                catalogs_dir=Path("descriptions"),
            )
        finally:
            offsets.disconnect()
            services.stop("boom")


def _run_night(settings: Settings) -> None:
    """Make a night, and have each part of it handled by some of the roles."""
    night = Path("night")
    with mock.patch.object(stamps, "draw", _rounded(stamps.draw)):
        made = make_night(night, sum(alerts for _, alerts in PARTS), SEED)
    alerts = sorted(night.glob("*.avro"))
    for file in made.catalogs:
        if file.stem == NOT_IMPORTED:
            file.unlink()
    for change in initialise(settings):
        print(change)
    import_catalogs(settings, night / "catalogs", print)
    _add_filters(settings)
    _send_what_is_no_alert(settings)
    for roles, count in PARTS:
        part, alerts = alerts[:count], alerts[count:]
        written = replay(settings, "ZTF", part)
        print(f"{written.alerts} alerts, {written.margins} margin records for {', '.join(roles) or 'nobody'}")
        _work(settings, roles)


def _rounded(draw: Callable[..., stamps.Images]) -> Callable[..., stamps.Images]:
    """Draw stamps of fewer different values, which pack well; everything else about them stays."""

    def rounded(rng: np.random.Generator, scene: stamps.Scene) -> stamps.Images:
        drawn = draw(rng, scene)
        science, template = (np.round(image / COUNTS) * COUNTS for image in (drawn.science, drawn.template))
        return stamps.Images(science, template, science - template)

    return rounded


def _add_filters(settings: Settings) -> None:
    store = FilterStore(mongo.database(settings))
    for name, versions in FILTERS.items():
        for pipeline in versions:
            store.add(name, "ZTF", pipeline, {"ZTF": [1]}, description=f"Alerts that are {name}")
        store.activate(name)


def _send_what_is_no_alert(settings: Settings) -> None:
    """One dead letter of a file that cannot be replayed, and one of a record that cannot be enriched."""
    file = Path("broken") / "broken.avro"
    file.parent.mkdir()
    file.write_bytes(b"no alert, as a file")
    replay(settings, "ZTF", [file])
    key = raw.cell_key(12345)
    writer = Writer(settings)
    topic = names.topic("ZTF", "raw", settings.topic_prefix)
    writer.send(topic, b"no alert, as a record", key, sky.raw_partition(key, PARTITIONS))
    writer.finish()


def _work(settings: Settings, roles: Sequence[str]) -> None:
    """Run workers of some roles until they have nothing left to do."""
    if not roles:
        return
    deadline = time.monotonic() + PATIENCE
    with Supervisor(settings, dict.fromkeys(roles, 1)) as supervisor:
        while left := {where: n for where, n in status.lag(settings).items() if n and where[0] in roles}:
            if exits := supervisor.poll():
                raise RuntimeError(f"worker {exits[0].worker} exited with {exits[0].code}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done within {PATIENCE:g} s: {left}")
            time.sleep(0.2)


def _topics(settings: Settings) -> list[Topic]:
    """All topics but Kafka's own, with what was configured for each."""
    client = admin(settings)
    partitions = {name: n for name, n in partition_counts(settings).items() if not name.startswith("__")}
    return [Topic(name, count, _config(client, name)) for name, count in sorted(partitions.items())]


def _config(client: AdminClient, topic: str) -> dict[str, str]:
    (future,) = client.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in sorted(future.result().items()) if entry.source == own}


def _records(settings: Settings) -> list[Record]:
    """Records of all topics, in the order of topic, partition and offset."""
    found = [
        Record(
            topic=str(message.topic()),
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            timestamp=message.timestamp()[1],
            key=message.key(),
            value=message.value(),
            headers=_headers(message),
        )
        for message in offsets.scan(settings, [topic.name for topic in _topics(settings)])
    ]
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    pairs: Any = message.headers() or []
    return [(name, value) for name, value in pairs]


def _committed(settings: Settings) -> dict[tuple[str, str, int], int]:
    return {
        (group, *where): offset
        for group, positions in sorted(layout.offsets(settings, "roles").items())
        for where, offset in sorted(positions.items())
    }


def _collections(settings: Settings) -> list[Collection]:
    """All collections of the broker's database, their documents as they are."""
    database = mongo.database(settings)
    unread = CodecOptions(document_class=RawBSONDocument)
    found = []
    for info in sorted(database.list_collections(), key=lambda info: str(info["name"])):
        collection = database[info["name"]]
        indexes = [dict(index) for index in collection.list_indexes() if index["name"] != "_id_"]
        documents: Any = collection.with_options(unread).find().sort("_id", 1)
        found.append(Collection(info["name"], info["options"], indexes, list(documents)))
    return found


def _missing(sample: Sample) -> list[str]:
    """What tests of an upgrade need and the sample lacks, a sentence each."""
    problems = []
    numbers: Counter[tuple[str, int]] = Counter()
    for record in sample.records:
        if record.offset != numbers[record.topic, record.partition]:
            problems.append(f"{record.topic}/{record.partition} has a gap at {record.offset}")
        numbers[record.topic, record.partition] += 1
    found = counts(sample)
    wanted = {
        names.group_id(role): {names.topic("ZTF", stage) for stage in layout.SOURCES[role]} for role in names.ROLES
    }
    left = {group: {topic for topic, n in topics.items() if n} for group, topics in found["left"].items()}
    if left != wanted:
        problems.append(f"work is left in {left}")
    problems += [f"{topic} is empty" for topic, ends in found["topics"].items() if not sum(ends)]
    problems += [f"{name} is empty" for name, each in found["collections"].items() if not each["documents"]]
    done = [_is_done(sample, record) for record in sample.records if ("role", b"margin") in record.headers]
    if len({*done}) < 2:
        problems.append(f"margin records are not on both sides of what is committed: {done}")
    return problems


def _private(sample: Sample, workers: Path, private: Sequence[str]) -> list[str]:
    """Which texts of this machine are in what is to be kept, a sentence each."""
    values = [record.value or b"" for record in sample.records]
    values += [b"".join(value or b"" for _, value in record.headers) for record in sample.records]
    values += [bytes(document.raw) for each in sample.collections for document in each.documents]
    values += [bson.encode({"": [each.options, each.indexes]}) for each in sample.collections]
    values += [path.read_bytes() for path in worker_files(workers)]
    return [f"{text} is in it" for text in private if any(text.encode() in value for value in values)]


def _is_done(sample: Sample, record: Record) -> bool:
    group = names.group_id("enrich")
    return record.offset < sample.committed.get((group, record.topic, record.partition), 0)


if __name__ == "__main__":
    main()
