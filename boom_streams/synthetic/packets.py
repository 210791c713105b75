"""ZTF packets of made-up sources: every field of schema 4.02, in agreement with each other.

* ``prv_candidates`` lists the exposures of the 30 days before the alert: detections, and upper limits where there was
  none; ``fp_hists`` has forced photometry of the same exposures
* A detection is the same in an alert and in the histories of the later ones
* Identifiers have ZTF's form: pid = night, fraction of the day, readout channel; candid = pid and a number
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boom_streams.astro.photometry import FACTOR
from boom_streams.synthetic import schema, stamps
from boom_streams.synthetic.neighbours import Neighbour, place
from boom_streams.synthetic.observing import BANDS, GAIN, PIXEL, Exposures, Measured
from boom_streams.synthetic.population import Source

__all__ = ["PUBLISHER", "Name", "Observed", "observe", "packet"]

PUBLISHER = "boom_streams synthetic night"

#: Days of history in a packet.
_HISTORY = 30.0
#: Julian date from which ZTF counts nights.
_FIRST_NIGHT = 2457754.5
_EXPOSURE = 30.0
_WIDTH, _HEIGHT = 3072.0, 3080.0
_COLOUR_TERM = {1: -0.06, 2: 0.09}
_NO_DETECTION = dict.fromkeys(schema.field_names("prv_candidate"))
_ZERO_POINT = ("magzpsci", "magzpsciunc", "magzpscirms", "clrcoeff", "clrcounc")
_ARCSEC = 3600.0


class Name(NamedTuple):
    """What tells a source from all others.

    Attributes
    ----------
    rcid
        Readout channel of the camera, 0 to 63.
    number
        Among the sources of its field and readout channel, from 1 on.
    """

    object_id: str
    rcid: int
    number: int


@dataclass(frozen=True, slots=True)
class Observed:
    """A source as all exposures of its field saw it.

    Attributes
    ----------
    object_id
        Its name.
    source, exposures, measured
        What it is, when it was looked at, and what was measured.
    seen
        Which exposures detected it.
    points, forced
        A ``prv_candidate`` and an ``fp_hist`` of each exposure that a packet of the night may list, by its index.
    frame
        Fields that are the same in every packet of the source.
    alerting
        Indices of the exposures of the night that give an alert, in the order of time.
    """

    object_id: str
    source: Source
    exposures: Exposures
    measured: Measured
    seen: NDArray[np.bool_]
    points: dict[int, dict[str, Any]]
    forced: dict[int, dict[str, Any]]
    frame: dict[str, Any]
    alerting: tuple[int, ...]
    _encoded: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def encoded_point(self, index: int) -> bytes:
        """Give the ``prv_candidate`` of an exposure, encoded once."""
        return self._encode("prv_candidate", self.points, index)

    def encoded_forced(self, index: int) -> bytes:
        """Give the ``fp_hist`` of an exposure, encoded once."""
        return self._encode("fp_hist", self.forced, index)

    def _encode(self, record: str, points: dict[int, dict[str, Any]], index: int) -> bytes:
        if (record, index) not in self._encoded:
            self._encoded[record, index] = schema.encode_point(record, points[index])
        return self._encoded[record, index]


def observe(rng: np.random.Generator, name: Name, source: Source, exposures: Exposures, measured: Measured) -> Observed:
    """Say in the packets' words what the exposures saw."""
    seen = measured.detected
    alerting = np.flatnonzero(seen & exposures.tonight)
    if source.once and len(alerting):
        alerting = rng.choice(alerting, 1)
        seen = np.zeros(len(exposures), np.bool_)
        seen[alerting] = True
    frame = _frame(rng, source)
    where = rng.uniform(60.0, _WIDTH - 60.0), rng.uniform(60.0, _HEIGHT - 60.0)
    points, forced = {}, {}
    listed = np.flatnonzero(exposures.jd[-1] - exposures.jd <= _HISTORY + 1.0)
    for index in listed.tolist():
        exposed = _exposed(rng, exposures, index, name.rcid)
        points[index] = _NO_DETECTION | exposed
        if seen[index]:
            candid = exposed["pid"] * 1_000_000 + 10_000 + name.number
            points[index] |= _detection(rng, source, exposures, measured, index, candid, where)
        forced[index] = _forced(rng, source, exposures, measured, index, exposed)
    return Observed(name.object_id, source, exposures, measured, seen, points, forced, frame, tuple(alerting.tolist()))


def packet(rng: np.random.Generator, observed: Observed, index: int) -> dict[str, Any]:
    """Packet of the alert of an exposure, as `boom_streams.synthetic.schema.container` takes it.

    It completes the point of that exposure, which later packets list: make the packets of a source in their order.
    """
    point = observed.points[index]
    images = stamps.draw(rng, _scene(observed, index))
    point |= _look(images)
    candidate = point | observed.frame | _band(rng, observed, index) | _counts(observed, index)
    before = [i for i in observed.points if i < index and point["jd"] - observed.exposures.jd[i] <= _HISTORY]
    moved = observed.source.kind == "mover"
    return {
        "schemavsn": schema.VERSION,
        "publisher": PUBLISHER,
        "objectId": observed.object_id,
        "candid": point["candid"],
        "candidate": candidate,
        "prv_candidates": None if moved else [observed.encoded_point(i) for i in before],
        "fp_hists": None if moved else [observed.encoded_forced(i) for i in before],
        **_cutouts(point, images),
    }


def _exposed(rng: np.random.Generator, exposures: Exposures, index: int, rcid: int) -> dict[str, Any]:
    """Say what is so of every point of an exposure."""
    jd, fid = float(exposures.jd[index]), int(exposures.fid[index])
    night = math.floor(jd - _FIRST_NIGHT)
    fraction = math.floor((jd - _FIRST_NIGHT - night) * 1e5)
    image = f"ztf_{night}{fraction:05d}_{exposures.field:06d}_z{BANDS[fid]}_c{rcid // 4 + 1:02d}_o_q{rcid % 4 + 1}"
    return {
        "jd": jd,
        "fid": fid,
        "pid": (night * 100_000 + fraction) * 10_000 + rcid * 100 + 15,
        "diffmaglim": float(exposures.limit[index]),
        "pdiffimfilename": f"{image}_scimrefdiffimg.fits",
        "programpi": "synthetic",
        "programid": 1,
        "nid": night,
        "rcid": rcid,
        "field": exposures.field,
        "magzpsci": float(exposures.zero_point[index]),
        "magzpsciunc": float(rng.uniform(3e-6, 2e-5)),
        "magzpscirms": float(rng.uniform(0.015, 0.035)),
        "clrcoeff": _COLOUR_TERM[fid] + float(rng.normal(0.0, 0.01)),
        "clrcounc": float(rng.uniform(3e-6, 2e-5)),
        "rbversion": "t17_f5_c3",
    }


def _detection(
    rng: np.random.Generator,
    source: Source,
    exposures: Exposures,
    measured: Measured,
    index: int,
    candid: int,
    where: tuple[float, float],
) -> dict[str, Any]:
    """Say what a detection has beyond an upper limit."""
    mag, error, fwhm = (float(v[index]) for v in (measured.mag, measured.mag_error, exposures.fwhm))
    scatter = fwhm * PIXEL / 2.355 / (FACTOR / error) + 0.05
    ra, dec = place(source.ra, source.dec, *(rng.standard_normal(2) * scatter).tolist())
    aperture, wide = mag + float(rng.normal(0.0, error)), mag + float(rng.normal(0.0, 1.5 * error))
    x, y = where[0] + float(rng.normal(0.0, 20.0)), where[1] + float(rng.normal(0.0, 20.0))
    return {
        "candid": candid,
        "isdiffpos": "t" if measured.flux[index] > 0 else "f",
        "tblid": candid % 10_000,
        "xpos": x,
        "ypos": y,
        "ra": round(ra, 7),
        "dec": round(dec, 7),
        "magpsf": mag,
        "sigmapsf": error,
        "magap": aperture,
        "sigmagap": error * 1.1,
        "magdiff": aperture - mag,
        "mindtoedge": min(x, _WIDTH - x, y, _HEIGHT - y),
        "magfromlim": float(exposures.limit[index]) - aperture,
        "magapbig": wide,
        "sigmagapbig": error * 1.5,
        "scorr": abs(float(measured.flux[index] / measured.error[index])),
        **_shape(rng, fwhm, source.defect is None),
        **_nearest(source.nearby[0], exposures, index, ra, dec, source),
        **_solar_system(rng, source, mag),
    }


def _shape(rng: np.random.Generator, fwhm: float, good: bool) -> dict[str, Any]:
    """Say how much a detection looks like a point source; what the pixels tell is filled in by `_look`."""
    major = fwhm * float(rng.uniform(0.38, 0.45))
    minor = major / float(rng.uniform(1.01, 1.2) if good else rng.uniform(1.3, 3.0))
    return {
        "chipsf": float(rng.chisquare(20) / 20 if good else rng.uniform(5.0, 60.0)),
        "fwhm": fwhm,
        "classtar": float(rng.uniform(0.85, 1.0) if good else rng.uniform(0.0, 0.8)),
        "seeratio": float(rng.uniform(0.8, 1.4)),
        "sky": float(rng.normal(0.0, 0.5)),
        "aimage": major,
        "bimage": minor,
        "aimagerat": major / fwhm,
        "bimagerat": minor / fwhm,
        "elong": major / minor,
        "nneg": 0,
        "nbad": 0,
        "rb": float(rng.beta(12.0, 2.0) if good else rng.beta(2.0, 8.0)),
        "sumrat": 1.0,
    }


def _nearest(
    neighbour: Neighbour, exposures: Exposures, index: int, ra: float, dec: float, source: Source
) -> dict[str, Any]:
    """Nearest object of the reference image, as seen from a measured position."""
    at = place(source.ra, source.dec, neighbour.east, neighbour.north)
    across = (at[0] - ra) * math.cos(math.radians(dec)) * _ARCSEC
    extended = neighbour.kind != "star"
    return {
        "distnr": math.hypot(across, (at[1] - dec) * _ARCSEC) / PIXEL,
        "ranr": round(at[0], 7),
        "decnr": round(at[1], 7),
        "magnr": neighbour.mag(BANDS[int(exposures.fid[index])]),
        "sigmagnr": 0.02,
        "chinr": 3.0 if extended else 0.7,
        "sharpnr": 0.3 if extended else -0.01,
    }


def _solar_system(rng: np.random.Generator, source: Source, mag: float) -> dict[str, Any]:
    """Nearest known object of the solar system; -999: none within 30 arcsec."""
    if source.kind != "mover":
        return {"ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null"}
    return {
        "ssdistnr": float(rng.uniform(0.1, 1.5)),
        "ssmagnr": mag + float(rng.normal(0.0, 0.15)),
        "ssnamenr": str(int(rng.integers(1_000, 600_000))),
    }


def _forced(
    rng: np.random.Generator,
    source: Source,
    exposures: Exposures,
    measured: Measured,
    index: int,
    exposed: dict[str, Any],
) -> dict[str, Any]:
    """Forced photometry; of an artefact, which was not there before, noise alone."""
    flux, error = float(measured.flux[index]), float(measured.error[index])
    if source.once:
        flux = float(rng.normal(0.0, error))
    fid = exposed["fid"]
    shared = ("field", "rcid", "fid", "pid", *_ZERO_POINT, "diffmaglim", "programid", "jd")
    return {
        **{name: exposed[name] for name in shared},
        "rfid": _reference_id(exposures.field, fid, exposed["rcid"]),
        "sciinpseeing": float(exposures.fwhm[index]),
        "scibckgnd": float(exposures.sky[index]),
        "scisigpix": math.sqrt(float(exposures.sky[index]) / GAIN),
        "exptime": _EXPOSURE,
        "adpctdif1": float(rng.uniform(0.02, 0.2)),
        "adpctdif2": float(rng.uniform(0.02, 0.2)),
        "forcediffimflux": flux,
        "forcediffimfluxunc": error,
        "procstatus": "0",
        **_nearest(source.nearby[0], exposures, index, source.ra, source.dec, source),
    }


def _frame(rng: np.random.Generator, source: Source) -> dict[str, Any]:
    """Say what is around a source in the catalogues PS1 and Gaia; -999: less than three there."""
    frame: dict[str, Any] = {"nmtchps": len(source.nearby), "tooflag": 0}
    for number in (1, 2, 3):
        known = source.nearby[number - 1] if number <= len(source.nearby) else None
        for band in "griz":
            frame[f"s{band}mag{number}"] = known.mag(band) if known else -999.0
        frame[f"sgscore{number}"] = known.score if known else -999.0
        frame[f"distpsnr{number}"] = known.distance if known else -999.0
        frame[f"objectidps{number}"] = known.identity if known else None
    stars = [each for each in source.nearby if each.kind == "star"]
    near = (stars[0].distance, stars[0].mag("r")) if stars else (rng.uniform(31.0, 60.0), rng.uniform(17.0, 20.0))
    frame |= {"neargaia": float(near[0]), "maggaia": float(near[1])}
    frame |= {"neargaiabright": float(rng.uniform(61.0, 90.0)), "maggaiabright": float(rng.uniform(10.0, 13.0))}
    return frame


def _band(rng: np.random.Generator, observed: Observed, index: int) -> dict[str, Any]:
    """Say what a candidate has beyond a point of the history: reference image, zero point, score."""
    point = observed.points[index]
    fid, good = point["fid"], observed.source.defect is None
    noise = abs(float(rng.normal(point["scorr"], 2.0)))
    return {
        "rfid": _reference_id(observed.exposures.field, fid, point["rcid"]),
        "jdstartref": 2458200.75,
        "jdendref": 2458330.75,
        "nframesref": 30,
        "dsnrms": noise,
        "ssnrms": noise + 5.0,
        "dsdiff": -5.0,
        "nmatches": int(rng.integers(500, 2000)),
        "zpclrcov": float(rng.normal(-5e-6, 1e-6)),
        "zpmed": point["magzpsci"] + 0.05,
        "clrmed": float(rng.uniform(0.5, 0.7)),
        "clrrms": float(rng.uniform(0.1, 0.25)),
        "exptime": _EXPOSURE,
        "drb": float(rng.beta(60.0, 1.0) if good else rng.beta(1.5, 12.0)),
        "drbversion": "d6_m7",
    }


def _counts(observed: Observed, index: int) -> dict[str, Any]:
    """Count detections and exposures up to an alert."""
    found = observed.exposures.jd[: index + 1][observed.seen[: index + 1]].tolist()
    return {"ndethist": len(found), "ncovhist": index + 1, "jdstarthist": found[0], "jdendhist": found[-1]}


def _scene(observed: Observed, index: int) -> stamps.Scene:
    source, exposures = observed.source, observed.exposures
    band, zero_point = BANDS[int(exposures.fid[index])], float(exposures.zero_point[index])
    counts = float(observed.measured.true[index]) if source.defect is None else 0.0
    return stamps.Scene(
        counts=counts,
        nearby=[_in_counts(each, band, zero_point) for each in source.nearby],
        fwhm=float(exposures.fwhm[index]),
        sky=float(exposures.sky[index]),
        noise=10.0 ** (0.4 * (zero_point - float(exposures.limit[index]))) / 5.0,
        defect=source.defect,
    )


def _in_counts(neighbour: Neighbour, band: str, zero_point: float) -> stamps.Star | stamps.Galaxy:
    counts = 10.0 ** (0.4 * (zero_point - neighbour.mag(band)))
    east, north = neighbour.east, neighbour.north
    if neighbour.kind == "star":
        return stamps.Star(east, north, counts)
    return stamps.Galaxy(east, north, counts, neighbour.radius, neighbour.index, neighbour.axes, neighbour.angle)


def _look(images: stamps.Images) -> dict[str, Any]:
    """Count negative and bad pixels in the middle 5 x 5, and compare their sum with that of their absolute values."""
    middle = images.difference[29:34, 29:34]
    finite = middle[np.isfinite(middle)].astype(np.float64)
    return {
        "nneg": int(np.sum(finite < 0)),
        "nbad": int(middle.size - finite.size),
        "sumrat": abs(float(finite.sum())) / max(float(np.abs(finite).sum()), 1e-9),
    }


def _cutouts(point: dict[str, Any], images: stamps.Images) -> dict[str, Any]:
    candid, pid = point["candid"], point["pid"]
    named: Sequence[tuple[str, str, stamps.Pixels]] = (
        ("cutoutScience", f"candid{candid}_pid{pid}_targ_sci.fits.gz", images.science),
        ("cutoutTemplate", f"candid{candid}_ref.fits.gz", images.template),
        ("cutoutDifference", f"candid{candid}_pid{pid}_targ_scimref.fits.gz", images.difference),
    )
    return {name: {"fileName": file, "stampData": stamps.fits_gz(image)} for name, file, image in named}


def _reference_id(field: int, fid: int, rcid: int) -> int:
    return field * 1_000_000 + 120_000 + fid * 100 + rcid
