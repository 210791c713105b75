"""Scores of alerts: ONNX Runtime on the CPU, one thread a session, small batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boom_streams.astro.fits import Image
from boom_streams.errors import BadRecord
from boom_streams.models.files import state
from boom_streams.models.registry import known_models
from boom_streams.surveys.model import Features, History, Model

__all__ = ["Scorer", "Scores", "Subject"]

#: Alerts at once; larger batches are slower.
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """What the models are told beside the images."""

    candidate: Mapping[str, Any]
    past: History


@dataclass(slots=True)
class Scores:
    """What the models say of one alert.

    Attributes
    ----------
    classifications
        Score by model, 0 to 1.
    versions
        Version of each model that gave a score.
    unscored
        Why a model has no score, by model.
    """

    classifications: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    unscored: dict[str, str] = field(default_factory=dict)


class Scorer:
    """The models of a folder.

    Parameters
    ----------
    folder
        Where the files are; None: nowhere.
    names
        Which models are asked, of `boom_streams.models.registry.known_models`.

    Attributes
    ----------
    versions
        Version of each model that is there.
    absent
        Why a model that is asked for is not there, by model.
    """

    def __init__(self, folder: Path | None, names: Iterable[str]) -> None:
        self.versions: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self._sessions: list[tuple[Model, Any]] = []
        known = known_models()
        for model in (known[name] for name in names):
            try:
                self._sessions.append((model, _session(folder, model)))
                self.versions[model.name] = model.version
            except BadModel as error:
                self.absent[model.name] = str(error)

    def without_models(self, count: int) -> list[Scores]:
        """What is said of alerts that no model has seen."""
        return [Scores(unscored=dict(self.absent)) for _ in range(count)]

    def score(self, subjects: Sequence[Subject], images: Image, reasons: Sequence[str | None]) -> list[Scores]:
        """Score a batch. What an alert lacks keeps it from the models that ask for it, and is said.

        Parameters
        ----------
        subjects
            The alerts.
        images, reasons
            Their images, or why there are none, as `boom_streams.models.images.triplets` gives them.
        """
        found = self.without_models(len(subjects))
        numbers = {make: _numbers(make, subjects, reasons) for make in {model.features for model, _ in self._sessions}}
        for model, session in self._sessions:
            rows = numbers[model.features]
            places = [place for place, row in enumerate(rows) if not isinstance(row, str)]
            for place, score in zip(places, _run(model, session, images, places, rows), strict=True):
                if math.isfinite(score):
                    found[place].classifications[model.name] = score
                    found[place].versions[model.name] = model.version
                else:
                    found[place].unscored[model.name] = "the model gave no number"
            for place, row in enumerate(rows):
                if isinstance(row, str):
                    found[place].unscored[model.name] = row
        return found


class BadModel(Exception):
    """A model cannot be used; the text says why."""


def _session(folder: Path | None, model: Model) -> Any:
    """Load a model, if its file is one of those that are known by its version."""
    if folder is None or (found := state(folder, model.name)) == "absent":
        raise BadModel("the model is not installed")
    if found != "installed":
        raise BadModel("the model's file is damaged or another version")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(folder / model.file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever ONNX Runtime finds
        raise BadModel(f"the model does not load: {error}") from error


def _numbers(
    make: Features | None, subjects: Sequence[Subject], reasons: Sequence[str | None]
) -> list[list[float] | str]:
    """Numbers for each alert, or why a model cannot look at it."""
    found: list[list[float] | str] = []
    for subject, reason in zip(subjects, reasons, strict=True):
        try:
            found.append(reason or ([] if make is None else make(subject.candidate, subject.past)))
        except BadRecord as error:
            found.append(str(error))
    return found


def _run(
    model: Model, session: Any, images: Image, places: Sequence[int], rows: Sequence[list[float] | str]
) -> list[float]:
    """Scores of the alerts at some places, a batch at a time.

    An alert's score does not depend on how many others it is scored with: one that is processed again gives the same
    bytes (a test holds ONNX Runtime to that).
    """
    scores: list[float] = []
    for start in range(0, len(places), _BATCH):
        part = places[start : start + _BATCH]
        inputs = {model.images: images[part]}
        if model.numbers:
            inputs[model.numbers] = np.array([rows[place] for place in part], np.float32)
        (found,) = session.run(None, inputs)
        scores += found.reshape(-1).tolist()
    return scores
