"""Dead letters: the form in which what could not be processed is kept."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FILE", "MAX_REASON", "MAX_TRACEBACK", "DeadLetter", "letter_headers"]

#: Longest reason and traceback that are kept, bytes.
MAX_REASON, MAX_TRACEBACK = 2000, 8000
#: Prefix of the "topic" of a letter that is no Kafka record but a file which could not be replayed.
FILE = "file:"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter.

    Attributes
    ----------
    survey
        Survey in whose topic it lies.
    topic, partition, offset
        The record that it was.
    stage, reason, traceback
        Which stage gave it up, and why.
    timestamp
        Milliseconds since 1970 of the original record.
    key, headers
        Key and headers of the original record.
    size
        Bytes of the original record.
    at
        Partition and offset of the letter in the dead-letter topic.
    replayed
        Whether it has been replayed.
    """

    survey: str
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    traceback: str
    timestamp: int
    key: bytes | None
    headers: dict[str, bytes]
    size: int
    at: tuple[int, int]
    replayed: bool = False

    @property
    def id(self) -> str:
        """Identity as people write it: ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def letter_headers(
    stage: str,
    reason: str,
    record: tuple[str, int, int],
    timestamp: int,
    original: dict[str, bytes] | None = None,
    traceback: str = "",
) -> dict[str, bytes]:
    """Headers of a dead letter.

    Parameters
    ----------
    stage, reason, traceback
        Who gave the record up, and why.
    record
        Topic, partition and offset of the record; of a file ``("file:NAME", 0, number of its record)``.
    timestamp
        Of the record, milliseconds since 1970.
    original
        The record's own headers.
    """
    topic, partition, offset = record
    headers = {
        "dead.stage": stage.encode(),
        "dead.reason": reason.encode()[:MAX_REASON],
        "dead.topic": topic.encode(),
        "dead.partition": str(partition).encode(),
        "dead.offset": str(offset).encode(),
        "dead.timestamp": str(timestamp).encode(),
    }
    if traceback:
        headers["dead.traceback"] = traceback.encode()[-MAX_TRACEBACK:]
    return headers | {f"orig.{name}": value for name, value in (original or {}).items()}
