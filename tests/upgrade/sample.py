"""A recorded sample of what a release has left in Kafka, in MongoDB and on its workers' disks.

Only formats of others are used here: a sample of one release is read by the tests of later ones.

`WORKERS` is an archive of the workers' folders, ``enrich-0`` and so on, without RocksDB's logs. `FILE` holds one
document after the other; the field ``kind`` says what it is:

* ``topic``: ``name``, ``partitions``, ``config`` (what was set for this topic)
* ``record``: ``topic``, ``partition``, ``offset``, ``timestamp`` (milliseconds since 1970), ``key``, ``value``,
  ``headers`` (pairs of name and value, in their order)
* ``committed``: ``group``, ``topic``, ``partition``, ``offset``
* ``collection``: ``name``, ``options``, ``indexes`` (as MongoDB lists them)
* ``document``: ``collection``, ``document`` (byte by byte as MongoDB has it)
"""

from __future__ import annotations

import json
import lzma
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

__all__ = [
    "DATA",
    "FILE",
    "MANIFEST",
    "WORKERS",
    "Collection",
    "Record",
    "Sample",
    "Topic",
    "counts",
    "manifest",
    "pack_workers",
    "read",
    "unpack_workers",
    "worker_files",
    "write",
]

#: Folder of all samples, a folder a release.
DATA = Path(__file__).resolve().parent / "data"

#: Kafka and MongoDB, the workers' folders, and the counts of what there is.
FILE, WORKERS, MANIFEST = "sample.bson.xz", "workers.tar.xz", "manifest.json"

_RAW = CodecOptions(document_class=RawBSONDocument)

#: A list in JSON, which takes a line in a manifest.
_LIST = re.compile(r"\[[^][]*\]")


class Topic(NamedTuple):
    """A topic without its records."""

    name: str
    partitions: int
    config: dict[str, str]


class Record(NamedTuple):
    """A record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Collection(NamedTuple):
    """A collection of the archive."""

    name: str
    options: dict[str, Any]
    indexes: list[dict[str, Any]]
    """All but the one of ``_id``, which every collection has."""
    documents: list[RawBSONDocument]


@dataclass(slots=True)
class Sample:
    """What a release has left.

    Attributes
    ----------
    topics
        Topics by name.
    records
        Records of all topics, those of a partition in their order, from offset 0 on without a gap.
    committed
        Offset of each consumer group, topic and partition that has one.
    collections
        Collections by name.
    """

    topics: list[Topic] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    collections: list[Collection] = field(default_factory=list)


def write(folder: Path, sample: Sample, about: dict[str, Any]) -> None:
    """Write a sample and its manifest.

    Parameters
    ----------
    folder
        Where to; it is made.
    sample
        What there is.
    about
        What the manifest says beside the counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = b"".join(map(bson.encode, _documents(sample)))
    (folder / FILE).write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    text = json.dumps(about | counts(sample), indent=2)
    (folder / MANIFEST).write_text(_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n")


def read(folder: Path) -> Sample:
    """Read a sample."""
    sample = Sample()
    found: dict[str, Collection] = {}
    with lzma.open(folder / FILE) as file:
        for each in bson.decode_file_iter(file, _RAW):
            match each["kind"]:
                case "topic":
                    sample.topics.append(Topic(each["name"], each["partitions"], _plain(each["config"])))
                case "record":
                    sample.records.append(_record(each))
                case "committed":
                    sample.committed[each["group"], each["topic"], each["partition"]] = int(each["offset"])
                case "collection":
                    indexes = [_plain(index) for index in each["indexes"]]
                    found[each["name"]] = Collection(each["name"], _plain(each["options"]), indexes, [])
                case "document":
                    found[each["collection"]].documents.append(each["document"])
    sample.collections = list(found.values())
    return sample


def worker_files(workers: Path) -> list[Path]:
    """Files of stopped workers that matter, below the folder that holds a folder a worker."""
    files = (path for path in sorted(workers.rglob("*")) if path.is_file())
    return [path for path in files if path.name != "LOCK" and path.name.partition(".")[0] != "LOG"]


def pack_workers(folder: Path, workers: Path) -> None:
    """Add the folders of stopped workers to a sample."""

    def anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid, info.gid, info.uname, info.gname, info.mtime, info.mode = 0, 0, "", "", 0, 0o644
        return info

    with tarfile.open(folder / WORKERS, "w:xz", preset=9) as archive:
        for path in worker_files(workers):
            archive.add(path, path.relative_to(workers).as_posix(), filter=anonymous)


def unpack_workers(folder: Path, workers: Path) -> None:
    """Put the workers' folders of a sample where workers will look for them: ``workers`` in their data folder."""
    with tarfile.open(folder / WORKERS) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                path = workers / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())


def manifest(folder: Path) -> dict[str, Any]:
    """What the manifest of a sample says."""
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def counts(sample: Sample) -> dict[str, Any]:
    """Count what is in a sample.

    Returns
    -------
    dict
        ``topics`` (records in each partition), ``committed`` (a group and topic each: the offset in each partition,
        None without one), ``left`` (a group and topic each: records that it has not handled), ``collections``
        (documents and names of indexes).
    """
    ends = {topic.name: [0] * topic.partitions for topic in sample.topics}
    for record in sample.records:
        ends[record.topic][record.partition] += 1
    committed: dict[str, dict[str, list[int | None]]] = {}
    for (group, topic, partition), offset in sample.committed.items():
        positions = committed.setdefault(group, {}).setdefault(topic, [None] * len(ends[topic]))
        positions[partition] = offset
    left = {
        group: {
            topic: sum(end - (at or 0) for end, at in zip(ends[topic], positions, strict=True))
            for topic, positions in topics.items()
        }
        for group, topics in committed.items()
    }
    collections = {
        each.name: {"documents": len(each.documents), "indexes": [index["name"] for index in each.indexes]}
        for each in sample.collections
    }
    return {"topics": ends, "committed": committed, "left": left, "collections": collections}


def _documents(sample: Sample) -> Iterator[dict[str, Any]]:
    for topic in sample.topics:
        yield {"kind": "topic", **topic._asdict()}
    for record in sample.records:
        yield {"kind": "record", **record._asdict(), "headers": [list(pair) for pair in record.headers]}
    for (group, name, partition), offset in sample.committed.items():
        yield {"kind": "committed", "group": group, "topic": name, "partition": partition, "offset": offset}
    for each in sample.collections:
        yield {"kind": "collection", "name": each.name, "options": each.options, "indexes": each.indexes}
        for document in each.documents:
            yield {"kind": "document", "collection": each.name, "document": document}


def _record(each: RawBSONDocument) -> Record:
    return Record(
        topic=each["topic"],
        partition=int(each["partition"]),
        offset=int(each["offset"]),
        timestamp=int(each["timestamp"]),
        key=each["key"],
        value=each["value"],
        headers=[(str(name), value) for name, value in each["headers"]],
    )


def _plain(document: RawBSONDocument) -> dict[str, Any]:
    """A small document as a dictionary, fields in their order."""
    return bson.decode(document.raw)
