"""What a broker needs in Kafka and MongoDB before it starts: topics, collections, indexes."""

from __future__ import annotations

from pymongo.errors import PyMongoError

from boom_streams.archive import ensure, formats, mongo
from boom_streams.kafka.topics import ensure_topics
from boom_streams.settings import Settings
from boom_streams.surveys import get_survey

__all__ = ["check_archive", "initialise"]


def check_archive(settings: Settings, *, needed: bool = True) -> None:
    """Make sure that this release may use the archive.

    Parameters
    ----------
    settings
        Where MongoDB is.
    needed
        MongoDB must answer; else it is looked at only if it does.

    Raises
    ------
    FormatError
        If another release wrote it; says what helps.
    """
    try:
        formats.check(mongo.database(settings), settings.surveys)
    except PyMongoError:
        if needed:
            raise


def initialise(settings: Settings, *, archive: bool = True) -> list[str]:
    """Create what is missing; return what was changed, an empty list when nothing was.

    Parameters
    ----------
    settings
        Where Kafka and MongoDB are.
    archive
        MongoDB too; a stage that goes on without it must also be able to start without it.

    Raises
    ------
    ServiceError
        If a topic has the wrong number of partitions, a permission is missing, or a server is away.
    FormatError
        If another release wrote the archive.
    SettingsError
        If a survey cannot be used.
    """
    for survey in settings.surveys:
        get_survey(survey)
    if archive:
        check_archive(settings)
    changes = ensure_topics(settings)
    return [*changes, *ensure(mongo.database(settings), settings.surveys)] if archive else changes
