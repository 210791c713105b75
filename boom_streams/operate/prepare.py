"""What a broker needs in Kafka and MongoDB before it starts: topics, collections, indexes."""

from __future__ import annotations

from boom_streams.archive import ensure, mongo
from boom_streams.kafka.topics import ensure_topics
from boom_streams.settings import Settings

__all__ = ["initialise"]


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
    """
    changes = ensure_topics(settings)
    return [*changes, *ensure(mongo.database(settings), settings.surveys)] if archive else changes
