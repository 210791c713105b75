"""``boom-streams replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from boom_streams.cli.plain import echo

if TYPE_CHECKING:
    from boom_streams.ingest.replay import Counts

__all__ = ["command", "summary"]


@click.command("replay")
@click.argument("survey")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Alerts a second; default: full speed.")
@click.option("--limit", type=click.IntRange(1), help="Most alerts to write.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(survey: str, paths: tuple[Path, ...], rate: float | None, limit: int | None, quiet: bool) -> None:
    """Write archived alerts of SURVEY to its raw topic.

    PATHS are folders (searched recursively), .avro files (or .avro.gz) with any number of alerts,
    and .tar or .tar.gz archives, which are streamed. What is no alert becomes a dead letter with its reason.

    \b
    Examples:
      boom-streams replay ztf ztf_public_20240617.tar.gz
      boom-streams replay ztf night/ --rate 50
      boom-streams replay ztf alert.avro more.avro --limit 100
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.progress import bar
    from boom_streams.ingest.replay import replay
    from boom_streams.settings import current_settings

    settings = current_settings()
    name = survey.upper()
    if name not in settings.surveys:
        known = ", ".join(known.lower() for known in settings.surveys)
        raise click.UsageError(f"{survey} is not among the surveys of this broker: {known}")
    with bar(not quiet) as progress:
        counts = replay(settings, name, paths, rate=rate, limit=limit, progress=progress)
    echo(summary(counts))
    problems = list(counts.problems)
    if not counts.alerts:
        problems.append(f"not one of the {counts.containers} containers has an alert that can be sent")
    for problem in problems:
        echo(f"Error: {problem}", err=True)
    if counts.dead:
        echo("`boom-streams dead list` says what is wrong with each dead letter", err=True)
    if problems:
        raise SystemExit(1)


def summary(counts: Counts) -> str:
    """One line about a finished replay."""
    return (
        f"{counts.alerts} alerts ({counts.margins} margin records, {counts.dead} dead letters) from "
        f"{counts.containers} containers in {counts.seconds:.1f} s: {counts.per_second:.0f} alerts/s"
    )
