"""How fast this machine is just now: fixed work on the night's packets, which was measured with the reference, too.

Machines of one kind differ, and a virtual one changes from minute to minute with what its neighbours do: the same code
has taken from 0.8 to 1.9 ms a packet. A figure in CPU milliseconds means something only beside the yardstick's.
"""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

import bson
import fastavro
import numpy as np

from boom_streams.avro.containers import single_record
from boom_streams.errors import BoomError
from boom_streams.models import History, Scorer, Subject
from boom_streams.models.images import CHANNELS, SIZE
from boom_streams.settings import Settings
from boom_streams.surveys.ztf.models import ACAI, BTSBOT

__all__ = ["MODELS", "MODELS_MS", "REFERENCE", "at_reference", "measure", "slowness"]

#: Milliseconds of CPU a packet where the reference was measured, one idle core (README beside the night's script).
REFERENCE = {"Avro decode": 0.47, "gunzip of the stamps": 0.25, "BSON encode": 0.08}

#: The same of the models: five ACAI at 0.065, and BTSbot, on a processor with AVX-512; others take thrice that.
MODELS_MS = 5 * 0.065 + 2.4

#: Name of the models' time among the others.
MODELS = "six models"

_NAMES: tuple[str, ...] = Settings.model_fields["models"].default

_PACKETS = 200
_REPEATS = 5
_ALERTS = 64


def measure(files: Sequence[Path], models: Path) -> dict[str, float]:
    """CPU milliseconds a packet of each part and of the models, on one core; the mean of some repeats.

    Parameters
    ----------
    files
        Packets of the night, one a file; the first 200 are used.
    models
        Folder of the models.
    """
    packets, schema = _packets(files[:_PACKETS])
    records = [fastavro.schemaless_reader(io.BytesIO(packet), schema, None) for packet in packets]
    stamps = [value["stampData"] for record in records for name, value in record.items() if name.startswith("cutout")]
    work: dict[str, Callable[[], Any]] = {
        "Avro decode": lambda: [fastavro.schemaless_reader(io.BytesIO(packet), schema, None) for packet in packets],
        "gunzip of the stamps": lambda: [zlib.decompress(stamp, 31) for stamp in stamps],
        "BSON encode": lambda: [bson.encode(record) for record in records],
    }
    spent = {name: fmean(_cpu_ms(call) for _ in range(_REPEATS)) / len(packets) for name, call in work.items()}
    return {**spent, MODELS: _models_ms(models)}


def at_reference(total_ms: float, models_ms: float, slow: float) -> float:
    """What an alert would cost on the reference's machine: the models as they were measured there, and the rest."""
    return (total_ms - models_ms) / slow + MODELS_MS


def slowness(measured: Mapping[str, float]) -> float:
    """Times that this machine takes for what the reference's takes once: the geometric mean over the parts."""
    return geometric_mean(measured[name] / ms for name, ms in REFERENCE.items())


def _models_ms(folder: Path) -> float:
    """CPU milliseconds an alert of the six models, on one core; images and numbers are noise, the time is the same."""
    noise = np.random.default_rng(1)
    images = noise.random((_ALERTS, SIZE, SIZE, CHANNELS), np.float32)
    subjects = [Subject(dict.fromkeys((*ACAI, *BTSBOT), 0.5), History(*[0.5] * 5))] * _ALERTS
    scorer = Scorer(folder, _NAMES)
    if scorer.absent:
        raise BoomError(f"{folder} lacks {', '.join(scorer.absent)}")
    return fmean(_cpu_ms(lambda: scorer.score(subjects, images, [None] * _ALERTS)) for _ in range(3)) / _ALERTS


def _packets(files: Sequence[Path]) -> tuple[list[bytes], Any]:
    """The packets without their containers, and their schema, parsed."""
    found = [single_record(file.read_bytes()) for file in files]
    return [packet for _, packet in found], found[0][0].parsed


def _cpu_ms(call: Callable[[], Any]) -> float:
    before = time.process_time()
    call()
    return (time.process_time() - before) * 1000
