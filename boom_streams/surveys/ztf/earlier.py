"""How earlier releases packed ZTF's light curves: frozen, so that what they wrote can be read for ever.

Whoever changes the columns of a series adds here, under the last release that had them, the columns as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["EARLIER"]

#: Columns of each series, by the last release that packed them so.
EARLIER: Mapping[str, Mapping[str, np.dtype[Any]]] = {
    "0.1.0": {
        "prv_candidates": np.dtype(
            [
                *[("jd", "<f8"), ("fid", "i1"), ("pid", "<i8"), ("programid", "i1"), ("candid", "<i8")],
                *[("isdiffpos", "i1"), ("rcid", "<i2"), ("field", "<i4"), ("ra", "<f8"), ("dec", "<f8")],
                *[("magpsf", "<f4"), ("sigmapsf", "<f4"), ("chipsf", "<f4"), ("magap", "<f4"), ("sigmagap", "<f4")],
                *[("distnr", "<f4"), ("magnr", "<f4"), ("sigmagnr", "<f4"), ("chinr", "<f4"), ("sharpnr", "<f4")],
                *[("sky", "<f4"), ("fwhm", "<f4"), ("seeratio", "<f4"), ("elong", "<f4"), ("nneg", "<i2")],
                *[("nbad", "<i2"), ("rb", "<f4"), ("drb", "<f4"), ("ssdistnr", "<f4"), ("ssmagnr", "<f4")],
                *[("ssnamenr", "S24"), ("scorr", "<f8"), ("magzpsci", "<f4"), ("diffmaglim", "<f4")],
                *[("psfFlux", "<f8"), ("psfFluxErr", "<f8"), ("snr_psf", "<f4")],
                *[("apFlux", "<f8"), ("apFluxErr", "<f8"), ("snr_ap", "<f4")],
            ]
        ),
        "prv_nondetections": np.dtype(
            [
                *[("jd", "<f8"), ("fid", "i1"), ("pid", "<i8"), ("programid", "i1"), ("rcid", "<i2")],
                *[("field", "<i4"), ("diffmaglim", "<f4"), ("magzpsci", "<f4"), ("psfFluxErr", "<f8")],
            ]
        ),
        "fp_hists": np.dtype(
            [
                *[("jd", "<f8"), ("fid", "i1"), ("pid", "<i8"), ("programid", "i1"), ("rcid", "<i2")],
                *[("field", "<i4"), ("rfid", "<i8"), ("magzpsci", "<f4"), ("magzpsciunc", "<f4")],
                *[("magzpscirms", "<f4"), ("exptime", "<f4"), ("diffmaglim", "<f4"), ("forcediffimflux", "<f4")],
                *[("forcediffimfluxunc", "<f4"), ("procstatus", "S16"), ("distnr", "<f4"), ("magnr", "<f4")],
                *[("sigmagnr", "<f4"), ("chinr", "<f4"), ("sharpnr", "<f4"), ("magpsf", "<f4"), ("sigmapsf", "<f4")],
                *[("isdiffpos", "i1"), ("psfFlux", "<f8"), ("psfFluxErr", "<f8"), ("snr_psf", "<f4")],
            ]
        ),
    }
}
