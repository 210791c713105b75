"""The HTML page of what passed: what it needs from the archive, and its file."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boom_streams.errors import BoomError

if TYPE_CHECKING:
    from boom_streams.page import Night
    from boom_streams.publish.results import Passing
    from boom_streams.settings import Settings

__all__ = ["PAGE", "filter_descriptions", "make_page", "night_name", "save_page"]

#: Type of an option that names the file.
PAGE = click.Path(dir_okay=False, path_type=Path)

_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".avro")


def night_name(night: Sequence[Path]) -> str:
    """Name of a night, for a heading and a file: that of its first folder or file."""
    name = night[0].resolve().name
    stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name) or "night"
    return stem if len(night) == 1 else f"{stem} and {len(night) - 1} more"


def filter_descriptions(settings: Settings, survey: str) -> dict[str, str]:
    """What each filter that ran looks for, by name; of a suspended one, why."""
    from boom_streams.archive.formats import checked
    from boom_streams.filters import FilterStore

    found = {}
    for document in FilterStore(checked(settings)).list_all(survey):
        suspended = document.get("suspended")
        if document.get("active") or suspended:
            found[document["name"]] = (
                f"suspended: {suspended['reason']}" if suspended else document.get("description") or ""
            )
    return found


def make_page(settings: Settings, night: Night, alerts: Sequence[Passing]) -> str:
    """HTML page of some alerts, with their objects' matches if the archive can be read."""
    from pymongo.errors import PyMongoError

    from boom_streams.page import render

    records = [alert.alert for alert in alerts]
    try:
        matches = _matches(settings, records)
    except PyMongoError:
        matches = None
    return render(night, records, matches)


def save_page(page: str, target: Path) -> str:
    """Write a page; its ``file://`` address.

    Raises
    ------
    BoomError
        If it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BoomError(f"the page cannot be written: {error}") from None
    return target.resolve().as_uri()


def _matches(settings: Settings, records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    from boom_streams.archive import read_matches
    from boom_streams.archive.formats import checked
    from boom_streams.page import MOST

    found: dict[str, dict[str, Any]] = {}
    shown = dict.fromkeys((record["survey"], record["objectId"]) for record in records)
    with_card = set(list(shown)[:MOST])
    for survey in {survey for survey, _ in with_card}:
        mine = [r for r in records if r["survey"] == survey and (survey, r["objectId"]) in with_card]
        names = {passed["name"] for record in mine for passed in record["filters"]}
        programmes = _programmes(settings, survey, names)
        found |= read_matches(checked(settings), survey, [record["objectId"] for record in mine], programmes)
    return found


def _programmes(settings: Settings, survey: str, names: Collection[str]) -> frozenset[int]:
    """Programmes that the filters see whose alerts are shown."""
    from boom_streams.access.permissions import check_permissions, everything_that
    from boom_streams.archive.formats import checked
    from boom_streams.errors import FilterError
    from boom_streams.filters import FilterStore

    found = []
    for document in FilterStore(checked(settings)).list_all(survey):
        if document.get("name") in names:
            with contextlib.suppress(FilterError):
                found.append(check_permissions(survey, document.get("permissions")))
    return everything_that(found, survey)
