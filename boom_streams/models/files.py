"""Where the models' files are published, and how they are known to be right."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from boom_streams.ingest.download import sha256_of
from boom_streams.models.registry import known_models

__all__ = ["ADDRESS", "State", "state"]

State = Literal["installed", "absent", "not the published file"]

#: The models as ONNX files among the BOOM broker's sources (MIT licence), in one revision, so that they stay the same.
ADDRESS = (
    "https://media.githubusercontent.com/media/boom-astro/boom/8ebd463d63b56ba841061c5b9f81e142941227a8/data/models/"
)


def state(folder: Path, name: str) -> State:
    """Whether a model's file is there and is a known one."""
    model = known_models()[name]
    file = folder / model.file
    if not file.is_file():
        return "absent"
    return "installed" if sha256_of(file) in model.files.sha256 else "not the published file"
