"""A catalogue around the log's alerts, and the version that takes its place while the faults go on.

Which version an alert was matched with depends on when it came, and a record that is delivered again may be matched
with the newer one. So matches are left out where two runs are compared, and proven by themselves: those of every record
and of every object in the archive are all that the version named beside them has, by brute force.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.astro.sky import separation_arcsec
from boom_streams.kafka.reading import scan
from boom_streams.operate.supervise import environment
from boom_streams.schema import bson_records
from boom_streams.settings import Settings
from boom_streams.surveys import Alert, get_survey
from tests.chaos.chain import Failed
from tests.chaos.compare import Row
from tests.chaos.log import RawLog

__all__ = ["COLLECTIONS", "NAME", "Versions", "make"]

NAME = "CHAOS"

#: What a catalogue is in the database.
COLLECTIONS = {NAME, "catalogs", "catalog_tiles"}

_RADIUS = 2.0
_BACKGROUND = 2000
_DESCRIPTION = f"radius = {_RADIUS}\norder = 10\nprojection = []\n"


@dataclass(slots=True)
class Versions:
    """The files of both versions, and what each has."""

    folder: Path
    files: tuple[Path, Path]
    sources: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[int]]]
    """Positions and ids, by version as the broker names it."""

    def settings(self) -> dict[str, Any]:
        """Settings of a broker that matches with the catalogue."""
        return {"catalogs_dir": self.folder, "catalog_refresh": 0.5}

    def put(self, settings: Settings, number: int) -> None:
        """Import a version, as an operator would."""
        command = [sys.executable, "-m", "boom_streams.cli", "catalogs", "import", NAME, str(self.files[number])]
        variables = {**os.environ, **environment(settings)}
        done = subprocess.run(command, env=variables, text=True, capture_output=True, check=False, timeout=300)
        if done.returncode:
            raise Failed(f"the catalogue could not be imported: {done.stdout}{done.stderr}")
        active = mongo.database(settings)["catalogs"].find_one({"_id": NAME})
        assert active is not None
        table = pq.read_table(self.files[number])
        columns = (table["ra"].to_numpy(), table["dec"].to_numpy(), table["_id"].to_pylist())
        self.sources[active["version"]] = columns

    def check(self, settings: Settings) -> Iterator[Row]:
        """Compare the matches of all enriched records, and of all objects, with those by brute force."""
        row, seen = Row("matches of records", 0, 0), Counter[str]()
        positions: dict[int, tuple[float, float]] = {}
        for message in scan(settings, [names.topic("ztf", "enriched", settings.topic_prefix)]):
            record = bson_records.fields(message.value() or b"")
            positions[record["candid"]] = record["ra"], record["dec"]
            self._compare(row, record["candid"], bson.decode(record.raw), positions[record["candid"]], seen)
        yield row
        aux = mongo.database(settings)[names.collection("ZTF", "alerts_aux")]
        row = Row("matches of objects", 0, 0)
        for document in aux.find({"matched": {"$exists": True}}):
            self._compare(row, document["_id"], document, positions[document["matched"]["candid"]], Counter())
        yield row
        row = Row("versions of the catalogue that were matched with", len(self.sources), len(seen))
        if len(seen) != len(self.sources):
            row.differ(f"of the versions {sorted(self.sources)} records have {dict(seen)}: run it again")
        yield row

    def _compare(
        self, row: Row, what: Any, found: Mapping[str, Any], position: tuple[float, float], seen: Counter[str]
    ) -> None:
        version = found.get("catalogs", {}).get(NAME)
        if version is None:
            row.differ(f"{what} was not matched: {found.get('unmatched', {}).get(NAME)}")
            return
        seen[version] += 1
        ra, dec, ids = self.sources[version]
        near = separation_arcsec(*position, ra, dec)
        places = [place for place in np.argsort(near, kind="stable").tolist() if near[place] <= _RADIUS]
        expected = [ids[place] for place in places]
        matches = [match["_id"] for match in found["cross_matches"][NAME]]
        row.expected += len(expected)
        row.found += len(matches)
        if matches != expected:
            row.differ(f"{what} has the matches {matches} of version {version}, which has {expected}")


def make(folder: Path, log: RawLog, chance: random.Random) -> Versions:
    """Make two versions of a catalogue: sources at some alerts of the log, and others all over its sky."""
    descriptions = folder / "descriptions"
    descriptions.mkdir(parents=True)
    (descriptions / f"{NAME}.toml").write_text(_DESCRIPTION)
    noise = np.random.default_rng(chance.randrange(1 << 30))
    values = [entry.value for entry in log.entries if entry.value and not entry.headers]
    alerts = [alert for alert in get_survey("ZTF").decode(values) if isinstance(alert, Alert)]
    at = np.array(sorted({(alert.ra, alert.dec) for alert in alerts}))
    files = [_write(folder / f"version-{number}.parquet", at, noise, number) for number in (1, 2)]
    return Versions(descriptions, (files[0], files[1]), {})


def _write(file: Path, at: np.ndarray[Any, Any], noise: np.random.Generator, number: int) -> Path:
    near = at[noise.random(len(at)) < 0.6].repeat(2, axis=0)
    near = near + noise.normal(0, 1.2 / 3600, near.shape)
    low, high = at.min(axis=0), at.max(axis=0)
    both = np.concatenate([near, noise.uniform(low, high, (_BACKGROUND, 2))])
    ids = np.arange(len(both)) + number * 10_000_000
    pq.write_table(pa.table({"_id": ids, "ra": both[:, 0] % 360, "dec": np.clip(both[:, 1], -90, 90)}), file)
    return file
