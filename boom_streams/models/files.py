"""Where the models' files are published, and how they are known to be right."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from boom_streams.ingest.download import sha256_of
from boom_streams.models.registry import MODELS

__all__ = ["ADDRESS", "FILES", "ModelFiles", "OnnxFile", "State", "state"]

State = Literal["installed", "absent", "not the published file"]

#: The models as ONNX files among the BOOM broker's sources (MIT licence), in one revision, so that they stay the same.
ADDRESS = (
    "https://media.githubusercontent.com/media/boom-astro/boom/8ebd463d63b56ba841061c5b9f81e142941227a8/data/models/"
)


class OnnxFile(NamedTuple):
    """A conversion of a model's weights."""

    sha256: str
    size: int
    """Bytes."""


class ModelFiles(NamedTuple):
    """The files that are known to be one model; conversions of the same weights differ in their bytes."""

    weights: str
    """Where the model's authors publish the weights."""
    published: OnnxFile | None
    """The file at `ADDRESS`; None: there is none."""
    converted: OnnxFile
    """The authors' weights converted with tf2onnx, opset 13."""

    @property
    def sha256(self) -> tuple[str, ...]:
        """Checksums of these files, the published one first."""
        return tuple(file.sha256 for file in (self.published, self.converted) if file)


_ACAI = "https://github.com/dmitryduev/acai"

#: Files by the names of `boom_streams.models.registry.MODELS`.
FILES = {
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


def state(folder: Path, name: str) -> State:
    """Whether a model's file is there and is a known one."""
    file = folder / MODELS[name].file
    if not file.is_file():
        return "absent"
    return "installed" if sha256_of(file) in FILES[name].sha256 else "not the published file"
