"""How large a record may be: producers, topics, fetches and the local Kafka agree on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["MAX_BYTES", "MAX_DEAD_BYTES", "Headers", "record_size"]

#: Largest record of any topic, bytes.
MAX_BYTES = 12 << 20

#: Largest record of a dead-letter topic: any other record with the reason and the traceback.
MAX_DEAD_BYTES = MAX_BYTES + (64 << 10)

#: Headers of a record, in their order; of one name there may be several.
Headers = Sequence[tuple[str, bytes | None]]

#: Bytes of a batch (61) and a record (up to 21) beside what is in it, and some more.
_OVERHEAD = 128


def record_size(key: bytes | None, value: bytes | Iterable[bytes] | None, headers: Headers = ()) -> int:
    """Most bytes that a record takes in Kafka, alone in its batch; its value may be in pieces."""
    pieces = (value or b"",) if value is None or isinstance(value, bytes) else value
    size = _OVERHEAD + len(key or b"") + sum(map(len, pieces))
    for name, content in headers:
        size += len(name.encode()) + len(content or b"") + 10
    return size
