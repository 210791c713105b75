"""Small catalogues of what is around made-up sources, one Parquet file each, with the columns of the real ones.

Positions ICRS degrees, magnitudes AB, parallaxes and proper motions mas and mas/year, distances Mpc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boom_streams.synthetic.lightcurves import distance_modulus
from boom_streams.synthetic.neighbours import Neighbour, place
from boom_streams.synthetic.population import Source

__all__ = ["write_catalogs"]

#: Faintest star that Gaia has, share of galaxies with a spectrum in NED and DESI.
_GAIA_LIMIT, _IN_NED, _IN_DESI = 20.7, 0.8, 0.5

Row = dict[str, Any]


class _Entry(NamedTuple):
    """A neighbour and where it is."""

    neighbour: Neighbour
    ra: float
    dec: float


def write_catalogs(rng: np.random.Generator, sources: Iterable[Source], folder: Path) -> list[Path]:
    """Write the catalogues of all that is around some sources; none is empty unless nothing is around them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        _Entry(each, *place(source.ra, source.dec, each.east, each.north))
        for source in sources
        for each in source.nearby
    ]
    files = []
    for name, make in _CATALOGS.items():
        files.append(folder / f"{name}.parquet")
        pq.write_table(pa.Table.from_pylist(make(rng, entries)), files[-1])
    return files


def _ps1(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    rows = []
    for entry in entries:
        mags = dict(zip("grizy", entry.neighbour.mags, strict=True))
        row = _row(entry.neighbour.identity, entry)
        row |= {f"{band}MeanPSFMag": round(mag, 4) for band, mag in mags.items()}
        row |= {f"{band}MeanPSFMagErr": round(float(rng.uniform(0.002, 0.05)), 4) for band in mags}
        rows.append(row | {"ng": int(rng.integers(5, 30)), "qualityFlag": 60})
    return rows


def _gaia(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    rows = []
    for number, entry in enumerate(entries):
        mag = entry.neighbour.mag("r")
        if entry.neighbour.kind != "star" or mag > _GAIA_LIMIT:
            continue
        error = 0.03 * 10.0 ** (0.2 * max(mag - 15.0, 0.0))
        rows.append(
            _row(10**15 + number * 7919, entry)
            | {
                "parallax": round(float(rng.uniform(0.1, 3.0)), 4),
                "parallax_error": round(error, 4),
                "pmra": round(float(rng.normal(0.0, 8.0)), 4),
                "pmdec": round(float(rng.normal(0.0, 8.0)), 4),
                "phot_g_mean_mag": round(mag, 4),
                "phot_bp_mean_mag": round(entry.neighbour.mag("g"), 4),
                "phot_rp_mean_mag": round(entry.neighbour.mag("i"), 4),
                "ruwe": round(float(rng.uniform(0.9, 1.2)), 4),
            }
        )
    return rows


def _ned(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    rows = []
    for number, entry in enumerate(entries):
        if entry.neighbour.kind == "star" or rng.random() > _IN_NED:
            continue
        z = entry.neighbour.redshift
        rows.append(
            _row(f"NED_{number:08d}", entry)
            | {
                "objtype": "QSO" if entry.neighbour.kind == "nucleus" else "G",
                "z": round(z, 6),
                "z_unc": 0.0001,
                "z_tech": "SPEC",
                "z_qual": False,
                "DistMpc": round(10.0 ** ((distance_modulus(z) - 25.0) / 5.0), 2),
                "DistMpc_unc": 1.0,
                "ebv": round(float(rng.uniform(0.01, 0.1)), 4),
                "m_Ks": round(entry.neighbour.mag("r") - 2.0, 3),
                "m_Ks_unc": 0.05,
                "tMASSphot": "m_k_m_ext",
                "Mstar": _stellar_mass(entry.neighbour),
                "Mstar_unc": 0.3 * _stellar_mass(entry.neighbour),
            }
        )
    return rows


def _milliquas(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    return [
        _row(f"milliquas_{number:08d}", entry)
        | {
            "Name": f"SYNTHETIC J{entry.ra:09.5f}{entry.dec:+09.5f}",
            "Descrip": "A",
            "Qpct": int(rng.integers(90, 101)),
            "z": round(entry.neighbour.redshift, 3),
        }
        for number, entry in enumerate(entries)
        if entry.neighbour.kind == "nucleus"
    ]


def _desi(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    return [
        _row(39_627_000_000_000_000 + number, entry)
        | {
            "z": round(entry.neighbour.redshift, 6),
            "zerr": 0.00005,
            "zwarn": 0,
            "chi2": round(float(rng.uniform(5e3, 1e4)), 2),
            "deltachi2": round(float(rng.uniform(50.0, 1e3)), 2),
            "spectype": "GALAXY",
            "zcat_nspec": 1,
        }
        for number, entry in enumerate(entries)
        if entry.neighbour.kind != "star" and rng.random() < _IN_DESI
    ]


def _legacy(rng: np.random.Generator, entries: Sequence[_Entry]) -> list[Row]:
    rows = []
    for number, entry in enumerate(entries):
        if entry.neighbour.kind == "star":
            continue
        error = 0.02 * (1.0 + entry.neighbour.redshift)
        z = max(0.001, entry.neighbour.redshift + float(rng.normal(0.0, error)))
        rows.append(
            _row(10_995_000_000_000_000 + number, entry)
            | {
                "ra_err": 0.05,
                "dec_err": 0.05,
                "z_phot": round(z, 5),
                "z_phot_err": round(error, 5),
                "photo_z_type": "median",
                "mag_r": round(entry.neighbour.mag("r"), 4),
            }
        )
    return rows


_CATALOGS: dict[str, Callable[[np.random.Generator, Sequence[_Entry]], list[Row]]] = {
    "PS1_DR1": _ps1,
    "Gaia_DR3": _gaia,
    "NED": _ned,
    "milliquas_v6": _milliquas,
    "DESI_DR1": _desi,
    "LS_DR10_PHOTOZ": _legacy,
}


def _row(identity: int | str, entry: _Entry) -> Row:
    return {"_id": identity, "ra": round(entry.ra, 7), "dec": round(entry.dec, 7)}


def _stellar_mass(neighbour: Neighbour) -> float:
    """Solar masses, twice the luminosity in r in solar units (the Sun has M = 4.65 in r)."""
    luminosity: float = 10.0 ** (-0.4 * (neighbour.mag("r") - distance_modulus(neighbour.redshift) - 4.65))
    return float(f"{2.0 * luminosity:.4g}")
