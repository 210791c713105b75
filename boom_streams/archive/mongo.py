"""Connections to MongoDB."""

from __future__ import annotations

import atexit
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

from boom_streams import names
from boom_streams.errors import ServiceError
from boom_streams.settings import Settings

__all__ = ["Away", "Patience", "client", "database", "duplicates", "explain", "problem", "unrepeated"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_SECONDS = 30.0

#: Failures after which what is asked of a MongoDB that is well is to blame; one may be the last moment of an outage.
_FAILURES = 3

#: Where the connection string does not say otherwise.
_TIMEOUTS: dict[str, Any] = {"serverSelectionTimeoutMS": 3000, "connectTimeoutMS": 3000, "socketTimeoutMS": 60_000}
_DUPLICATE = 11000
#: Codes of errors of a user: unauthorized, authentication failed.
_REFUSED = (13, 18)

#: Seconds in which a MongoDB that is well answers a probe.
PROBE_SECONDS = 5.0


@cache
def _client(uri: str, *, repeats: bool = True) -> MongoClient[dict[str, Any]]:
    given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
    made: MongoClient[dict[str, Any]] = MongoClient(
        uri,
        **{name: value for name, value in _TIMEOUTS.items() if name.lower() not in given},
        appname="boom_streams",
        retryReads=repeats,
        w="majority",
        journal=True,  # without it a mongod that is killed loses the last tenth of a second of what it has confirmed
    )
    atexit.register(made.close)
    return made


def client(settings: Settings) -> MongoClient[dict[str, Any]]:
    """The process's client of the configured MongoDB; one pool a process."""
    return _client(settings.mongo_uri.get_secret_value())


def database(settings: Settings) -> Database[dict[str, Any]]:
    """The broker's database."""
    return client(settings)[settings.mongo_db]


def unrepeated(settings: Settings) -> Database[dict[str, Any]]:
    """The broker's database through connections of their own, on which a read that failed is not tried again."""
    return _client(settings.mongo_uri.get_secret_value(), repeats=False)[settings.mongo_db]


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


def problem(settings: Settings, written: Iterable[str] = ()) -> str | None:
    """Ask MongoDB for a small write, and say what is wrong with it; None: nothing is.

    The write is one that every replica confirms; and the collections that a caller writes to are asked for a write that
    changes nothing, as it may lack the permission.

    Parameters
    ----------
    settings
        Where MongoDB is.
    written
        Names of collections that the caller writes to.
    """
    base = database(settings)
    try:
        with pymongo.timeout(PROBE_SECONDS):
            base[names.PROBES].update_one({"_id": socket.gethostname()}, {"$set": {"at": time.time()}}, upsert=True)
            for name in written:
                base[name].update_one({"_id": names.PROBES}, {"$unset": {names.PROBES: 1}})
    except PyMongoError as error:
        return f"MongoDB: {str(error).partition(', Timeout')[0][:300]}"
    return None


def explain(error: PyMongoError) -> str:
    """What a person is told of an error of MongoDB, and what to do."""
    reason = re.split(r",| \(configured", str(error))[0][:300]
    if isinstance(error, ConnectionFailure):
        return (
            f"MongoDB does not answer ({reason}); start it with `boom-streams services start`, or set "
            "BOOM_MONGO_URI to one that runs"
        )
    if isinstance(error, ConfigurationError):
        return f"BOOM_MONGO_URI names no MongoDB: {reason}"
    if isinstance(error, OperationFailure) and error.code in _REFUSED:
        return f"MongoDB refuses this user: {reason}; check user and password in BOOM_MONGO_URI, and the user's roles"
    return f"MongoDB: {reason}"


class Away(ServiceError):
    """MongoDB does not answer, and the caller goes on without it."""


class Patience:
    """Reads what a stage can do without: MongoDB is waited for, then let be for a while.

    Parameters
    ----------
    seconds
        Longest wait.
    what
        The stage, and what it goes on without; for the log.
    probe
        Says what is wrong with MongoDB (`problem`); None: it is well.
    """

    def __init__(self, seconds: float, what: str, probe: Callable[[], str | None]) -> None:
        self._seconds = seconds
        self._what = what
        self._probe = probe
        self._away_until = 0.0

    def read(self, function: Callable[[], T], *, wait: bool = True) -> T:
        """Return what a function reads; without ``wait`` it is tried once, and its failure does not count.

        Raises
        ------
        Away
            If MongoDB does not answer for so long, or did not a moment ago.
        PyMongoError
            If it failed several times, and MongoDB is well: what is asked for is to blame.
        """
        if time.monotonic() < self._away_until:
            raise Away("MongoDB is away")
        deadline = time.monotonic() + self._seconds
        well = 0
        while True:
            try:
                return function()
            except PyMongoError as error:
                if not wait:
                    raise Away("MongoDB is away") from error
                well += self._probe() is None
                if well == _FAILURES:
                    raise
                if time.monotonic() >= deadline:
                    log.warning("%s, MongoDB is away: %s", self._what, str(error)[:200])
                    self._away_until = time.monotonic() + _RETRY_SECONDS
                    raise Away("MongoDB is away") from error
                time.sleep(0.5)
