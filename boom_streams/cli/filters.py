"""``boom-streams filters add|list|show|export|activate|deactivate|remove``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boom_streams.cli.plain import echo, echo_json, plain

if TYPE_CHECKING:
    from boom_streams.filters import Filter, FilterStore

__all__ = ["command"]


@click.group("filters")
def command() -> None:
    """Users' filters: MongoDB aggregation pipelines that pick alerts.

    A filter called NAME publishes to the topic filtered.NAME. It has versions, one of which is active; workers
    notice a change within seconds.

    \b
    Examples:
      boom-streams filters add bright.json --permissions 1
      boom-streams filters activate bright
      boom-streams consume bright
      boom-streams filters list
    """  # noqa: D301 - click needs the real backspace


def _programids(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f'{value!r} is no list of programids, such as "1" or "1,2,3"') from None


@command.command("add")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="Name of the filter, part of its topic; default: what the file says, else its own name.")
@click.option("--survey", help="Survey whose alerts it reads; default: the file's, else this broker's.")
@click.option(
    "--permissions",
    callback=_programids,
    metavar="PROGRAMIDS",
    help='Programmes whose alerts its user may see, such as "1,2,3" (ZTF: 1 public, 2 partnership, 3 private).',
)
@click.option("--description", help="What it picks, for people.")
def add(
    file: Path, name: str | None, survey: str | None, permissions: list[int] | None, description: str | None
) -> None:
    """Add the filter in FILE, or a version of it if there is one of this name.

    FILE is a pipeline in JSON, as BOOM, Fritz or Kowalski have it, or an object with "pipeline" and, if you like,
    "name", "survey", "permissions" and "description"; options win over the file. The filter is checked here: what is
    translated from another dialect is shown, and what is not allowed is refused with its place in the pipeline.

    A new filter is off, and a new version leaves the active one on, until `boom-streams filters activate`.
    """
    from boom_streams.errors import FilterError
    from boom_streams.settings import current_settings

    settings = current_settings()
    try:
        content = _read(file)
        survey = _survey(survey or content.get("survey") or content.get("catalog"), settings.surveys)
        allowed = content.get("permissions") if permissions is None else permissions
        if isinstance(allowed, list):
            allowed = {survey: allowed}
        name = name or content.get("name") or file.name.removesuffix(".json")
        description = description or content.get("description")
        added = _store().add(name, survey, content["pipeline"], allowed, description=description)
    except FilterError as error:
        raise FilterError(f"{file}: {error}") from None
    for change in added.changes:
        echo(f"translated: {change}")
    from boom_streams.filters.language.unknown import unknown_fields
    from boom_streams.surveys import get_survey

    for told in unknown_fields(_store().version(name, added.fid).pipeline, get_survey(survey)):
        echo(f"warning: {told}")
    echo(f"added {name}, version {added.fid}; switch it on with `boom-streams filters activate {name}`")


@command.command("list")
@click.option("--survey", help="Only filters of this survey.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the pipelines.")
def list_filters(survey: str | None, as_json: bool) -> None:
    """List all filters: what they may see, which version is active, which are suspended and why."""
    found = _store().list_all(survey)
    if as_json:
        for document in found:
            echo_json(document)
        return
    if not found:
        echo("no filters; add one with `boom-streams filters add FILE`")
        return
    from boom_streams.cli.tables import PlainTable, show

    table = PlainTable(f"{len(found)} filters" if len(found) > 1 else "1 filter")
    for column in ("name", "survey", "permissions", "active version", "versions", "suspended", "description"):
        table.add_column(column, overflow="fold", justify="right" if column == "versions" else "left")
    for document in found:
        table.add_row(*_row(document))
    show(table)


@command.command("show")
@click.argument("name")
@click.option("--version", "fid", metavar="FID", help="Version whose pipeline is shown; default: the active one.")
def show_filter(name: str, fid: str | None) -> None:
    """Show the filter NAME: its state, permissions, topic, what has passed so far, versions and pipeline."""
    from boom_streams.cli.filter_details import details
    from boom_streams.settings import current_settings

    for line in details(current_settings(), _store().get(name), fid):
        echo(line)


@command.command("export")
@click.argument("name")
@click.option("--version", "fid", metavar="FID", help="Version, as `show` lists them; default: the active one.")
def export(name: str, fid: str | None) -> None:
    """Print the filter NAME as JSON that `boom-streams filters add` takes.

    \b
    Example:
      boom-streams filters export bright > bright.json
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.filter_details import exported

    echo_json(exported(_store().get(name), fid), indent=2)


@command.command("remove")
@click.argument("name")
@click.option("--topic", is_flag=True, help="Delete its topic with all records as well; the name is free then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, topic: bool, yes: bool) -> None:
    """Remove the filter NAME, which is off, with all its versions.

    What passed stays in the collection of matches, and in its topic until the records are a month old; so the name
    cannot be used again, unless the topic is deleted with --topic.
    """
    from boom_streams.filters.store import check_off
    from boom_streams.filters.topics import delete_topic, settle
    from boom_streams.settings import current_settings

    store, settings = _store(), current_settings()
    document = store.find(name)
    known = str(document.get("name")) if document else name
    if document is None and not topic:
        store.get(name)
    if document:
        check_off(document)
    what = f"filter {known} with all its versions" if document else f"what is left of {known}"
    if not yes:
        click.confirm(plain(f"Remove {what}{' and its topic with all records' if topic else ''}?"), abort=True)
    if document:
        store.remove(name)
        echo(f"{known} is removed; its matches stay in {document.get('survey')}_filter_matches")
    if topic:
        settle(settings)
        delete_topic(settings, known)
        echo(f"the topic of {known} is deleted; the name can be used again")
    else:
        echo(f"its topic stays as well, and with it the name: `boom-streams filters remove {known} --topic` deletes it")


@command.command("activate")
@click.argument("name")
@click.option("--version", "fid", metavar="FID", help="Version, as `list` shows it; default: the newest.")
@click.option("--catch-up", is_flag=True, help="Publish also what has passed since the filter was suspended.")
def activate(name: str, fid: str | None, catch_up: bool) -> None:
    """Switch the filter NAME on, and lift its suspension.

    A --catch-up that was interrupted goes on when it is given again.
    """
    from boom_streams.filters import missed
    from boom_streams.filters.topics import open_topic
    from boom_streams.settings import current_settings

    store = _store()
    open_topic(current_settings(), store.version(name, fid))
    chosen = store.activate(name, fid, keep_missed=catch_up)
    since = missed(store.get(name))
    if catch_up:
        _catch_up(chosen, since)
    elif since is not None:
        echo(f"it still lacks alerts; `boom-streams filters activate {chosen.name} --catch-up` publishes them")
    echo(f"{chosen.name} is active, version {chosen.fid}; `boom-streams consume {chosen.name}` shows what passes")


def _catch_up(chosen: Filter, since: list[int] | None) -> None:
    from boom_streams.agents.catch_up import catch_up
    from boom_streams.settings import current_settings

    if since is None:
        echo("it was not suspended, or by an earlier release: there is nothing to catch up with")
        return
    done = catch_up(current_settings(), chosen, since)
    echo(f"caught up: {done.passed} of {done.read} alerts since its suspension passed")
    if done.gone:
        echo(f"{done.gone} older records are no longer in Kafka; `archive_pipeline` finds what passed among them")
    if done.skipped:
        echo(f"{done.skipped} of them are left out, as they cannot be evaluated: the warnings name them")
    if done.failed:
        echo(f"it failed again, and is suspended: {done.failed}")


@command.command("deactivate")
@click.argument("name")
def deactivate(name: str) -> None:
    """Switch the filter NAME off; its versions, its topic and its matches stay."""
    _store().deactivate(name)
    echo(f"{name} is off")


def _store() -> FilterStore:
    from boom_streams.archive import formats
    from boom_streams.filters import FilterStore
    from boom_streams.settings import current_settings

    return FilterStore(formats.checked(current_settings()))


def _read(file: Path) -> dict[str, Any]:
    """Content of a filter's file: an object that has a pipeline."""
    from boom_streams.errors import FilterError
    from boom_streams.filters import parse_pipeline

    try:
        content = parse_pipeline(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise FilterError("not a text in UTF-8; a filter is a pipeline in JSON") from None
    if isinstance(content, dict) and "pipeline" in content:
        return content
    if isinstance(content, dict):
        raise FilterError('this object has no "pipeline"; a filter is a list of stages, or an object that has one')
    return {"pipeline": content}


def _survey(name: Any, known: tuple[str, ...]) -> str:
    from boom_streams.errors import FilterError
    from boom_streams.filters import check_survey

    if name is None and len(known) > 1:
        raise FilterError(f"say which survey it reads: --survey {' or '.join(known)}")
    survey = check_survey(known[0] if name is None else name)
    if survey not in known:
        raise FilterError(f"{survey} is not among the surveys of this broker: {', '.join(known)}")
    return survey


def _row(document: Mapping[str, Any]) -> list[str]:
    from boom_streams.cli.filter_details import permissions
    from boom_streams.filters import state

    told = state(document)
    versions = document.get("fv")
    return [
        str(document.get("name")),
        str(document.get("survey")),
        permissions(document),
        str(document.get("active_fid")) if told == "on" else told.split(" ")[0],
        str(len(versions) if isinstance(versions, list) else 0),
        told.removeprefix("suspended ") if told.startswith("suspended") else "",
        str(document.get("description") or ""),
    ]
