"""Dead letters: what a stage could not process, as it came, with the reason.

A letter is identified by the record that it was: (topic, partition, offset). A record that was handled
twice leaves two copies of its letter, which count as one. A replayed letter is marked by a further record
with the same identity and the header ``dead.replayed``; if the record fails again, it is a new letter.

Kafka gives records only as a whole, so that a list costs as much as the bytes of its letters. Therefore the newest
can be listed alone, the count stops after some seconds, and of a letter in a list neither value nor headers are kept.
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
from boom_streams.ingest.raw_records import raw_records, received_header
from boom_streams.kafka.clients import TIMEOUT, consumer, partition_counts
from boom_streams.kafka.offsets import watermarks
from boom_streams.kafka.reading import header_list, headers_of, scan
from boom_streams.kafka.writer import Writer
from boom_streams.schema.dead_letters import (
    FILE,
    REPLAYED,
    DeadLetter,
    Original,
    letter_headers,
    read_letter,
    read_original,
)
from boom_streams.surveys import get_survey

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Listed", "Replayed", "count", "find", "letters", "newest", "read", "read_value", "replay"]

#: Records of each partition that are read first for the newest letters; more are read if those do not suffice.
_WINDOW = 64
#: Seconds that counting may take.
_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Listed:
    """Some of the dead letters.

    Attributes
    ----------
    letters
        Each once, in the order of their records.
    older
        Further records of the dead-letter topics: letters, copies of letters, marks of replays.
    """

    letters: list[DeadLetter]
    older: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the letters that were to be replayed.

    Attributes
    ----------
    refused
        Reason a letter (by id) that still cannot be written to the raw topic.
    """

    sent: int
    refused: dict[str, str]


def letters(settings: Settings, replayed: bool = False) -> list[DeadLetter]:
    """Dead letters of every survey, each once, in the order of their records; reads every record.

    Parameters
    ----------
    settings
        Where Kafka is.
    replayed
        Whether to give those too that have been replayed since.
    """
    found = _Found()
    for survey, topic in _topics(settings).items():
        for message in scan(settings, [topic]):
            found.add(survey, message)
    return _in_order(found.chosen(replayed))


def newest(settings: Settings, most: int, replayed: bool = False, stage: str | None = None) -> Listed:
    """Dead letters that were written last; reads hardly more records than it gives.

    Parameters
    ----------
    settings
        Where Kafka is.
    most
        How many.
    replayed
        Whether to give those too that have been replayed since.
    stage
        Only those that this stage gave up.
    """
    chosen: list[DeadLetter] = []
    unread = 0
    for found, unread in _from_the_end(settings):  # noqa: B007 - the last one is used
        chosen = [letter for letter in found.chosen(replayed) if stage in (None, letter.stage)]
        if len(chosen) >= most:
            break
    chosen.sort(key=lambda letter: (letter.written, letter.at[1]))
    return Listed(_in_order(chosen[-most:]), unread + max(0, len(chosen) - most))


def find(settings: Settings, records: Collection[str]) -> list[DeadLetter]:
    """Find the dead letters of some records by their ids, searched for among the newest first.

    Raises
    ------
    BoomError
        If there is none of a record.
    """
    known: dict[str, DeadLetter] = {}
    for found, _ in _from_the_end(settings):
        known = {letter.id: letter for letter in found.chosen(replayed=True)}
        if known.keys() >= set(records):
            break
    absent = [record for record in records if record not in known]
    if absent:
        raise BoomError(f"no dead letter {', '.join(absent)}; `boom-streams dead list --replayed --all` shows all")
    return [known[record] for record in records]


def count(settings: Settings, seconds: float = _PATIENCE) -> dict[str, int]:
    """Count the dead letters of each survey that have not been replayed; of very many, how many there are at most.

    Records that were not read after some seconds count as a letter each, though there may be copies of letters and
    marks of replays among them.
    """
    deadline = time.monotonic() + seconds
    counts = {}
    for survey, topic in _topics(settings).items():
        left = sum(high - low for low, high in _marks(settings, topic).values())
        found = _Found()
        if left:
            for message in scan(settings, [topic]):
                found.add(survey, message)
                left -= 1
                if time.monotonic() > deadline:
                    break
        counts[survey] = len(found.chosen(replayed=False)) + max(0, left)
    return counts


def read(settings: Settings, letter: DeadLetter) -> Original:
    """Read the record that became a letter.

    Raises
    ------
    BoomError
        If the topic's retention has removed it meanwhile.
    """
    return next(_originals(settings, [letter]))[1]


def read_value(settings: Settings, letter: DeadLetter) -> bytes:
    """Read the original bytes of a letter, as `read` does."""
    return read(settings, letter).value


def replay(settings: Settings, chosen: Collection[DeadLetter]) -> Replayed:
    """Send letters through the stage that gave them up, once more.

    What was on its way into a raw topic is keyed anew by the one writer of raw records; anything else goes
    to the topic and partition it came from, with its key, timestamp and headers. All is confirmed before
    the letters are marked as replayed.
    """
    writer = Writer(settings)
    sent, refused = [], {}
    for letter, original in _originals(settings, chosen):
        try:
            _send(settings, writer, letter, original)
            sent.append(letter)
        except BadRecord as error:
            refused[letter.id] = str(error)
    writer.finish()
    for letter in sent:
        _mark(settings, writer, letter)
    writer.finish()
    return Replayed(len(sent), refused)


class _Found:
    """Letters that were read, each once, and which of them have been replayed."""

    def __init__(self) -> None:
        self._letters: dict[str, DeadLetter] = {}
        self._marked: set[str] = set()
        self._reasons: dict[str, str] = {}

    def add(self, survey: str, message: Message) -> None:
        """Take a record of a dead-letter topic; what is no letter is passed over."""
        headers = headers_of(message)
        if "dead.topic" not in headers:
            return
        at = (int(message.partition() or 0), int(message.offset() or 0))
        letter = read_letter(survey, headers, message.key(), len(message), at, message.timestamp()[1])
        if letter.replayed:
            self._marked.add(letter.id)
        elif letter.id not in self._letters:
            reason = self._reasons.setdefault(letter.reason, letter.reason)  # many letters have the same
            self._letters[letter.id] = dataclasses.replace(letter, reason=reason)

    def chosen(self, replayed: bool) -> list[DeadLetter]:
        """Letters that have not been replayed; with ``replayed`` all, those that have been are marked."""
        if not replayed:
            return [letter for letter in self._letters.values() if letter.id not in self._marked]
        return [dataclasses.replace(each, replayed=each.id in self._marked) for each in self._letters.values()]


def _from_the_end(settings: Settings) -> Iterator[tuple[_Found, int]]:
    """Read more and more of the ends of the topics: yields the letters there, and how many records are before them.

    The mark of a replay stands behind its letter, in the same partition: where the letter is read, its mark is.
    """
    marks = {topic: _marks(settings, topic) for topic in _topics(settings).values()}
    window = _WINDOW
    while True:
        found, before = _Found(), 0
        for survey, topic in _topics(settings).items():
            starts = {where: max(low, high - window) for where, (low, high) in marks[topic].items()}
            before += sum(starts[where] - low for where, (low, _) in marks[topic].items())
            for message in scan(settings, [topic], starts):
                found.add(survey, message)
        yield found, before
        if not before:
            return
        window *= 4


def _topics(settings: Settings) -> dict[str, str]:
    return {survey: names.topic(survey, "dead", settings.topic_prefix) for survey in settings.surveys}


def _marks(settings: Settings, topic: str) -> dict[tuple[str, int], tuple[int, int]]:
    return watermarks(settings, {topic: partition_counts(settings).get(topic, 0)})


def _in_order(found: Collection[DeadLetter]) -> list[DeadLetter]:
    return sorted(found, key=lambda letter: (letter.topic, letter.partition, letter.offset))


def _originals(settings: Settings, chosen: Collection[DeadLetter]) -> Iterator[tuple[DeadLetter, Original]]:
    """Read the records of letters, each dead-letter topic once."""
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
                messages = client.consume(1, timeout=TIMEOUT) + client.consume(100, timeout=0)
                if not messages:
                    raise ServiceError(f"Kafka at {settings.kafka} does not give the records of {topic}")
                for message in messages:
                    at = (int(message.partition() or 0), int(message.offset() or 0))
                    if message.error() is None and at in left:
                        yield left.pop(at), read_original(message.value() or b"", message.key(), header_list(message))
        finally:
            client.close()


def _send(settings: Settings, writer: Writer, letter: DeadLetter, original: Original) -> None:
    raw = names.topic(letter.survey, "raw", settings.topic_prefix)
    from_file = letter.topic.startswith(FILE)
    if not from_file and (letter.topic != raw or dict(original.headers).get("role") == b"margin"):
        writer.send(letter.topic, original.value, original.key, letter.partition, original.headers)
        return
    batch = raw_records(original.value, get_survey(letter.survey), settings.partitions)
    if batch.bad:
        raise BadRecord(batch.bad[0][1])
    kept = () if from_file or letter.timestamp < 0 else (received_header(letter.timestamp),)
    for record in batch.records:
        writer.send(raw, record.value, record.key, record.partition, (*record.headers, *kept))


def _mark(settings: Settings, writer: Writer, letter: DeadLetter) -> None:
    record = (letter.topic, letter.partition, letter.offset)
    headers = letter_headers(letter.stage, letter.reason, record, letter.timestamp)
    headers.append((REPLAYED, b"%d" % (time.time_ns() // 1_000_000)))
    topic = names.topic(letter.survey, "dead", settings.topic_prefix)
    writer.send(topic, b"", letter.key, letter.at[0], headers)
