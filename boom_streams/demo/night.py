"""The night that the demo shows when none is named."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from boom_streams.errors import DownloadError
from boom_streams.ingest.download import Progress, unreachable
from boom_streams.ingest.ztf_nights import ARCHIVE, archive_name, download_night, has_alerts
from boom_streams.synthetic import make_night
from boom_streams.synthetic.night import CATALOGS

__all__ = ["NIGHT", "DemoNight", "find_night"]

#: A small night of the public archive.
NIGHT = "20240617"

#: Seconds that the archive has to answer.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class DemoNight:
    """A night to show.

    Attributes
    ----------
    path
        What to replay.
    told
        Which night it is, and why, for people.
    catalogs
        Folder of Parquet files that match it; None: it has none of its own.
    """

    path: Path
    told: str
    catalogs: Path | None = None


def find_night(
    data_dir: Path, address: str = ARCHIVE, progress: Progress = lambda done, total: None, patience: float = _PATIENCE
) -> DemoNight:
    """Take the night that is there, else from the public archive, else make one up.

    Parameters
    ----------
    data_dir
        Nights are kept in its folder ``nights``.
    address, progress
        As for `boom_streams.ingest.ztf_nights.download_night`.
    patience
        Seconds that the archive has to answer: no network costs no more than these.
    """
    folder = data_dir / "nights"
    try:
        name = archive_name(NIGHT)
        if not (folder / name).exists() and (problem := unreachable(f"{address.rstrip('/')}/{name}", patience)):
            return _made_up(folder, problem)
        file = download_night(NIGHT, folder, address, progress, attempts=2)
        if not has_alerts(file):
            return _made_up(folder, f"{file} has no alerts")
    except DownloadError as error:
        return _made_up(folder, str(error))
    return DemoNight(file, f"the night {NIGHT} of the public ZTF archive: {file}")


def _made_up(folder: Path, problem: str) -> DemoNight:
    """Make a night up, whole or not at all; the next time it is there."""
    night = folder / "synthetic"
    if not night.exists():
        part = folder / "synthetic.part"
        shutil.rmtree(part, ignore_errors=True)
        make_night(part)
        os.replace(part, night)
    told = f"a synthetic night: {night} (the night {NIGHT} of the public ZTF archive cannot be had: {problem})"
    return DemoNight(night, told, night / CATALOGS)
