"""What a person is told of an error: one sentence, with what to do."""

from __future__ import annotations

import sys

from boom_streams.errors import BoomError

__all__ = ["explain"]


def explain(error: BaseException) -> str | None:
    """Sentence about an error that is no fault of the program: of a service, a file, the input; None: it is one.

    Libraries are asked only if they have been imported: whatever they raised comes from there.
    """
    if isinstance(error, BoomError):
        return str(error)
    if "pymongo" in sys.modules:
        from pymongo.errors import PyMongoError

        from boom_streams.archive.mongo import explain as of_mongodb

        if isinstance(error, PyMongoError):
            return of_mongodb(error)
    if "confluent_kafka" in sys.modules:
        from confluent_kafka import KafkaException

        if isinstance(error, KafkaException):
            return f"Kafka: {error.args[0]}; `boom-streams status` tells what is wrong"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return None
