"""``boom-streams catalogs import|list|describe``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boom_streams.cli.plain import echo

if TYPE_CHECKING:
    from boom_streams.catalogs.importer import Report
    from boom_streams.crossmatch import Catalog, Descriptions

__all__ = ["command"]


@click.group("catalogs")
def command() -> None:
    """Catalogues of stars and galaxies, with which every alert is matched.

    A description says how alerts are matched with a catalogue: radius, mode, what a match shows. Some come with the
    broker; yours are files NAME.toml in the folder BOOM_CATALOGS_DIR, and win. Workers notice an import by
    themselves.

    \b
    Examples:
      boom-streams catalogs list
      boom-streams catalogs import Gaia_DR3 gaia_*.parquet
      mkdir -p catalogs && boom-streams catalogs describe GCVS gcvs.parquet > catalogs/GCVS.toml
      boom-streams catalogs import GCVS gcvs.parquet
    """  # noqa: D301 - click needs the real backspace


@command.command("import")
@click.argument("name")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--max-rejected",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="Most rows without a usable position or id.",
)
@click.option("--degrees", is_flag=True, help="Positions that look like radians are degrees.")
@click.option("--again", is_flag=True, help="Import although this version is in use.")
@click.option("--tiles-only", is_flag=True, help="What the stream needs, without the documents that people search.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def import_catalog(
    name: str,
    files: tuple[Path, ...],
    max_rejected: float,
    degrees: bool,
    again: bool,
    tiles_only: bool,
    quiet: bool,
) -> None:
    """Import the catalogue NAME from FILEs: .parquet, .fits, .csv or .csv.gz.

    Several files are parts of one catalogue. Positions are ICRS, in decimal degrees; their columns and the one that
    tells sources apart are guessed from usual names, shown, and named in the description where the guess is wrong.

    The old version is in use until the new one is complete, whatever goes wrong. The same files with the same
    description are the same version, and are not imported again.

    \b
    Examples:
      boom-streams catalogs import NED ned_lvs.csv.gz
      boom-streams catalogs import Gaia_DR3 part1.parquet part2.parquet
      boom-streams catalogs import OLD old.csv --max-rejected 5
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.archive import formats
    from boom_streams.catalogs.importer import Import
    from boom_streams.catalogs.reader import check_format
    from boom_streams.cli.progress import steps
    from boom_streams.settings import current_settings

    settings = current_settings()
    for file in files:
        check_format(file)
    catalog = _described(name)
    with steps(name, not quiet) as progress:
        report = Import(
            formats.checked(settings),
            catalog,
            files,
            settings.data_dir,
            max_rejected=max_rejected,
            degrees=degrees,
            again=again,
            progress=progress,
            documents=not tiles_only,
        ).run()
    for line in _told(name, report):
        echo(line)


@command.command("list")
def list_catalogs() -> None:
    """List all catalogues: those that are described, and those that are imported."""
    from boom_streams.archive import formats
    from boom_streams.cli.tables import PlainTable, show
    from boom_streams.crossmatch import CatalogStore, load_descriptions
    from boom_streams.settings import current_settings

    settings = current_settings()
    described = load_descriptions(settings.catalogs_dir)
    imported = {document["_id"]: document for document in CatalogStore(formats.checked(settings)).list_all()}
    table = PlainTable(f"catalogues; descriptions of your own are in {settings.catalogs_dir}")
    for column in ("name", "radius", "mode", "surveys", "version", "rows", "state", "about"):
        right = column in ("radius", "rows")
        table.add_column(column, overflow="fold", justify="right" if right else "left", no_wrap=column == "name")
    for name in sorted({*described.catalogs, *described.wrong, *imported}):
        table.add_row(*_row(name, described, imported.get(name)))
    show(table)


@command.command("describe")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
def describe(name: str, file: Path) -> None:
    """Print a starting point for the description of the catalogue NAME, from its FILE.

    It shows the columns of the file and which of them look like position and identifier. Save it as NAME.toml in the
    folder BOOM_CATALOGS_DIR, and edit it.

    \b
    Example:
      mkdir -p catalogs && boom-streams catalogs describe GCVS gcvs.parquet > catalogs/GCVS.toml
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.catalogs.describe import starting_point
    from boom_streams.catalogs.reader import open_source

    echo(starting_point(name, open_source(file)), nl=False)


def _described(name: str) -> Catalog:
    from boom_streams.crossmatch import load_descriptions
    from boom_streams.errors import CatalogError
    from boom_streams.settings import current_settings

    folder = current_settings().catalogs_dir
    known = load_descriptions(folder)
    found = known.get(name)
    if found is None:
        raise CatalogError(
            f"{name} has no description; make one with `mkdir -p {folder} && "
            f"boom-streams catalogs describe {name} FILE > {folder / name}.toml` and edit it. "
            f"Described are {', '.join(known.catalogs)}"
        )
    return found


def _told(name: str, report: Report) -> list[str]:
    """What a person should know of an import."""
    if report.already_there:
        return [f"{name} is already there, version {report.version}; --again imports it again"]
    lines = [f"{report.columns} (the description of {name} can name others)"]
    if report.rejected.total:
        lines.append(f"rejected {report.rejected}")
    return [*lines, f"imported {name}, version {report.version}: {report.rows} sources in {report.tiles} tiles"]


def _row(name: str, descriptions: Descriptions, imported: Mapping[str, Any] | None) -> list[str]:
    """What the table says of a catalogue; matches are made as it was described when it was imported."""
    from boom_streams.crossmatch import Catalog

    described, wrong = descriptions.catalogs.get(name), descriptions.wrong.get(name)
    used = described if imported is None else Catalog.model_validate(imported["description"])
    if used is None:
        return [name, "", "", "", "", "", f"not imported; {wrong}", ""]
    if imported is None:
        state = "not imported"
    elif wrong is not None:
        state = f"in use; {wrong}"
    elif described is None:
        state = "in use; no description any more"
    else:
        state = "in use" if described == used else "in use; description has changed, import it again"
    return [
        name,
        f'{used.radius:g}"',
        used.mode,
        " ".join(used.surveys) or "all",
        "" if imported is None else str(imported["version"]),
        "" if imported is None else str(imported["rows"]),
        state,
        used.about,
    ]
