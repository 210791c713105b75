"""``boom-streams models install|list|verify``."""

from __future__ import annotations

from pathlib import Path

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.group("models")
def command() -> None:
    """Machine-learning models that classify alerts: their files.

    They lie in the folder `models` of the data folder, or in BOOM_MODELS_DIR; workers use those that are there
    when they start. BOOM_MODELS says which are asked.

    \b
    Examples:
      boom-streams models install
      boom-streams models install braai --from https://mirror.example/models
      boom-streams models list
      boom-streams models verify
    """  # noqa: D301 - click needs the real backspace


@command.command("install")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--from", "address", metavar="URL", help="Folder of a mirror that has the files; default: the authors'.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def install(names: tuple[str, ...], address: str | None, quiet: bool) -> None:
    """Download the models that are not there yet, and check them; without NAME those that this broker asks.

    \b
    Examples:
      boom-streams models install
      boom-streams models install btsbot
      boom-streams models install --from https://mirror.example/models
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.progress import download_bar
    from boom_streams.models.files import ADDRESS
    from boom_streams.models.install import install as install_models

    folder, wanted = _asked(names)
    complete = True
    for name in wanted:
        with download_bar(name, not quiet) as progress:
            (done,) = install_models(folder, [name], address or ADDRESS, progress)
        echo(f"{done.name}: {done.done}")
        complete &= done.good
    echo(f"the models are in {folder}; running workers use new ones when they are started again")
    if not complete:
        raise SystemExit(1)


@command.command("list")
def list_models() -> None:
    """List all models: version, whether it is installed and asked, and what a score near 1 means."""
    from boom_streams.cli.tables import PlainTable, show
    from boom_streams.models.files import state
    from boom_streams.models.registry import known_models

    folder, asked = _asked(())
    table = PlainTable(f"models in {folder}")
    for column in ("name", "version", "file", "asked", "a score near 1 means"):
        table.add_column(column, overflow="fold")
    for name, model in known_models().items():
        table.add_row(name, model.version, state(folder, name), "yes" if name in asked else "no", model.what)
    show(table)


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def verify(names: tuple[str, ...]) -> None:
    """Check the models' files, load each and run it once; the exit code is 1 if one is absent or wrong.

    \b
    Examples:
      boom-streams models verify
      boom-streams models verify btsbot braai
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.models.install import verify as verify_model

    folder, wanted = _asked(names)
    problems = {name: verify_model(folder, name) for name in wanted}
    for name, problem in problems.items():
        echo(f"{name}: {problem or 'runs'}")
    if any(problems.values()):
        raise SystemExit(1)


def _asked(names: tuple[str, ...]) -> tuple[Path, list[str]]:
    """Folder of the models, and which are meant: the named ones, else those that this broker asks."""
    from boom_streams.models.registry import known_models
    from boom_streams.settings import current_settings

    settings = current_settings()
    wanted, known = list(names or settings.models), known_models()
    for name in wanted:
        if name not in known:
            where = "" if names else " (setting BOOM_MODELS)"
            raise click.UsageError(f"no model is called {name!r}{where}; there are {', '.join(known)}")
    return settings.models_folder, wanted
