"""Scratch collections: the alerts of a batch, where filters run on them, for as long as that takes.

* A worker has one at a time, and empties it after each batch: to make and to drop one takes mongod 20 ms
* Each has a name of its own with the time when it was made, ``scratch_<Unix seconds>_<random>``, and another follows it
  long before it expires
* What a worker that is no more has left is dropped by others after an hour; a worker that finds its alerts gone
  (dropped, or lost by a mongod that was killed) does not trust the answers: an empty collection has no matches
* One in which MongoDB does not stop an operation cannot be emptied now; it is left to be dropped later
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure, PyMongoError

from boom_streams.errors import ServiceError

__all__ = ["Held", "Scratch"]

#: Seconds after which a scratch collection has been left by a worker that is no more, and between two looks for such.
EXPIRY, SWEEP = 3600, 600

#: Seconds after which a worker takes another one.
RENEWAL = EXPIRY / 3

_NAME = re.compile(r"scratch_(\d+)_[0-9a-f]{32}")
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_FAST = WriteConcern(w=1, j=False)


@dataclass(slots=True)
class Held:
    """A scratch collection in use.

    Attributes
    ----------
    stuck
        An operation on it goes on that MongoDB does not stop.
    lost
        A connection was lost; MongoDB may have died, and the documents with it.
    """

    collection: Collection[Any]
    stuck: bool = False
    lost: bool = False


class Scratch:
    """Makes, empties and drops the scratch collections of a worker, and drops those that others have left.

    Parameters
    ----------
    db
        Where they are made.
    """

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._db = db
        self._swept = float("-inf")
        self._current: Collection[Any] | None = None
        self._made = float("-inf")

    @contextmanager
    def holding(self, documents: Sequence[RawBSONDocument]) -> Iterator[Held]:
        """A collection with these documents and no others; they are removed at the end.

        Raises
        ------
        ServiceError
            If MongoDB does not take the documents, or the collection was gone at the end: what was found is not true.
        """
        self._sweep()
        held = Held(self._take())
        try:
            with _infrastructure():
                held.collection.insert_many(documents, ordered=False)
            yield held
        except ConnectionFailure:
            held.stuck = True  # it is not dropped now
            raise
        except BaseException:
            held.lost = True
            raise
        finally:
            if held.stuck or held.lost:
                self._current = None
            if held.lost and not held.stuck:
                self._drop(held.collection)
        if held.stuck or held.lost:
            return
        self._current = None  # until it is known to be empty
        if held.collection.delete_many({}).deleted_count != len(documents):
            raise ServiceError("MongoDB lost the alerts on which filters ran")
        self._current = held.collection

    def close(self) -> None:
        """Drop the worker's own."""
        if self._current is not None:
            self._drop(self._current)
            self._current = None

    def _take(self) -> Collection[Any]:
        """The worker's own, which is empty."""
        if time.monotonic() - self._made > RENEWAL:
            self.close()
        if self._current is None:
            name = f"scratch_{int(time.time())}_{uuid.uuid4().hex}"
            self._current = self._db.get_collection(name, codec_options=_RAW, write_concern=_FAST)
            self._made = time.monotonic()
        return self._current

    def _drop(self, collection: Collection[Any]) -> None:
        with contextlib.suppress(PyMongoError), pymongo.timeout(5.0):
            self._db.drop_collection(collection.name)

    def _sweep(self) -> None:
        """Drop what others have left; it is no matter if that does not succeed now."""
        if time.monotonic() - self._swept < SWEEP:
            return
        self._swept = time.monotonic()
        with contextlib.suppress(PyMongoError):
            for name in self._db.list_collection_names(filter={"name": {"$regex": "^scratch_"}}):
                made = _NAME.fullmatch(name)
                if made and int(made[1]) < time.time() - EXPIRY:
                    with contextlib.suppress(PyMongoError), pymongo.timeout(1.0):
                        self._db.drop_collection(name)


@contextmanager
def _infrastructure() -> Iterator[None]:
    """What fails here is MongoDB's fault, said in few words (a bulk error repeats every document)."""
    try:
        yield
    except ConnectionFailure:
        raise
    except BulkWriteError as error:
        errors = (error.details or {}).get("writeErrors") or [{}]
        raise ServiceError(f"MongoDB did not take alerts for filters: {errors[0].get('errmsg')}") from None
    except OperationFailure as error:
        text = str((error.details or {}).get("errmsg") or error)[:500]
        raise ServiceError(f"MongoDB did not take alerts for filters: {text}") from None
