"""Scores of alerts: ONNX Runtime on the CPU, one thread a session, small batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boom_streams.errors import BadRecord
from boom_streams.models.catalogue import MODELS, Model
from boom_streams.models.features import History, acai, btsbot
from boom_streams.models.stamps import Image

__all__ = ["Scorer", "Scores", "Subject"]

log = logging.getLogger(__name__)

#: Alerts at once; larger batches are slower.
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """What the models are told beside the images."""

    candidate: Mapping[str, Any]
    past: History


@dataclass(slots=True)
class Scores:
    """What the models say of one alert."""

    classifications: dict[str, float] = field(default_factory=dict)
    """Score by model, 0 to 1."""
    unscored: dict[str, str] = field(default_factory=dict)
    """Why a model has no score, by model."""


class Scorer:
    """The models of a folder.

    Parameters
    ----------
    folder
        Where the files are; None: nowhere.
    names
        Which models are asked, of `boom_streams.models.catalogue.MODELS`.

    Attributes
    ----------
    versions
        Version of each model that is there.
    absent
        Models that are asked for and are not there.
    """

    def __init__(self, folder: Path | None, names: Iterable[str]) -> None:
        wanted = [MODELS[name] for name in names]
        there = [model for model in wanted if folder is not None and (folder / model.file).is_file()]
        self.versions = {model.name: model.version for model in there}
        self.absent = [model.name for model in wanted if model not in there]
        self._sessions = [(model, _session(Path(folder or "") / model.file)) for model in there]

    def score(self, subjects: Sequence[Subject], images: Image, reasons: Sequence[str | None]) -> list[Scores]:
        """Score a batch. What an alert lacks keeps it from the models that ask for it, and is said.

        Parameters
        ----------
        subjects
            The alerts.
        images, reasons
            Their images, or why there are none, as `boom_streams.models.stamps.triplets` gives them.
        """
        found = [Scores(unscored=dict.fromkeys(self.absent, "the model is not installed")) for _ in subjects]
        if not self._sessions or not subjects:
            return found
        for model, session in self._sessions:
            rows: list[list[float]] = []
            places: list[int] = []
            for place, (subject, reason) in enumerate(zip(subjects, reasons, strict=True)):
                try:
                    if reason is not None:
                        raise BadRecord(reason)
                    rows.append(_features(model, subject))
                    places.append(place)
                except BadRecord as error:
                    found[place].unscored[model.name] = str(error)
            for place, score in zip(places, _run(model, session, images[places], rows), strict=True):
                if np.isfinite(score):
                    found[place].classifications[model.name] = score
                else:
                    found[place].unscored[model.name] = "the model gave no number"
        return found


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _features(model: Model, subject: Subject) -> list[float]:
    if model.features is None:
        return []
    return btsbot(subject.candidate, subject.past) if model.name == "btsbot" else acai(subject.candidate)


def _run(model: Model, session: Any, images: Any, rows: Sequence[Sequence[float]]) -> list[float]:
    """Scores, a batch at a time.

    The last batch is filled up to the size of the others, so that an alert's score does not depend, in its last
    digits, on how many others it was scored with: an alert that is processed again must give the same bytes.
    """
    scores: list[float] = []
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH]
        padded = np.zeros((_BATCH, *images.shape[1:]), np.float32)
        padded[: len(part)] = part
        inputs = {model.images: padded}
        if model.features is not None:
            numbers = np.zeros((_BATCH, len(rows[0])), np.float32)
            numbers[: len(part)] = rows[start : start + _BATCH]
            inputs[model.features] = numbers
        (found,) = session.run(None, inputs)
        scores += found.reshape(-1)[: len(part)].tolist()
    return scores
