"""Nights of the public ZTF alert archive."""

from __future__ import annotations

import tarfile
import zlib
from datetime import datetime
from pathlib import Path

from boom_streams.errors import DownloadError
from boom_streams.ingest.download import Progress, download

__all__ = ["ARCHIVE", "archive_name", "download_night", "has_alerts"]

#: The University of Washington's public archive, one file a night.
ARCHIVE = "https://ztf.uw.edu/alerts/public/"

_LENGTH = len("YYYYMMDD")


def archive_name(night: str) -> str:
    """Name of a night's archive.

    Parameters
    ----------
    night
        Date of the night, UTC, as YYYYMMDD.

    Raises
    ------
    DownloadError
        If it is no date.
    """
    try:
        if len(night) != _LENGTH or not (night.isascii() and night.isdigit()):
            raise ValueError
        datetime.strptime(night, "%Y%m%d")  # noqa: DTZ007 - a date alone
    except ValueError:
        raise DownloadError(f"{night!r} is no night; write its date (UTC) as YYYYMMDD, such as 20240617") from None
    return f"ztf_public_{night}.tar.gz"


def download_night(
    night: str,
    folder: Path,
    address: str = ARCHIVE,
    progress: Progress = lambda done, total: None,
    attempts: int = 4,
) -> Path:
    """Download a night, unless it is there, and look whether it can be read.

    Parameters
    ----------
    night
        Date of the night, UTC, as YYYYMMDD.
    folder
        Where it is to be; it is made.
    address
        Folder of the web that has the archives: the public one, or a mirror.
    progress, attempts
        As for `boom_streams.download.download`.

    Raises
    ------
    DownloadError
        If it cannot be had, or is no tar.gz archive; then it is not kept.
    """
    file = folder / archive_name(night)
    if not file.exists():
        download(f"{address.rstrip('/')}/{file.name}", file, progress=progress, attempts=attempts)
    try:
        has_alerts(file)
    except DownloadError:
        file.unlink()
        raise
    return file


def has_alerts(archive: Path) -> bool:
    """Whether there is an alert in an archive, which is read up to the first; nights of bad weather have none.

    Raises
    ------
    DownloadError
        If it is no tar.gz archive.
    """
    try:
        with tarfile.open(archive, "r|gz") as members:
            return any(member.isreg() and member.name.endswith(".avro") for member in members)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"{archive} is no readable tar.gz archive: {error}") from None
