"""``boom-streams download ztf``."""

from __future__ import annotations

from pathlib import Path

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.group("download")
def command() -> None:
    """Download archived alerts of a survey.

    \b
    Examples:
      boom-streams download ztf 20240617
    """  # noqa: D301 - click needs the real backspace


@command.command("ztf")
@click.argument("night", metavar="YYYYMMDD")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where it is to be; default: nights in the data folder."
)
@click.option("--from", "address", metavar="URL", help="Folder of a mirror; default: the public archive of ZTF.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def ztf(night: str, folder: Path | None, address: str | None, quiet: bool) -> None:
    """Download the public ZTF alerts of the night YYYYMMDD (UTC), and print where they are.

    The archive at https://ztf.uw.edu/alerts/public/ has a file a night, of up to tens of GB. A download
    that was cut off goes on where it ended; a night that is there is not downloaded again.

    \b
    Examples:
      boom-streams download ztf 20240617
      boom-streams replay ztf $(boom-streams download ztf 20240617)
      boom-streams download ztf 20240617 --folder /data/nights
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.progress import download_bar
    from boom_streams.ingest.ztf_nights import ARCHIVE, download_night, has_alerts
    from boom_streams.settings import current_settings

    where = folder or current_settings().data_dir / "nights"
    with download_bar(night, not quiet) as progress:
        file = download_night(night, where, address or ARCHIVE, progress)
    if not has_alerts(file):
        echo(f"there are no alerts of the night {night}: the archive is empty", err=True)
    echo(file)
