"""A made-up night of ZTF alerts: files like those of the public archive, the truth, and catalogues to match.

The same number of alerts and seed give the same bytes (with the same numpy).
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boom_streams.errors import BoomError
from boom_streams.synthetic import lightcurves, schema
from boom_streams.synthetic.catalogs import write_catalogs
from boom_streams.synthetic.neighbours import place
from boom_streams.synthetic.observing import BANDS, FIELDS, Exposures, measure, schedule
from boom_streams.synthetic.packets import Name, Observed, observe, packet
from boom_streams.synthetic.population import Kind, Source, draw_source

__all__ = ["CATALOGS", "TRUTH", "Night", "make_night"]

#: Table of the truth, and the folder of the catalogues, beside the alerts.
TRUTH, CATALOGS = "truth.csv", "catalogs"

#: Sources of each kind in a deck; one deck is dealt after the other.
_DECK: dict[Kind, int] = {
    "supernova": 6,
    "tidal_disruption": 2,
    "active_nucleus": 2,
    "variable": 3,
    "outburst": 2,
    "mover": 3,
    "artefact": 3,
}

#: A source that gives no alert is drawn again, so many times.
_TRIES = 200

#: Names of objects: ZTF24z and six letters, which real objects of 2024 do not reach.
_LETTERS, _PREFIX = 6, "ZTF24z"
_STRIDE = 1_000_003

Truth = dict[str, Any]


@dataclass(slots=True)
class Night:
    """What was made.

    Attributes
    ----------
    folder
        Where the alerts are, a file each.
    truth
        Table with a line for each alert.
    catalogs
        Parquet files.
    alerts, objects
        How many.
    kinds
        Alerts of each kind.
    """

    folder: Path
    truth: Path
    catalogs: list[Path] = field(default_factory=list)
    alerts: int = 0
    objects: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


def make_night(
    folder: Path, alerts: int = 500, seed: int = 0, progress: Callable[[int], None] = lambda done: None
) -> Night:
    """Make a night.

    Parameters
    ----------
    folder
        Where it is to be; it is made, and must not hold anything yet.
    alerts
        How many.
    seed
        Another seed, another night.
    progress
        Told of the alerts that are written.

    Raises
    ------
    BoomError
        If the folder cannot be used.
    """
    _take(folder)
    night = Night(folder, folder / TRUTH)
    rows: list[Truth] = []
    sources: list[Source] = []
    for observed in _objects(seed):
        rng = np.random.default_rng([seed, 2, len(sources)])
        sources.append(observed.source)
        for index in observed.alerting[: alerts - len(rows)]:
            made = packet(rng, observed, index)
            (folder / f"{made['candid']}.avro").write_bytes(schema.container(made))
            rows.append(_truth(observed, index, made))
            progress(len(rows))
        if len(rows) == alerts:
            break
    night.alerts, night.objects = len(rows), len(sources)
    night.catalogs = write_catalogs(np.random.default_rng([seed, 3]), sources, folder / CATALOGS)
    for row in rows:
        night.kinds[row["kind"]] = night.kinds.get(row["kind"], 0) + 1
    _write_truth(night.truth, rows)
    return night


def _take(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise BoomError(f"{folder} cannot be used: {error.strerror}") from None
    if used:
        raise BoomError(f"{folder} is not empty; name a new folder, or empty this one")


def _objects(seed: int) -> Iterator[Observed]:
    """Objects that give an alert in the night, without end."""
    rng = np.random.default_rng([seed, 0])
    fields = [_field(rng, turn) for turn in range(FIELDS)]
    first = int(rng.integers(26**_LETTERS))
    for number, kind in enumerate(_deal(rng)):
        centre, exposures = fields[number % FIELDS]
        channel = number // FIELDS
        name = Name(_object_id(first + number * _STRIDE), channel % 64, channel // 64 + 1)
        yield _object(np.random.default_rng([seed, 1, number]), name, kind, exposures, centre)


def _field(rng: np.random.Generator, turn: int) -> tuple[tuple[float, float], Exposures]:
    """Centre (ICRS degrees) and exposures of a field: on a grid over the sky of that night, off the Milky Way."""
    centre = 190.0 + 10.0 * (turn % 6), 15.0 + 20.0 * (turn // 6)
    return centre, schedule(rng, 500 + turn, turn)


def _deal(rng: np.random.Generator) -> Iterator[Kind]:
    deck = [kind for kind, count in _DECK.items() for _ in range(count)]
    while True:
        yield from (deck[card] for card in rng.permutation(len(deck)))


def _object(
    rng: np.random.Generator, name: Name, kind: Kind, exposures: Exposures, centre: tuple[float, float]
) -> Observed:
    """Draw a source until it gives an alert."""
    for _ in range(_TRIES):
        source = draw_source(rng, kind, exposures, centre)
        measured = measure(rng, exposures, source.flux, source.light(exposures))
        if np.any(measured.detected & exposures.tonight):
            return observe(rng, name, source, exposures, measured)
    raise BoomError(f"no {kind} gives an alert in field {exposures.field}; take another seed")


def _object_id(number: int) -> str:
    letters = []
    for _ in range(_LETTERS):
        number, letter = divmod(number, 26)
        letters.append(chr(ord("a") + letter))
    return _PREFIX + "".join(letters)


def _truth(observed: Observed, index: int, made: Truth) -> Truth:
    """Line of the table of an alert; what does not apply is empty."""
    source, counterpart = observed.source, observed.source.counterpart
    band = BANDS[made["candidate"]["fid"]]
    flux = float(source.flux[index]) if source.defect is None else math.nan
    where = place(source.ra, source.dec, counterpart.east, counterpart.north) if counterpart else (math.nan, math.nan)
    return {
        "candid": made["candid"],
        "objectId": made["objectId"],
        "kind": source.kind,
        "jd": made["candidate"]["jd"],
        "band": band,
        "ra": source.ra,
        "dec": source.dec,
        "flux_njy": _number(flux, 3),
        "mag": _number(float(lightcurves.flux_to_mag(flux)), 4),
        "peak_jd": _number(source.peak_jd, 4),
        "redshift": _number(source.redshift, 6),
        "counterpart": counterpart.kind if counterpart else "",
        "counterpart_ra": _number(where[0], 7),
        "counterpart_dec": _number(where[1], 7),
        "counterpart_mag": _number(counterpart.mag(band), 3) if counterpart else "",
        "defect": source.defect or "",
    }


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def _write_truth(file: Path, rows: list[Truth]) -> None:
    """Write the table in the order of candids; it comes last, and says that the night is whole."""
    part = file.with_name(f"{file.name}.part")
    with part.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: int(row["candid"])))
    os.replace(part, file)
