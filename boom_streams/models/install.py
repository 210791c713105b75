"""Installing the models: their files come from where they are published, and are known by their checksums.

* A file is there only when its sha256 is one of those in `boom_streams.surveys.model.ModelFiles`
* Verifying a model reads its checksum, loads it as the workers do, and runs it once on a made-up alert
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boom_streams.errors import BoomError
from boom_streams.ingest.download import Progress, download
from boom_streams.models.files import ADDRESS, state
from boom_streams.models.images import CHANNELS, SIZE
from boom_streams.models.registry import Model, known_models
from boom_streams.models.scores import Scorer, Subject
from boom_streams.surveys.model import History

__all__ = ["Installed", "install", "verify"]


class Installed(NamedTuple):
    """What came of one model.

    Attributes
    ----------
    done
        What was done, or what a person has to do.
    good
        The model is there.
    """

    name: str
    done: str
    good: bool


def install(
    folder: Path,
    names: Iterable[str],
    address: str = ADDRESS,
    progress: Progress = lambda done, total: None,
) -> list[Installed]:
    """Download the models that are not there yet.

    Parameters
    ----------
    folder
        Where the files are to be; it is made.
    names
        Which models, of `boom_streams.models.registry.known_models`.
    address
        Folder of the web that has the files; a mirror may have either of a model's known files.
    progress
        Told of the bytes of each file.

    Raises
    ------
    DownloadError
        If a file cannot be had, or is none of the known ones.
    """
    return [_install_one(folder, known_models()[name], address, progress) for name in names]


def verify(folder: Path, name: str) -> str:
    """What is wrong with a model; empty if nothing is."""
    found = state(folder, name)
    if found == "absent":
        return f"{folder / known_models()[name].file} is absent; `boom-streams models install {name}` fetches it"
    if found != "installed":
        return f"{folder / known_models()[name].file} is damaged or another version; delete it and install it again"
    try:
        (scores,) = Scorer(folder, [name]).score([_made_up(name)], _image(), [None])
    except Exception as error:  # whatever ONNX Runtime finds
        return f"{folder / known_models()[name].file} does not run: {error}"
    return scores.unscored.get(name, "")


def _install_one(folder: Path, model: Model, address: str, progress: Progress) -> Installed:
    files, there = model.files, state(folder, model.name)
    if there == "installed":
        return Installed(model.name, "is installed", True)
    if files.published is None and address == ADDRESS:
        todo = (
            f"is not published as an ONNX file; its authors publish the weights at {files.weights}: convert them, "
            f"or take the file from a mirror (--from)"
        )
        return Installed(model.name, todo, False)
    if there != "absent":
        raise BoomError(f"{folder / model.file} is damaged or another version; delete it to install {model.name}")
    size = files.published.size if files.published and address == ADDRESS else None
    url = f"{address.rstrip('/')}/{model.file}"
    file = download(url, folder / model.file, size=size, sha256=files.sha256, progress=progress)
    return Installed(model.name, f"installed, {os.path.getsize(file)} bytes from {url}", True)


def _made_up(name: str) -> Subject:
    """Numbers for a run; what they say does not matter."""
    return Subject(dict.fromkeys(known_models()[name].fields, 1.0), History(*[1.0] * len(History._fields)))


def _image() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    shape: Sequence[int] = (1, SIZE, SIZE, CHANNELS)
    return np.full(shape, 1 / math.prod((SIZE, SIZE)), np.float32)
