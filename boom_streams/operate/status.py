"""What the broker is doing, and what it lacks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from boom_streams import names
from boom_streams.archive import formats, mongo
from boom_streams.crossmatch import Catalog, CatalogStore, load_descriptions
from boom_streams.errors import BoomError, FormatError, ServiceError, SettingsError
from boom_streams.filters import FilterStore
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.offsets import committed, watermarks
from boom_streams.kafka.topics import required_topics, topic_problems
from boom_streams.operate import dead_letters, layouts, worker_notes
from boom_streams.operate.retention import expiring
from boom_streams.surveys import get_survey
from boom_streams.topologies.survey import COLLECTIONS, TABLES

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["collect", "lag", "total_lag"]

Marks = Mapping[tuple[str, int], tuple[int, int]]


def collect(settings: Settings, interval: float = 1.0) -> dict[str, Any]:
    """Everything that ``boom-streams status`` shows, ready for JSON.

    Parameters
    ----------
    settings
        Which broker.
    interval
        Seconds over which the rates are measured.

    Returns
    -------
    dict
        ``layout`` (``all``, ``roles``, ``both`` or None),
        ``stages`` (a role, topic and group each: lag, records in the topic, records handled
        a second, workers), ``topics`` (records, records a second), ``dead`` (letters not replayed, a survey
        each), ``tables`` (records in the changelog, which compaction shrinks to the table's size),
        ``archive`` (documents a collection), ``waiting`` (stages of this machine's workers that wait: since when, why),
        ``unfit`` (records that do not fit their schema, of those that ``BOOM_VALIDATE_SAMPLE`` has them check),
        ``missing`` (sentences), ``without`` (what alerts go on without), ``filters`` (sentences about those that do
        not run).
    """
    report: dict[str, Any] = {"kafka": settings.kafka, "layout": None, "stages": [], "topics": {}}
    report["waiting"] = worker_notes.waiting(settings)
    report["lost"] = worker_notes.lost(settings)
    report["unfit"] = worker_notes.unfit(settings)
    report |= {"dead": {}, "tables": {}, "archive": {}, "missing": [], "without": [], "filters": []}
    for survey in settings.surveys:
        try:
            get_survey(survey)
        except SettingsError as error:
            report["missing"].append(str(error))
    try:
        _kafka(settings, interval, report)
    except BoomError as error:
        report["missing"].append(str(error))
    _archive(settings, report)
    report["without"] += _absent_models(settings)
    return report


def lag(settings: Settings, running: str = "roles") -> dict[tuple[str, str], int]:
    """Records that each role of a layout has still to handle, a (role, topic) each.

    When all are 0, everything that was in the first topic is through the last: positions are read before
    the topics' ends, and a stage commits after its output is confirmed.
    """
    positions = _positions(settings, running)
    marks = _marks(settings)
    return {
        (role, topic): _behind(marks, known, topic)
        for role, known in positions.items()
        for topic in layouts.topics_of(settings, role)
    }


def total_lag(settings: Settings, running: str = "roles") -> int:
    """Records that are still to be handled by anyone."""
    return sum(lag(settings, running).values())


def _kafka(settings: Settings, interval: float, report: dict[str, Any]) -> None:
    existing = partition_counts(settings)
    report["missing"] += topic_problems(settings, existing)
    try:
        report["layout"] = layouts.current(settings)
    except ServiceError:
        raise
    except BoomError as error:
        report["layout"] = "both"
        report["missing"].append(str(error))
    workers = layouts.members(settings)
    running = report["layout"]
    if running not in layouts.LAYOUTS:
        running = "all" if names.group_id("all", settings.topic_prefix) in workers else "roles"
    before, first, began = _positions(settings, running), _marks(settings), time.monotonic()
    time.sleep(interval)
    after, marks, seconds = _positions(settings, running), _marks(settings), time.monotonic() - began
    for role, positions in after.items():
        group = names.group_id(role, settings.topic_prefix)
        if not workers.get(group):
            hint = "start them with `boom-streams up`"
            report["missing"].append(f"no worker runs as `{role}` (group {group}); {hint}")
        report["missing"] += expiring(settings, role)
        for topic in layouts.topics_of(settings, role):
            done = _handled(before[role], positions, topic)
            report["stages"].append(
                {
                    "role": role,
                    "topic": topic,
                    "group": group,
                    "workers": workers.get(group, 0),
                    "lag": _behind(marks, positions, topic),
                    "per_second": round(done / seconds, 1),
                }
            )
    for topic in sorted({topic for topic, _ in marks}):
        rate = round(_grown(first, marks, topic) / seconds, 1)
        report["topics"][topic] = {"records": _records(marks, topic), "per_second": rate}
    for table in TABLES:
        changelog = names.changelog_topic(table, settings.topic_prefix)
        report["tables"][table] = _records(marks, changelog)
    report["dead"] = dead_letters.count(settings)


def _archive(settings: Settings, report: dict[str, Any]) -> None:
    try:
        database = mongo.database(settings)
        present = set(database.list_collection_names())
        for survey in settings.surveys:
            for kind in COLLECTIONS:
                name = names.collection(survey, kind)
                if name in present:
                    report["archive"][name] = database[name].estimated_document_count()
                else:
                    hint = "create it with `boom-streams init`"
                    report["missing"].append(f"collection {name} does not exist; {hint}")
        try:
            formats.check(database, settings.surveys)
        except FormatError as error:
            report["missing"].append(str(error))
            return
        described = load_descriptions(settings.catalogs_dir)
        report["missing"] += described.wrong.values()
        report["without"] += _absent_catalogs(settings, described.catalogs.values(), CatalogStore(database))
        report["filters"] += FilterStore(database).problems()
        if not database["filters"].count_documents({"active": True}, limit=1):
            report["without"].append(
                "an active filter: nobody is told of them; add one with `boom-streams filters add`"
            )
    except PyMongoError as error:
        report["missing"].append(mongo.explain(error))


def _absent_catalogs(settings: Settings, described: Iterable[Catalog], store: CatalogStore) -> list[str]:
    """Say with which configured catalogues no alert is matched."""
    imported = {each.catalog.name for each in store.load()}
    absent = [c.name for c in described if c.name not in imported and {*c.surveys} & {*settings.surveys}]
    hint = "import them with `boom-streams catalogs import`"
    return [f"catalogues that are not imported: {', '.join(absent)}; {hint}"] if absent else []


def _absent_models(settings: Settings) -> list[str]:
    """Say which configured models are not in this machine's folder."""
    from boom_streams.models.registry import known_models

    folder = settings.models_folder
    known = known_models()
    absent = [name for name in settings.models if name not in known or not (folder / known[name].file).is_file()]
    hint = "install them with `boom-streams models install`"
    return [f"models that are not in {folder}: {', '.join(absent)}; {hint}"] if absent else []


def _marks(settings: Settings) -> Marks:
    """First and next offsets of every partition of this broker's topics that exist."""
    existing = partition_counts(settings)
    filters = names.filter_topic("", settings.topic_prefix)
    ours = {*required_topics(settings), *(topic for topic in existing if topic.startswith(filters))}
    return watermarks(settings, {topic: existing[topic] for topic in ours & existing.keys()})


def _positions(settings: Settings, running: str) -> dict[str, layouts.Offsets]:
    return {
        role: committed(
            settings,
            names.group_id(role, settings.topic_prefix),
            dict.fromkeys(layouts.topics_of(settings, role), settings.partitions),
        )
        for role in layouts.roles_of(running)
    }


def _behind(marks: Marks, positions: layouts.Offsets, topic: str) -> int:
    return sum(high - max(low, positions.get(where, low)) for where, (low, high) in marks.items() if where[0] == topic)


def _handled(before: layouts.Offsets, after: layouts.Offsets, topic: str) -> int:
    return sum(offset - before.get(where, offset) for where, offset in after.items() if where[0] == topic)


def _records(marks: Marks, topic: str) -> int:
    return sum(high - low for where, (low, high) in marks.items() if where[0] == topic)


def _grown(before: Marks, after: Marks, topic: str) -> int:
    return sum(high - before.get(where, (0, high))[1] for where, (_, high) in after.items() if where[0] == topic)
