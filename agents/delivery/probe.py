"""Whose failure an error is: a service is to blame only if asking it finds it wrong."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from boom_streams.archive import mongo
from boom_streams.errors import ServiceError
from boom_streams.kafka import clients
from boom_streams.settings import Settings

__all__ = ["Probe", "Services"]


class Probe(Protocol):
    """Asks services whether they are well."""

    def concerns(self, error: Exception) -> bool:
        """Whether the error may be a service's."""
        ...

    def problem(self, error: Exception) -> str | None:
        """What is wrong with the service that the error may be of; None: it is well, and not to blame."""
        ...


class Services:
    """Kafka and MongoDB, asked with small real requests.

    What an error says of itself does not decide: a document may be such that MongoDB closes the connection, and one
    filter's time-out looks like a server that has gone.

    Parameters
    ----------
    settings
        Where they are.
    written
        Collections that the worker writes to.
    """

    def __init__(self, settings: Settings, written: Collection[str] = ()) -> None:
        self._settings = settings
        self._written = written

    def concerns(self, error: Exception) -> bool:
        """Whether the error may be a service's."""
        return isinstance(error, PyMongoError | KafkaException | ServiceError)

    def problem(self, error: Exception) -> str | None:
        """What is wrong with the service that the error may be of; None: it is well, and not to blame."""
        found = None if isinstance(error, PyMongoError) else clients.problem(self._settings)
        if found is None and not isinstance(error, KafkaException):
            found = mongo.problem(self._settings, self._written)
        return found
