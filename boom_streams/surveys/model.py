"""What a survey says of the models that look at its alerts: names, files, inputs, and the numbers beside the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from boom_streams.errors import BadRecord

__all__ = ["Features", "History", "Model", "ModelFiles", "OnnxFile", "numbers"]


class History(NamedTuple):
    """What models ask of an object's detections up to the alert, magnitudes of any band; days.

    Attributes
    ----------
    age
        From the first detection to the alert.
    days_to_peak
        From the first detection to the brightest.
    """

    age: float
    days_since_peak: float
    days_to_peak: float
    peakmag: float
    faintestmag: float


#: Numbers of an alert, from its candidate and history, in the model's order; `BadRecord` names those that are missing.
Features: TypeAlias = Callable[[Mapping[str, Any], History], list[float]]


class OnnxFile(NamedTuple):
    """A conversion of a model's weights.

    Attributes
    ----------
    size
        Bytes.
    """

    sha256: str
    size: int


class ModelFiles(NamedTuple):
    """The files that are known to be one model; conversions of the same weights differ in their bytes.

    Attributes
    ----------
    weights
        Where the model's authors publish the weights.
    published
        The file at `boom_streams.models.files.ADDRESS`; None: there is none.
    converted
        The authors' weights converted with tf2onnx, opset 13.
    """

    weights: str
    published: OnnxFile | None
    converted: OnnxFile

    @property
    def sha256(self) -> tuple[str, ...]:
        """Checksums of these files, the published one first."""
        return tuple(file.sha256 for file in (self.published, self.converted) if file)


class Model(NamedTuple):
    """A model as its authors publish it, converted to ONNX.

    Attributes
    ----------
    name
        Field of ``classifications``.
    files
        What is known of the file.
    images
        Name of the input that takes the images.
    what
        What a score near 1 means.
    numbers
        Name of the input that takes the numbers; empty: the model looks at the images alone.
    features
        Makes the numbers.
    fields
        Fields of the candidate from which it makes them.
    """

    name: str
    version: str
    file: str
    files: ModelFiles
    images: str
    what: str
    numbers: str = ""
    features: Features | None = None
    fields: tuple[str, ...] = ()


def numbers(known: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """Values of some fields; `BadRecord` names those that are missing."""
    values = [known.get(name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None or not math.isfinite(value)]
    if missing:
        raise BadRecord(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return [float(value) for value in values]  # type: ignore[arg-type]
