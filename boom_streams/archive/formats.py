"""What the archive says of the formats of its collections, and whether this release may read and write them.

The collection ``formats`` has a document for each of the broker's own collections: ``_id`` is its name, ``version``
that of the format of its documents, ``columns`` the fingerprint of the light curves' columns where it keeps some, and
``steps`` which steps of `boom_streams.archive.migrations` were done, and when. A collection without one was made by
release 0.1.0, which said nothing: its documents are of version 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pymongo.database import Database
from pymongo.errors import BulkWriteError

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.errors import FormatError
from boom_streams.schema import formats
from boom_streams.settings import Settings
from boom_streams.surveys import Survey, get_survey
from boom_streams.topologies.survey import COLLECTIONS

__all__ = ["Kept", "check", "checked", "expected", "found", "is_older", "refuse_newer", "state"]

#: Collections that all surveys share.
_SHARED = ("filters", names.CATALOGS, names.CATALOG_TILES)


class Kept(NamedTuple):
    """A collection of the broker's, and what this release keeps in it.

    Attributes
    ----------
    survey
        None: all surveys share it.
    packing
        Of the light curves that it has; None: it has none.
    """

    name: str
    kind: str
    version: int
    survey: Survey | None
    packing: formats.Packing | None

    def document(self) -> dict[str, Any]:
        """What ``formats`` says of it."""
        columns = {"columns": self.packing.mark} if self.packing is not None else {}
        return {"_id": self.name, "version": self.version, **columns}


def expected(surveys: Iterable[str]) -> list[Kept]:
    """Collections of a broker with these surveys."""
    kept = []
    for survey in map(get_survey, surveys):
        for kind in COLLECTIONS:
            packing = formats.packing(survey) if kind == "alerts_aux" else None
            version = formats.COLLECTIONS[kind].version
            kept.append(Kept(names.collection(survey.name, kind), kind, version, survey, packing))
    return kept + [Kept(kind, kind, formats.COLLECTIONS[kind].version, None, None) for kind in _SHARED]


def found(database: Database[dict[str, Any]], surveys: Iterable[str]) -> dict[Kept, dict[str, Any]]:
    """Collections that have documents or of which ``formats`` says something, and what it says."""
    present = set(database.list_collection_names())  # before what is said of them: that is written first
    said = {document["_id"]: document for document in database[names.FORMATS].find()}
    there = {}
    for each in expected(surveys):
        if each.name in said:
            there[each] = said[each.name]
        elif each.name in present and database[each.name].find_one({}, {"_id": 1}) is not None:
            there[each] = {"_id": each.name, "version": 1}
    return there


def check(database: Database[dict[str, Any]], surveys: Iterable[str]) -> None:
    """Make sure that this release may read and write the archive.

    Raises
    ------
    FormatError
        If an earlier or a newer release wrote it; says what helps.
    pymongo.errors.PyMongoError
        If MongoDB does not answer.
    """
    there = found(database, surveys)
    refuse_newer(database, there)
    older = [_told(each, said) for each, said in there.items() if is_older(each, said)]
    if older:
        raise FormatError(
            f"an earlier release wrote the archive (database {database.name}): {'; '.join(older)}; "
            "stop all workers and run `boom-streams migrate`"
        )


def checked(settings: Settings) -> Database[dict[str, Any]]:
    """The broker's database, after a `check`: for commands."""
    database = mongo.database(settings)
    check(database, settings.surveys)
    return database


def state(database: Database[dict[str, Any]], surveys: Iterable[str]) -> None:
    """Say of every collection in which format it is, or will be when it is made; `check` those that there are."""
    surveys = list(surveys)
    check(database, surveys)
    said = {document["_id"] for document in database[names.FORMATS].find({}, {"_id": 1})}
    new = [each for each in expected(surveys) if each.name not in said]
    if new:
        try:
            database[names.FORMATS].insert_many([each.document() for each in new], ordered=False)
        except BulkWriteError as error:  # another worker was faster
            mongo.duplicates(error)


def refuse_newer(database: Database[dict[str, Any]], there: Mapping[Kept, Mapping[str, Any]]) -> None:
    """Raise `FormatError` if a newer release wrote some of the collections that are there."""
    newer = [_told(each, said) for each, said in there.items() if _is_newer(each, said)]
    if newer:
        raise FormatError(
            f"a newer release wrote the archive (database {database.name}): {'; '.join(newer)}; {formats.UPGRADE}"
        )


def is_older(each: Kept, said: Mapping[str, Any]) -> bool:
    """Whether a collection has to be migrated."""
    return said["version"] < each.version or (each.packing is not None and said.get("columns") != each.packing.mark)


def _is_newer(each: Kept, said: Mapping[str, Any]) -> bool:
    if said["version"] != each.version or each.packing is None:
        return bool(said["version"] > each.version)
    columns = said.get("columns")
    return columns is not None and columns != each.packing.mark and columns not in each.packing.earlier


def _told(each: Kept, said: Mapping[str, Any]) -> str:
    if said["version"] != each.version:
        return f"{each.name} has version {said['version']} of its format, and this release version {each.version}"
    mark = None if each.packing is None else each.packing.mark
    return f"light curves in {each.name} have the columns {said.get('columns')}, and in this release {mark}"
