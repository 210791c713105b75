"""What the demo's alerts are matched with and classified by, as far as it can be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from boom_streams.archive import mongo
from boom_streams.catalogs.importer import Import
from boom_streams.crossmatch import CatalogStore, load_descriptions
from boom_streams.errors import DownloadError
from boom_streams.ingest.download import Progress, unreachable
from boom_streams.models.files import ADDRESS, state
from boom_streams.models.install import install
from boom_streams.models.registry import known_models, models_of

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["import_catalogs", "install_models"]

#: Seconds that the models' address has to answer.
_PATIENCE = 5.0


def import_catalogs(settings: Settings, folder: Path | None, say: Callable[[str], None]) -> None:
    """Import the Parquet files of a night's own catalogues, but none whose name is taken; say what is matched with."""
    store = CatalogStore(mongo.database(settings))
    known = {each.catalog.name for each in store.load()}
    described = load_descriptions(settings.catalogs_dir)
    for problem in described.wrong.values():
        say(problem)
    descriptions = described.catalogs
    for file in sorted(folder.glob("*.parquet")) if folder else ():
        if file.stem in descriptions and file.stem not in known:
            Import(mongo.database(settings), descriptions[file.stem], [file], settings.data_dir).run()
            known.add(file.stem)
    if known:
        say(f"alerts are matched with {', '.join(sorted(known))}")
    else:
        say("no catalogue is imported, so alerts are matched with none: boom-streams catalogs --help")


def install_models(
    settings: Settings,
    say: Callable[[str], None],
    address: str = ADDRESS,
    progress: Progress = lambda done, total: None,
) -> None:
    """Install the configured models that are not there, if their address answers; say what alerts are classified by."""
    folder = settings.models_folder
    names = models_of("ZTF", settings.models)
    absent = [name for name in names if state(folder, name) == "absent"]
    if absent:
        url = f"{address.rstrip('/')}/{known_models()[absent[0]].file}"
        if problem := unreachable(url, _PATIENCE):
            say(f"the models cannot be had: {problem}")
        else:
            try:
                install(folder, absent, address, progress)
            except DownloadError as error:
                say(str(error))
    there = [name for name in names if state(folder, name) != "absent"]
    say(f"models: {', '.join(there) or 'none'}")
