"""One owner of a folder: whoever comes second is told so, and a lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from boom_streams.errors import BoomError, SettingsError

__all__ = ["hold", "release"]

log = logging.getLogger(__name__)

_FILE = "lock"


def hold(folder: Path, owner: str, variable: str) -> int:
    """Take a folder for this process; returns what `release` wants.

    Parameters
    ----------
    folder
        The folder; it is made if there is none.
    owner
        Who this process is, for the sentence that the second one reads.
    variable
        Environment variable that names another folder.

    Raises
    ------
    BoomError
        If another process holds it.
    SettingsError
        If it cannot be written.
    """
    path = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SettingsError(
            f"cannot write {path}: {error.strerror}; set {variable} to a folder that can be written"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(file, 20, 0).decode(errors="replace").strip()
        os.close(file)
        raise BoomError(
            f"another {owner} (process {pid or 'unknown'}) works in {folder}; end it, or set {variable} to a folder "
            "of its own"
        ) from None
    except OSError as error:  # a file system without locks
        log.warning("%s cannot be locked (%s): make sure that nothing else works in this folder", path, error.strerror)
    os.ftruncate(file, 0)
    os.pwrite(file, b"%d\n" % os.getpid(), 0)
    return file


def release(file: int) -> None:
    """Give the folder free."""
    os.close(file)
