"""Dead letters: the form in which what could not be processed is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from boom_streams.kafka.limits import MAX_DEAD_BYTES, Headers, record_size
from boom_streams.schema import formats

__all__ = [
    "FILE",
    "MAX_REASON",
    "MAX_TRACEBACK",
    "REPLAYED",
    "DeadLetter",
    "Letter",
    "Original",
    "letter_headers",
    "make_letter",
    "read_letter",
    "read_original",
]

#: Longest reason that is kept, characters, and longest traceback, bytes.
MAX_REASON, MAX_TRACEBACK = 500, 8000
#: Prefix of the "topic" of a letter that is no Kafka record but a file which could not be replayed.
FILE = "file:"
#: Header of a record without a value that marks a letter as replayed: when, milliseconds since 1970.
REPLAYED = "dead.replayed"

_SHORT = MAX_REASON - 150  # characters of a reason that is followed by what could not be kept
_NUMBER = re.compile(rb"-?\d{1,18}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a list says of a dead letter; the record itself is an `Original`.

    Attributes
    ----------
    survey
        Survey in whose topic it lies.
    topic, partition, offset
        The record that it was.
    stage, reason
        Which stage gave it up, and why.
    timestamp
        Milliseconds since 1970 of the original record; whatever its producer said.
    key
        Key of the original record, its first hundred bytes.
    size
        Bytes of the original record.
    at, written
        Partition and offset of the letter in the dead-letter topic, and its timestamp there, milliseconds since 1970.
    replayed
        Whether it has been replayed.
    """

    survey: str
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    timestamp: int
    key: bytes | None
    size: int
    at: tuple[int, int]
    written: int = 0
    replayed: bool = False

    @property
    def id(self) -> str:
        """Identity as people write it: ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Original:
    """The record that became a dead letter, as it came, and the traceback of the error, if there was one."""

    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    traceback: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is written: key, value and headers of its record."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def make_letter(
    stage: str,
    reason: str,
    record: tuple[str, int, int],
    timestamp: int,
    value: bytes | None,
    *,
    key: bytes | None = None,
    original: Headers = (),
    traceback: str = "",
    limit: int = MAX_DEAD_BYTES,
) -> Letter:
    """Make the dead letter of a record: as it came, with the reason, and without what does not fit.

    Parameters
    ----------
    stage, reason, traceback
        Who gave the record up, and why; texts may hold anything, and the reason is kept as one line.
    record
        Topic, partition and offset of the record; of a file ``("file:NAME", 0, number of its record)``.
    timestamp
        Of the record, milliseconds since 1970.
    value, key, original
        Value, key and headers of the record.
    limit
        Most bytes that the letter may take in Kafka: value, headers and key are left out in this order until it
        does, and the reason says so.
    """
    whole = Letter(key, value, letter_headers(stage, reason, record, timestamp, original, traceback))
    if record_size(key, value, whole.headers) <= limit:
        return whole
    lost = [f"{len(value or b'')} bytes"]
    for keep_headers in (True, False):
        note = f" (its {', '.join(lost)} are too many to be kept)"
        kept = original if keep_headers else ()
        headers = letter_headers(stage, reason[:_SHORT] + note, record, timestamp, kept, traceback)
        if record_size(key, None, headers) <= limit:
            return Letter(key, b"", headers)
        lost.append(f"{len(original)} headers")
    return Letter(None, b"", headers)


def letter_headers(
    stage: str,
    reason: str,
    record: tuple[str, int, int],
    timestamp: int,
    original: Headers = (),
    traceback: str = "",
) -> list[tuple[str, bytes | None]]:
    """Headers of a dead letter; see `make_letter`. Those of the record keep their order and repetitions."""
    topic, partition, offset = record
    headers: list[tuple[str, bytes | None]] = [
        ("dead.version", b"%d" % formats.LETTER.version),
        ("dead.stage", _bytes(stage)),
        ("dead.reason", _bytes(_one_line(reason))),
        ("dead.topic", _bytes(topic)),
        ("dead.partition", b"%d" % partition),
        ("dead.offset", b"%d" % offset),
        ("dead.timestamp", b"%d" % timestamp),
    ]
    if traceback:
        headers.append(("dead.traceback", _bytes(traceback)[-MAX_TRACEBACK:]))
    headers += [(f"orig.{_bytes(name).decode()}", content) for name, content in original]
    return headers


def read_letter(
    survey: str, headers: Mapping[str, bytes], key: bytes | None, size: int, at: tuple[int, int], written: int = 0
) -> DeadLetter:
    """Read a dead letter, whoever wrote it.

    Parameters
    ----------
    survey
        Survey in whose topic it lies.
    headers, key, size
        Headers, key and size of the value of its record.
    at, written
        Its partition and offset, and its timestamp, milliseconds since 1970.

    Raises
    ------
    FormatError
        If a newer release wrote it.
    """

    def text(name: str) -> str:
        return headers.get(f"dead.{name}", b"").decode(errors="replace")

    def number(name: str, default: int) -> int:
        content = headers.get(f"dead.{name}", b"")
        return int(content) if _NUMBER.fullmatch(content) else default

    formats.LETTER.check(max(1, number("version", 1)))
    return DeadLetter(
        survey=survey,
        topic=text("topic"),
        partition=number("partition", -1),
        offset=number("offset", -1),
        stage=text("stage"),
        reason=text("reason"),
        timestamp=number("timestamp", 0),
        key=None if key is None else key[:100],
        size=size,
        at=at,
        written=written,
        replayed=REPLAYED in headers,
    )


def read_original(value: bytes, key: bytes | None, headers: Headers) -> Original:
    """Read from a dead letter the record that it was."""
    content = dict(headers).get("dead.traceback") or b""
    return Original(
        value=value,
        key=key,
        headers=[(name[5:], content) for name, content in headers if name.startswith("orig.")],
        traceback=content.decode(errors="replace"),
    )


def _one_line(reason: str) -> str:
    """A reason without ends of lines, and cut where it quotes a whole document."""
    line = " ".join(reason[: 2 * MAX_REASON].split())
    if len(line) <= MAX_REASON and len(reason) <= 2 * MAX_REASON:
        return line
    return f"{line[:MAX_REASON]} … ({len(reason)} characters)"


def _bytes(text: str) -> bytes:
    """UTF-8 of any string: what has no encoding, as half a surrogate pair, is written as its code."""
    return text.encode("utf-8", "backslashreplace")
