"""Topics: which there must be, with which configuration; created and corrected."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.cimpl import NewTopic

from boom_streams import names
from boom_streams.errors import ServiceError
from boom_streams.kafka.clients import TIMEOUT, admin, fail, partition_counts
from boom_streams.kafka.limits import MAX_BYTES, MAX_DEAD_BYTES
from boom_streams.topologies.survey import STAGES, TABLES, TOPICS

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = [
    "check_topics",
    "delete_filter_topic",
    "ensure_filter_topic",
    "ensure_topics",
    "is_ready",
    "rebuilding",
    "required_topics",
    "topic_ids",
    "topic_problems",
]

_WEEK_MS = str(7 * 24 * 3_600_000)
_MONTH_MS = str(30 * 24 * 3_600_000)
#: By the time of appending: a record that says it is older must not be deleted before it is read.
_DELETE = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(MAX_BYTES),
    "message.timestamp.type": "LogAppendTime",
}
_COMPACT = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(MAX_BYTES),
    "min.cleanable.dirty.ratio": "0.2",
    "segment.ms": str(24 * 3_600_000),
}
_ENFORCED = {"cleanup.policy", "max.message.bytes", "message.timestamp.type", "retention.ms"}


def required_topics(settings: Settings) -> dict[str, dict[str, str]]:
    """Topics that the broker needs, with the configuration of each; filters add their own."""
    prefix = settings.topic_prefix
    keep = {
        "raw": str(int(settings.raw_retention_hours * 3_600_000)),
        "filtered": _MONTH_MS,
        "dead": _MONTH_MS,
    }
    topics = {
        names.topic(survey, name, prefix): _DELETE | {"retention.ms": keep.get(name, _WEEK_MS)}
        for survey in settings.surveys
        for name in TOPICS
    }
    for survey in settings.surveys:
        topics[names.topic(survey, "dead", prefix)]["max.message.bytes"] = str(MAX_DEAD_BYTES)
    return topics | {names.changelog_topic(table, prefix): dict(_COMPACT) for table in TABLES}


def ensure_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, and set their configuration right.

    Returns
    -------
    list of str
        What was changed, a sentence each; empty when all was in place.

    Raises
    ------
    ServiceError
        If Kafka does not answer, a topic has another number of partitions than the settings say, or a
        permission is missing; the text names the topic and the command.
    """
    return _ensure(settings, required_topics(settings), settings.partitions)


def ensure_filter_topic(settings: Settings, name: str) -> list[str]:
    """Create the topic of a filter if it is missing; return what was changed, as `ensure_topics`.

    It has one partition: what one filter passes is little and is read in order, and of filters there may be thousands.
    """
    topic = names.filter_topic(name, settings.topic_prefix)
    return _ensure(settings, {topic: _DELETE | {"retention.ms": _MONTH_MS}}, partitions=None)


def delete_filter_topic(settings: Settings, name: str) -> None:
    """Delete the topic of a filter, with its records; nothing if there is none.

    Raises
    ------
    ServiceError
        If Kafka does not answer, or does not permit it.
    """
    topic = names.filter_topic(name, settings.topic_prefix)
    client = admin(settings)
    if topic not in partition_counts(settings, client):
        return
    try:
        client.delete_topics([topic], operation_timeout=TIMEOUT)[topic].result()
    except KafkaException as error:
        raise fail(settings, error.args[0], topic, "Delete") from None
    deadline = time.monotonic() + TIMEOUT
    while topic in partition_counts(settings, client):
        if time.monotonic() > deadline:
            raise ServiceError(f"topic {topic} is still there after {TIMEOUT:.0f} s; try it again later")
        time.sleep(0.05)


def check_topics(settings: Settings) -> None:
    """Make sure, before something is written, that the topics are there and have the partitions that the settings say.

    Raises
    ------
    ServiceError
        If one is missing or has another number of partitions, or Kafka does not answer; found out within seconds.
    """
    problems = topic_problems(settings, partition_counts(settings))
    if problems:
        raise ServiceError(problems[0])


def topic_problems(settings: Settings, existing: Mapping[str, int]) -> list[str]:
    """What is wrong with the topics: those that are missing or have a wrong number of partitions."""
    required = required_topics(settings)
    missing = [
        f"topic {topic} does not exist; create it with `boom-streams init`"
        for topic in required
        if topic not in existing
    ]
    return missing + [_wrong_count(settings, topic, existing[topic]) for topic in _wrong(settings, existing)]


def _ensure(settings: Settings, topics: Mapping[str, Mapping[str, str]], partitions: int | None) -> list[str]:
    """Create topics and correct their configuration; partitions None: new ones get one, and any number is right."""
    client = admin(settings)
    existing = partition_counts(settings, client)
    changes = []
    missing = {topic: config for topic, config in topics.items() if topic not in existing}
    if missing:
        changes += _create(settings, client, missing, partitions or 1)
        existing = partition_counts(settings, client)
    for topic in topics:
        if partitions and existing.get(topic, partitions) != partitions:
            raise ServiceError(_wrong_count(settings, topic, existing[topic]))
    present = {topic: config for topic, config in topics.items() if topic not in missing}
    return changes + _correct(settings, client, present)


def _create(
    settings: Settings, client: AdminClient, topics: Mapping[str, Mapping[str, str]], partitions: int
) -> list[str]:
    requests = [
        NewTopic(
            topic,
            num_partitions=partitions,
            replication_factor=settings.replication,
            config=dict(config),
        )
        for topic, config in topics.items()
    ]
    changes = []
    for topic, future in client.create_topics(requests, operation_timeout=TIMEOUT).items():
        try:
            future.result()
            count = f"{partitions} partition{'s' * (partitions > 1)}"
            changes.append(f"created topic {topic} with {count}")
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was faster
                raise fail(settings, error.args[0], topic, "Create") from None
    _await_leaders(settings, client, topics)
    return changes


def _await_leaders(settings: Settings, client: AdminClient, topics: Iterable[str]) -> None:
    """Wait until every partition of new topics can be written to."""
    left = set(topics)
    deadline = time.monotonic() + 2 * TIMEOUT
    while left:
        known = client.list_topics(timeout=TIMEOUT).topics
        for topic in list(left & set(known)):
            if _has_leaders(known[topic]):
                left.discard(topic)
        if left and time.monotonic() > deadline:
            raise ServiceError(f"topics {', '.join(sorted(left))} have no leader at {settings.kafka}")
        if left:
            time.sleep(0.05)


def is_ready(settings: Settings, topic: str) -> bool:
    """Whether a topic is there and every partition can be written to.

    Raises
    ------
    ServiceError
        If Kafka does not answer.
    """
    try:
        known = admin(settings).list_topics(timeout=TIMEOUT).topics
    except KafkaException as error:
        raise fail(settings, error.args[0], topic, "Describe") from None
    return topic in known and _has_leaders(known[topic])


def _has_leaders(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(partition.leader >= 0 for partition in topic.partitions.values())


def _correct(settings: Settings, client: AdminClient, topics: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Set what the guarantees rest on (`_ENFORCED`) in topics that exist; leave the rest to the operator."""
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    changes, requests = [], []
    for resource, future in (client.describe_configs(resources) if resources else {}).items():
        try:
            found = future.result()
        except KafkaException as error:
            raise fail(settings, error.args[0], resource.name, "DescribeConfigs") from None
        wanted = {name: value for name, value in topics[resource.name].items() if name in _ENFORCED}
        wrong = {name: value for name, value in wanted.items() if found[name].value != value}
        if wrong:
            entries = [
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wrong.items()
            ]
            requests.append(ConfigResource(ConfigResource.Type.TOPIC, resource.name, incremental_configs=entries))
            changes += [f"set {name} of topic {resource.name} to {value}" for name, value in wrong.items()]
    for resource, future in (client.incremental_alter_configs(requests) if requests else {}).items():
        try:
            future.result()
        except KafkaException as error:
            raise fail(settings, error.args[0], resource.name, "AlterConfigs") from None
    return changes


def _wrong(settings: Settings, existing: Mapping[str, int]) -> list[str]:
    """Topics of this broker with another partition count than the settings say; those of filters may have any."""
    ours = required_topics(settings).keys() & existing.keys()
    return sorted(topic for topic in ours if existing[topic] != settings.partitions)


def topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, str]:
    """Ids that Kafka gave topics when they were made: one that was deleted and made again has another.

    Raises
    ------
    ServiceError
        If Kafka does not answer, or there is no such topic.
    """
    found = {}
    for topic, future in (
        admin(settings).describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT).items()
    ):
        try:
            found[topic] = str(future.result().topic_id)
        except KafkaException as error:
            raise fail(settings, error.args[0], topic, "Describe") from None
    return found


def rebuilding(settings: Settings, topic: str) -> str:
    """What must be made anew with a topic: what was made from its records, and counts on their offsets."""
    stage = topic.rpartition(".")[2]
    tables = [table for each in STAGES if each.source == stage for table in each.tables]
    if not tables:
        return ""
    changelogs = [names.changelog_topic(table, settings.topic_prefix) for table in tables]
    said = (
        f"the table {', '.join(tables)} was made from its records: with all workers stopped, delete "
        f"{', '.join(changelogs)} with it, and {', '.join(f'{table}-*.db' for table in tables)} in the folders of the "
        "workers"
    )
    if stage == "enriched":  # revisions of objects are counted in the table, and go on in the archive
        said += ", and let the light curves begin anew, too: drop <SURVEY>_alerts_aux, or replay what the table had"
    return said


def _wrong_count(settings: Settings, topic: str, count: int) -> str:
    return (
        f"topic {topic} has {count} partitions, and the setting `partitions` is {settings.partitions}; "
        f"set BOOM_PARTITIONS={count} if every topic has {count}, or remove the topic with all its records: "
        f"kafka-topics.sh --bootstrap-server {settings.kafka} --delete --topic '{topic}', "
        f"then `boom-streams init`{'; ' if (also := rebuilding(settings, topic)) else ''}{also}"
    )
