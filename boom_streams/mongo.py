"""Connections to MongoDB."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from boom_streams.settings import Settings

__all__ = ["client", "database", "duplicates"]

_SELECTION_MS = 3000
_DUPLICATE = 11000


@cache
def _client(uri: str) -> MongoClient[dict[str, Any]]:
    made: MongoClient[dict[str, Any]] = MongoClient(
        uri,
        serverSelectionTimeoutMS=_SELECTION_MS,
        connectTimeoutMS=_SELECTION_MS,
        socketTimeoutMS=60_000,
        appname="boom_streams",
        w="majority",
        journal=True,  # without it a mongod that is killed loses the last tenth of a second of what it has confirmed
    )
    atexit.register(made.close)
    return made


def client(config: Settings) -> MongoClient[dict[str, Any]]:
    """The process's client of the configured MongoDB; one pool a process."""
    return _client(config.mongo_uri.get_secret_value())


def database(config: Settings) -> Database[dict[str, Any]]:
    """The broker's database."""
    return client(config)[config.mongo_db]


def duplicates(error: BulkWriteError) -> list[int]:
    """Places of the writes that were refused because their key is there already.

    Raises
    ------
    BulkWriteError
        The error itself, if it has any other reason, or MongoDB did not confirm what it has written.
    """
    problems = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(problem["code"] != _DUPLICATE for problem in problems):
        raise error
    return [problem["index"] for problem in problems]
