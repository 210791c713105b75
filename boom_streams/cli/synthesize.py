"""``boom-streams synthesize``."""

from __future__ import annotations

from pathlib import Path

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.command("synthesize")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--alerts", type=click.IntRange(1), default=500, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another night.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(folder: Path, alerts: int, seed: int, quiet: bool) -> None:
    """Make up a night of ZTF alerts in FOLDER: to try the broker without the internet.

    Supernovae, tidal disruption events, active nuclei, variable stars, outbursts, asteroids and
    artefacts, with light curves and stamps. Beside the alerts are truth.csv, which says what each
    is, and catalogs/ with what is around them. The same seed gives the same night.

    \b
    Examples:
      boom-streams synthesize night
      boom-streams replay ztf night
      boom-streams synthesize big --alerts 5000 --seed 7
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.progress import count_bar
    from boom_streams.synthetic import make_night

    with count_bar("alerts", alerts, not quiet) as progress:
        night = make_night(folder, alerts, seed, progress)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(night.kinds.items()))
    echo(f"{night.alerts} alerts of {night.objects} objects in {night.folder}: {kinds}")
    echo(f"what they are is in {night.truth}; catalogues are in {night.catalogs[0].parent}")
