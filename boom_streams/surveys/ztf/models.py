"""Models that were trained on ZTF's alerts, and the numbers that they look at, in their authors' order and units.

ACAI (Duev & van der Walt 2021, arXiv:2111.12142) takes 25 fields of the candidate; BTSbot (Rehemtulla et al. 2024,
arXiv:2401.15167) 18 of them and 7 that follow from the object's detections up to the alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boom_streams.surveys.model import History, Model, ModelFiles, OnnxFile, numbers

__all__ = ["ACAI", "BTSBOT", "MODELS", "acai", "btsbot"]

#: Fields of the candidate, in ACAI's order.
ACAI = (
    *("drb", "diffmaglim", "ra", "dec", "magpsf", "sigmapsf", "chipsf", "fwhm", "sky", "chinr", "sharpnr"),
    *("sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "sgscore3", "distpsnr3", "ndethist", "ncovhist", "scorr"),
    *("nmtchps", "clrcoeff", "clrcounc", "neargaia", "neargaiabright"),
)

#: BTSbot's metadata in its order; its `drb` is the packet's.
BTSBOT = (
    *("sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "fwhm", "magpsf", "sigmapsf", "chipsf", "ra", "dec"),
    *("diffmaglim", "ndethist", "nmtchps", "age", "days_since_peak", "days_to_peak", "peakmag", "drb", "ncovhist"),
    *("nnondet", "chinr", "sharpnr", "scorr", "sky", "faintestmag"),
)

_ACAI = "https://github.com/dmitryduev/acai"

_FILES = {
    "acai_h": ModelFiles(
        _ACAI,
        OnnxFile("627893ad62a654f4a72f9fa84fd414e0a8042c479ef50cc08236b7ed962c411b", 35206),
        OnnxFile("ed07c96270fbb8640faee7cacdc44bc99c633360a3aceccbfb8500e80aebf811", 35184),
    ),
    "acai_n": ModelFiles(
        _ACAI,
        OnnxFile("f380616f6fca1ce1034a9b72f3509558c0083d846ea80b8d85236cfbc78248ad", 35206),
        OnnxFile("038b37543dd4b52db0773174596554dc1f69802b27c85cf58fb4f899dba229fc", 35206),
    ),
    "acai_v": ModelFiles(
        _ACAI,
        OnnxFile("4dac7ce1b1f8f4db05a0ec36527f84c5745afd6e83afec225dddc8df37efbe5e", 35184),
        OnnxFile("b2621ca2d4a4716fe08e28518ac24fbe5c64b52cf2df3355fe8863385c4d3c4e", 35203),
    ),
    "acai_o": ModelFiles(
        _ACAI,
        OnnxFile("d58eac9f98a3c1df0e00c5391d5bbc70f337196833b94c9f799dcb1f70797d1c", 35203),
        OnnxFile("5ce3015be051bbdf7b9ae26a1a0a64fd5a9630281a02d3351cf3e14291622830", 35206),
    ),
    "acai_b": ModelFiles(
        _ACAI,
        OnnxFile("8e19725bf2778c175d55f9810008648067ef6ceb11d9521c9bdc786faa74bd8b", 35206),
        OnnxFile("ce82e02c8f549aeba9813550551c68cb66c7d4084e4d24c98e4cf5dcaac1bcd2", 35206),
    ),
    "btsbot": ModelFiles(
        "https://github.com/nabeelre/BTSbot",
        OnnxFile("ad16e6be9719fca9613187e3bc80095a9852af3c6e1d1fd24edfc1f023348da4", 916071),
        OnnxFile("ccffd6b117efd64e8aae321e0b5eac6e591a08fdf52b4386ded1fbfad422c911", 916057),
    ),
    "braai": ModelFiles(
        "https://github.com/dmitryduev/braai",
        None,
        OnnxFile("43d72006f6cf79a6bdeda700652e49c5a5876af9b702351067088498380f3da8", 1251451),
    ),
}


def acai(candidate: Mapping[str, Any], past: History) -> list[float]:
    """ACAI's features of a candidate; `BadRecord` names those that are missing."""
    return numbers(candidate, ACAI)


def btsbot(candidate: Mapping[str, Any], past: History) -> list[float]:
    """BTSbot's metadata of a candidate; `BadRecord` names what is missing."""
    counts = [candidate.get(name) for name in ("ncovhist", "ndethist")]
    nnondet = counts[0] - counts[1] if None not in counts else None  # type: ignore[operator]
    return numbers({**candidate, **past._asdict(), "nnondet": nnondet}, BTSBOT)


_ACAI_VERSION = "d1_dnn_20201130"

MODELS = (
    *(
        Model(
            name,
            _ACAI_VERSION,
            f"{name}.{_ACAI_VERSION}.onnx",
            _FILES[name],
            "triplets",
            what,
            numbers="features",
            features=acai,
            fields=ACAI,
        )
        for name, what in (
            ("acai_h", "in a host galaxy"),
            ("acai_n", "in the nucleus of its host"),
            ("acai_v", "a variable star"),
            ("acai_o", "without a visible counterpart"),
            ("acai_b", "bogus"),
        )
    ),
    Model(
        "btsbot",
        "v1.0.1",
        "btsbot-v1.0.1.onnx",
        _FILES["btsbot"],
        "triplet",
        "a bright transient to follow up",
        numbers="metadata",
        features=btsbot,
        fields=BTSBOT,
    ),
    Model("braai", "d6_m9", "braai_d6_m9.onnx", _FILES["braai"], "conv1_input", "real, not an artefact"),
)
