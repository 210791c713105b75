"""Filters' pipelines on a scratch collection: within their time, and what fails is told by whose fault it is.

Several go in one request, which costs the client a sixth, and MongoDB two thirds. Where one of them fails, or all
together take too long, each is run by itself, and the one whose fault it is pays.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from bson.errors import BSONError
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from boom_streams.errors import FilterError, ServiceError
from boom_streams.filters.running.annotations import read_facets, read_results

__all__ = ["LostConnection", "StuckError", "TooSlow", "run_pipeline", "run_together"]

#: Seconds in which a MongoDB that is well answers, and in which an operation ends that can be ended.
_PROBE, _GRACE = 10.0, 2.0

_TIMEOUT = 50  # MaxTimeMSExpired

#: Codes of mongod that are no fault of a filter: rights, lost collections and cursors, shutdown, overload.
_NOT_THE_FILTER = frozenset({13, 18, 26, 43, 91, 112, 133, 175, 189, 237, 246, 262, 11600, 11601, 11602, 14031})


class TooSlow(FilterError):
    """The pipeline took longer than it may, twice."""


class StuckError(TooSlow):
    """The pipeline took longer than it may, and MongoDB does not stop it."""


class LostConnection(FilterError):
    """MongoDB answers, but the connection on which the pipeline ran was lost: perhaps it has died of it."""


def run_pipeline(scratch: Collection[Any], stages: Sequence[Any], count: int, timeout_ms: int) -> dict[int, str]:
    """Annotations, as JSON, of the alerts that pass, by candid.

    Parameters
    ----------
    scratch
        The alerts.
    stages
        The pipeline; its results have ``annotations`` and nothing else.
    count
        Most results.
    timeout_ms
        Longest time; it is tried twice.

    Raises
    ------
    FilterError
        If the pipeline fails; the text is for its user. `TooSlow` and `LostConnection` say more.
    ConnectionFailure, ServiceError
        If MongoDB is away, or refuses for a reason that is not the filter's.
    """
    slow = f"took longer than {timeout_ms} ms on {count} alerts"
    for _ in range(2):
        comment = f"boom_streams filter {uuid.uuid4().hex}"
        try:
            found: dict[int, str] = {}
            with (
                pymongo.timeout(timeout_ms / 1000),
                scratch.aggregate_raw_batches(stages, batchSize=count + 1, comment=comment) as cursor,
            ):
                for batch in cursor:
                    found |= read_results(batch)
            return found
        except BSONError as error:
            raise FilterError(f"its annotations cannot be read: {error}") from None
        except PyMongoError as error:
            if not _is_timeout(error):
                raise _owned(scratch, error) from error
            if not _end(scratch, comment):
                raise StuckError(f"{slow}, and MongoDB cannot stop it") from None
    raise TooSlow(f"{slow}, twice")


def run_together(
    scratch: Collection[Any], pipelines: Mapping[int, Sequence[Any]], timeout_ms: int
) -> dict[int, dict[int, str]] | None:
    """Annotations of several pipelines, by their numbers and candid; None if they have to be run one by one.

    Parameters
    ----------
    scratch
        The alerts.
    pipelines
        Pipelines by number; the results of each have ``annotations`` and nothing else. All results together may have
        16 MB, MongoDB's largest document.
    timeout_ms
        Longest time for all of them.

    Raises
    ------
    StuckError, LostConnection
        As `run_pipeline`; which filter's fault it is remains to be found.
    ConnectionFailure, ServiceError
        If MongoDB is away, or refuses for a reason that is no filter's.
    """
    facet = {"$facet": {f"f{number}": list(stages) for number, stages in pipelines.items()}}
    comment = f"boom_streams filters {uuid.uuid4().hex}"
    try:
        with (
            pymongo.timeout(timeout_ms / 1000),
            scratch.aggregate_raw_batches([facet], comment=comment) as cursor,
        ):
            (batch,) = cursor
        return {int(name[1:]): found for name, found in read_facets(batch).items()}
    except (BSONError, FilterError):
        return None
    except PyMongoError as error:
        if _is_timeout(error):
            if not _end(scratch, comment):
                raise StuckError("MongoDB cannot stop it") from None
            return None
        owned = _owned(scratch, error)
        if isinstance(owned, LostConnection | ServiceError):
            raise owned from error
        return None


def _is_timeout(error: PyMongoError) -> bool:
    return error.timeout or (isinstance(error, OperationFailure) and error.code == _TIMEOUT)


def _owned(scratch: Collection[Any], error: PyMongoError) -> Exception:
    """The error of the filter, or of MongoDB."""
    if isinstance(error, ConnectionFailure):
        with pymongo.timeout(_PROBE):
            scratch.database.client.admin.command("ping")  # else it is away
        return LostConnection(f"MongoDB closed the connection: {error}")
    text = (
        str((error.details or {}).get("errmsg") or error)[:500] if isinstance(error, OperationFailure) else str(error)
    )
    if isinstance(error, OperationFailure) and error.code in _NOT_THE_FILTER:
        return ServiceError(f"MongoDB did not run filters: {text}")
    return FilterError(text.rpartition(" :: caused by :: ")[2])


def _end(scratch: Collection[Any], comment: str) -> bool:
    """End an operation; return whether it has ended.

    Raises
    ------
    PyMongoError
        If MongoDB does not answer.
    """
    admin = scratch.database.client.admin
    mine: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": False}},
        {"$match": {"command.comment": comment}},
        {"$project": {"opid": 1}},
    ]
    deadline = time.monotonic() + _GRACE
    with pymongo.timeout(_PROBE):
        while True:
            running = [operation["opid"] for operation in admin.aggregate(mine)]
            if not running:
                return True
            if time.monotonic() > deadline:
                return False
            for operation in running:
                admin.command("killOp", op=operation)
            time.sleep(0.05)
