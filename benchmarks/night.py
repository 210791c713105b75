"""The night that is run: made once from real alerts, kept in a cache folder, the same for the same seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from fastavro.write import schemaless_writer

from boom_streams.avro.numbers import encode_long
from boom_streams.errors import BoomError
from boom_streams.surveys import Alert, get_survey

__all__ = ["WARM_OBJECTS", "Night", "long_history", "make", "positions"]

SEED = 20261123

#: Objects at the end of a night that go through the chain before anything is measured.
WARM_OBJECTS = 100

#: Days that a ZTF packet's history covers, and days that longer histories are spread over at most.
_PACKET_DAYS, _SPREAD_DAYS = 30.0, 330.0

_SERIES = ("prv_candidates", "fp_hists")
_BRANCHES = tuple(f"{name}_branch" for name in _SERIES)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Night:
    """Files of a night, one alert each: every object has a first alert and an update."""

    first: list[Path]
    updates: list[Path]
    warm: list[Path]
    """Alerts of other objects, to warm up with."""

    def files(self, alerts: int) -> list[Path]:
        """The first alerts of ``alerts / 2`` objects, then the updates of the same objects."""
        objects = alerts // 2
        if objects > len(self.first):
            raise BoomError(f"the night has {2 * len(self.first)} alerts, not {alerts}")
        return [*self.first[:objects], *self.updates[:objects]]


def make(cache: Path, script: Path, alerts: int, progress: Progress) -> Night:
    """Make a night of at least so many alerts with ``make_night.py``, unless the cache has one.

    Parameters
    ----------
    cache
        Folder of nights.
    script
        ``make_night.py``.
    alerts
        Number of alerts, two an object.
    progress
        Told the number of files made so far.

    Raises
    ------
    BoomError
        If the script fails.
    """
    objects = alerts // 2 + WARM_OBJECTS
    enough = [size for size, _ in _cached(cache) if size >= objects]
    folder = cache / f"night-{SEED}-{min(enough, default=objects)}"
    if not enough:
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _run(script, partial, objects, progress)
        partial.rename(folder)
    first, updates = sorted(folder.glob("new_*.avro")), sorted(folder.glob("upd_*.avro"))
    warm = [*first[-WARM_OBJECTS:], *updates[-WARM_OBJECTS:]]
    return Night(first[:-WARM_OBJECTS], updates[:-WARM_OBJECTS], warm)


def long_history(
    night: Night, folder: Path, alerts: int, factor: int = 1, points: int | None = None
) -> tuple[Night, float]:
    """Make a night with more history points a packet; the rest of each packet stays as it is.

    The points of a packet are repeated further back in time, within a year, with ids of their own.

    Parameters
    ----------
    night
        The night to take alerts from.
    folder
        Where the files go.
    alerts
        Number of alerts, two an object.
    factor
        Times the points that a packet has.
    points
        Instead: number of points in each packet.

    Returns
    -------
    Night, float
        The night, and the mean number of history points in a packet.
    """
    folder.mkdir(parents=True)
    total = 0
    objects = range(alerts // 2)
    for first, update in ((night.first[i], night.updates[i]) for i in objects):
        for path, packet in zip((first, update), _prolonged(first, update, factor, points), strict=True):
            total += len(packet["prv_candidates"]) + len(packet["fp_hists"])
            (folder / path.name).write_bytes(_container(path.read_bytes(), packet))
    made = [[folder / path.name for path in files[: len(objects)]] for files in (night.first, night.updates)]
    return Night(made[0], made[1], night.warm), total / (2 * len(objects))


def positions(files: Sequence[Path]) -> list[tuple[float, float]]:
    """Positions of the alerts in some files, ICRS degrees."""
    found = get_survey("ZTF").decode([file.read_bytes() for file in files])
    return [(alert.ra, alert.dec) for alert in found if isinstance(alert, Alert)]


def _cached(cache: Path) -> Iterator[tuple[int, Path]]:
    for folder in cache.glob(f"night-{SEED}-*"):
        if folder.name.rpartition("-")[2].isdigit():
            yield int(folder.name.rpartition("-")[2]), folder


def _run(script: Path, folder: Path, objects: int, progress: Progress) -> None:
    command = [sys.executable, str(script), str(folder), str(objects), str(SEED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            while process.poll() is None:
                progress(len(os.listdir(folder)))
                time.sleep(0.5)
        except BaseException:
            process.kill()
            raise
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise BoomError(f"{script.name} failed: {said.strip()[-500:]}")


def _prolonged(first: Path, update: Path, factor: int, points: int | None) -> list[dict[str, Any]]:
    """Both packets of an object; the update has the first one's history, and what it added itself."""
    packets: list[dict[str, Any]] = []
    for path in (first, update):
        (record,) = fastavro.reader(BytesIO(path.read_bytes()))
        assert isinstance(record, dict)
        packets.append(record)
    known = {name: list(packets[0][name] or []) for name in _SERIES}
    size = sum(map(len, known.values()))
    for name in _SERIES:
        wanted = factor * len(known[name]) if points is None else round(points * len(known[name]) / size)
        longer = _repeated(known[name], wanted)
        added = (packets[1][name] or [])[len(known[name]) :]
        packets[0][name], packets[1][name] = longer, longer + added
    for packet in packets:  # so that every length of history asks the archive equally often
        packet["candidate"]["jdstarthist"] = packet["candidate"]["jd"] - 900.0
    return packets


def _repeated(known: Sequence[dict[str, Any]], wanted: int) -> list[dict[str, Any]]:
    if not known:
        return []
    copies = -(-wanted // len(known))
    step = min(_PACKET_DAYS, _SPREAD_DAYS / copies)
    made = []
    for number in range(copies):
        for point in known:
            other = dict(point, jd=point["jd"] - number * step, pid=point["pid"] + number)
            if point.get("candid") is not None:
                other["candid"] = point["candid"] + number
            made.append(other)
    return sorted(made[:wanted], key=lambda point: float(point["jd"]))


def _container(original: bytes, packet: dict[str, Any]) -> bytes:
    """Encode a packet with the header of the file that it came from."""
    sync = original[-16:]
    header = original[: original.index(sync) + 16]
    body = BytesIO()
    schemaless_writer(body, _written_quickly(header), packet | dict.fromkeys(_BRANCHES, 1))
    datum = body.getvalue()
    return header + encode_long(1) + encode_long(len(datum)) + datum + sync


@lru_cache(maxsize=4)
def _written_quickly(header: bytes) -> Any:
    """Schema that gives the same bytes, with the branch of each series' union as a field of its own.

    Fastavro would validate every point to find the branch, which takes ten times as long as writing it.
    """
    schema = fastavro.reader(BytesIO(header)).writer_schema
    assert isinstance(schema, dict)
    fields: list[dict[str, Any]] = []
    for each in schema["fields"]:
        if each["name"] in _SERIES:
            assert each["type"][0] == "null"
            fields += [{"name": f"{each['name']}_branch", "type": "long"}, {**each, "type": each["type"][1]}]
            del fields[-1]["default"]
        else:
            fields.append(each)
    return fastavro.parse_schema({**schema, "fields": fields})
