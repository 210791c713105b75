"""Dead letters: what a stage could not process, as it came, with the reason.

A letter is identified by the record that it was: (topic, partition, offset). A record that was handled
twice leaves two copies of its letter, which count as one. A replayed letter is marked by a further record
with the same identity and the header ``dead.replayed``; if the record fails again, it is a new letter.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Message, TopicPartition

from boom_streams import names
from boom_streams.errors import BadRecord, BoomError, ServiceError
from boom_streams.ingest.raw_records import raw_records
from boom_streams.kafka.clients import TIMEOUT, consumer
from boom_streams.kafka.offsets import watermarks
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.kafka.writer import Writer
from boom_streams.schema.dead_letters import FILE, REPLAYED, DeadLetter, letter_headers, read_letter
from boom_streams.surveys import get_survey

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Replayed", "count", "letters", "read_value", "replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the letters that were to be replayed."""

    sent: int
    refused: dict[str, str]
    """Reason a letter (by id) that still cannot be written to the raw topic."""


def letters(settings: Settings, replayed: bool = False) -> list[DeadLetter]:
    """Dead letters of every survey, each once, in the order of their records.

    Parameters
    ----------
    settings
        Where Kafka is.
    replayed
        Whether to give those too that have been replayed since.
    """
    found: dict[str, DeadLetter] = {}
    marked: set[str] = set()
    for survey in settings.surveys:
        for message in scan(settings, [names.topic(survey, "dead", settings.topic_prefix)]):
            letter = _parse(survey, message)
            if letter.replayed:
                marked.add(letter.id)
            else:
                found.setdefault(letter.id, letter)
    ordered = sorted(found.values(), key=lambda letter: (letter.topic, letter.partition, letter.offset))
    if not replayed:
        return [letter for letter in ordered if letter.id not in marked]
    return [_with_mark(letter, letter.id in marked) for letter in ordered]


def count(settings: Settings) -> dict[str, int]:
    """Number of dead letters of each survey that have not been replayed."""
    found = letters(settings)
    return {survey: sum(letter.survey == survey for letter in found) for survey in settings.surveys}


def read_value(settings: Settings, letter: DeadLetter) -> bytes:
    """Read the original bytes of a letter.

    Raises
    ------
    BoomError
        If the topic's retention has removed it meanwhile.
    """
    return next(_values(settings, [letter]))[1]


def replay(settings: Settings, chosen: Collection[DeadLetter]) -> Replayed:
    """Send letters through the stage that gave them up, once more.

    What was on its way into a raw topic is keyed anew by the one writer of raw records; anything else goes
    to the topic and partition it came from, with its key, timestamp and headers. All is confirmed before
    the letters are marked as replayed.
    """
    writer = Writer(settings)
    sent, refused = [], {}
    for letter, value in _values(settings, chosen):
        try:
            _send(settings, writer, letter, value)
            sent.append(letter)
        except BadRecord as error:
            refused[letter.id] = str(error)
    writer.finish()
    for letter in sent:
        _mark(settings, writer, letter)
    writer.finish()
    return Replayed(len(sent), refused)


def _parse(survey: str, message: Message) -> DeadLetter:
    at = (int(message.partition() or 0), int(message.offset() or 0))
    return read_letter(survey, headers_of(message), message.key(), len(message.value() or b""), at)


def _with_mark(letter: DeadLetter, replayed: bool) -> DeadLetter:
    return dataclasses.replace(letter, replayed=replayed)


def _values(settings: Settings, chosen: Collection[DeadLetter]) -> Iterator[tuple[DeadLetter, bytes]]:
    """Read the original bytes of letters, each dead-letter topic once."""
    for survey in sorted({letter.survey for letter in chosen}):
        topic = names.topic(survey, "dead", settings.topic_prefix)
        left = {letter.at: letter for letter in chosen if letter.survey == survey}
        marks = watermarks(settings, {topic: settings.partitions})
        gone = [letter.id for (p, offset), letter in left.items() if offset < marks[topic, p][0]]
        if gone:
            raise BoomError(f"these dead letters are no longer in {topic}: {', '.join(gone)}")
        client = consumer(settings)
        try:
            starts: dict[int, int] = {}
            for partition, offset in left:
                starts[partition] = min(offset, starts.get(partition, offset))
            client.assign([TopicPartition(topic, p, offset) for p, offset in starts.items()])
            while left:
                messages = client.consume(1, timeout=TIMEOUT) + client.consume(500, timeout=0)
                if not messages:
                    raise ServiceError(f"Kafka at {settings.kafka} does not give the records of {topic}")
                for message in messages:
                    at = (int(message.partition() or 0), int(message.offset() or 0))
                    if message.error() is None and at in left:
                        yield left.pop(at), message.value() or b""
        finally:
            client.close()


def _send(settings: Settings, writer: Writer, letter: DeadLetter, value: bytes) -> None:
    raw = names.topic(letter.survey, "raw", settings.topic_prefix)
    from_file = letter.topic.startswith(FILE)
    if not from_file and (letter.topic != raw or letter.headers.get("role") == b"margin"):
        headers = letter.headers.items()
        writer.send(letter.topic, value, letter.key, letter.partition, headers, letter.timestamp)
        return
    batch = raw_records(value, get_survey(letter.survey), settings.partitions)
    if batch.bad:
        raise BadRecord(batch.bad[0][1])
    for record in batch.records:
        timestamp = 0 if from_file else letter.timestamp
        writer.send(raw, record.value, record.key, record.partition, record.headers, timestamp)


def _mark(settings: Settings, writer: Writer, letter: DeadLetter) -> None:
    record = (letter.topic, letter.partition, letter.offset)
    headers = letter_headers(letter.stage, letter.reason, record, letter.timestamp)
    headers.append((REPLAYED, b"%d" % (time.time_ns() // 1_000_000)))
    topic = names.topic(letter.survey, "dead", settings.topic_prefix)
    writer.send(topic, b"", letter.key, letter.at[0], headers)
