"""Kafka for everything that is not a stage: connections and topics."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from boom_streams import names
from boom_streams.errors import ServiceError

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = [
    "MAX_BYTES",
    "TIMEOUT",
    "admin",
    "client_config",
    "consumer",
    "ensure_filter_topic",
    "ensure_topics",
    "fail",
    "partition_counts",
    "producer",
    "reader_group",
    "required_topics",
    "topic_problems",
]

#: Largest record of any topic, bytes; producers, topics and fetches agree on it.
MAX_BYTES = 12 << 20

#: Largest record of a dead-letter topic: any other record with the reason and the traceback.
MAX_DEAD_BYTES = MAX_BYTES + (64 << 10)

#: Seconds that one request to the broker may take.
TIMEOUT = 15.0

_QUIET = logging.getLogger("boom_streams.kafka.clients.client")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_WEEK_MS = str(7 * 24 * 3_600_000)
_MONTH_MS = str(30 * 24 * 3_600_000)
_DELETE = {"cleanup.policy": "delete", "max.message.bytes": str(MAX_BYTES)}
_COMPACT = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(MAX_BYTES),
    "min.cleanable.dirty.ratio": "0.2",
    "segment.ms": str(24 * 3_600_000),
}
_ENFORCED = {"cleanup.policy", "max.message.bytes", "retention.ms"}

_PERMISSION = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_ABSENT = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError.REQUEST_TIMED_OUT,
}


def client_config(settings: Settings) -> dict[str, Any]:
    """Configuration that every Kafka client shares: the servers and, where set, the SASL user."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka,
        "client.id": "boom-streams",
        "log_level": 3,
        "socket.keepalive.enable": True,
    }
    if settings.kafka_username is not None:
        password = settings.kafka_password
        config |= {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": settings.kafka_username,
            "sasl.password": password.get_secret_value() if password else "",
        }
    return config


@lru_cache(maxsize=8)
def admin(settings: Settings) -> AdminClient:
    """The process's connection for administration."""
    return AdminClient(client_config(settings), logger=_QUIET)


def producer(settings: Settings, **overrides: Any) -> Producer:
    """Make a producer that loses nothing and puts a key where Faust would put it.

    Every record is confirmed by all replicas and written once in each session of the producer; a batch
    holds up to 1 MB. Packets are not compressed: their stamps already are (lz4 saves 4 %).

    Parameters
    ----------
    settings
        Where Kafka is.
    **overrides
        Options of librdkafka, with ``_`` for ``.``: ``producer(settings, linger_ms=5)``.
    """
    config = client_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "none",
        "linger.ms": 50,
        "batch.size": 1_000_000,
        "message.max.bytes": MAX_BYTES,
        "queue.buffering.max.kbytes": 64 << 10,
        "delivery.timeout.ms": 60_000,
        "topic.metadata.propagation.max.ms": 3_000,
    }
    config |= {name.replace("_", "."): value for name, value in overrides.items()}
    return Producer(config, logger=_QUIET)


def consumer(settings: Settings, group: str | None = None, **overrides: Any) -> Consumer:
    """Make a consumer that never commits by itself; without a group, one that only reads."""
    config = client_config(settings) | {
        "group.id": group or reader_group(settings),
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": False,
        "fetch.message.max.bytes": MAX_BYTES,
        "fetch.max.bytes": 4 * MAX_BYTES,
        "queued.max.messages.kbytes": 32 << 10,
    }
    config |= {name.replace("_", "."): value for name, value in overrides.items()}
    return Consumer(config, logger=_QUIET)


def reader_group(settings: Settings) -> str:
    """Group of consumers that only read; Kafka wants permission for one, though it is not used."""
    return names.group_id("cli", settings.topic_prefix)


def fail(settings: Settings, error: KafkaError, topic: str, doing: str) -> ServiceError:
    """Say what to do about an error of Kafka.

    Parameters
    ----------
    settings
        Where Kafka is, and as whom.
    error
        What Kafka said.
    topic
        The topic (or group) in question.
    doing
        The Kafka operation that failed, as ``kafka-acls.sh`` names it: ``Create``, ``Describe``, ….
    """
    if error.code() in _PERMISSION:
        kind = "--group" if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else "--topic"
        user = settings.kafka_username or "ANONYMOUS"
        return ServiceError(
            f"no permission for {doing} on {topic}; an operator can give it with: kafka-acls.sh "
            f"--bootstrap-server {settings.kafka} --add --allow-principal User:{user} "
            f"--operation {doing} {kind} '{topic}'"
        )
    if error.code() in _ABSENT and settings.kafka_username is not None:
        return ServiceError(
            f"Kafka does not answer at {settings.kafka}, or refuses the user {settings.kafka_username}; "
            "check BOOM_KAFKA, BOOM_KAFKA_USERNAME and BOOM_KAFKA_PASSWORD"
        )
    if error.code() in _ABSENT:
        return ServiceError(
            f"Kafka does not answer at {settings.kafka}; start it with `boom-streams services start`, "
            "or set BOOM_KAFKA to a broker that runs"
        )
    return ServiceError(f"Kafka refused {doing} on {topic}: {error.str()}")


def partition_counts(settings: Settings, client: AdminClient | None = None) -> dict[str, int]:
    """Count the partitions of every topic that exists and may be seen.

    Raises
    ------
    ServiceError
        If Kafka does not answer.
    """
    if not any(map(_listens, settings.kafka.split(","))):
        raise fail(settings, KafkaError(KafkaError._TRANSPORT), "*", "Describe")
    try:
        topics = (client or admin(settings)).list_topics(timeout=TIMEOUT).topics
    except KafkaException as error:
        raise fail(settings, error.args[0], "*", "Describe") from None
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _listens(server: str) -> bool:
    """Whether anything listens at ``host:port``; the client would try for long."""
    host, _, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3.0).close()
    except (OSError, ValueError):
        return False
    return True


def required_topics(settings: Settings) -> dict[str, dict[str, str]]:
    """Topics that the broker needs, with the configuration of each; filters add their own."""
    prefix = settings.topic_prefix
    keep = {
        "raw": str(int(settings.raw_retention_hours * 3_600_000)),
        "enriched": _WEEK_MS,
        "classified": _WEEK_MS,
        "filtered": _MONTH_MS,
        "dead": _MONTH_MS,
    }
    topics = {
        names.topic(survey, stage, prefix): _DELETE | {"retention.ms": keep[stage]}
        for survey in settings.surveys
        for stage in names.STAGES
    }
    for survey in settings.surveys:
        topics[names.topic(survey, "dead", prefix)]["max.message.bytes"] = str(MAX_DEAD_BYTES)
    return topics | {names.changelog_topic(table, prefix): dict(_COMPACT) for table in names.TABLES}


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
            partitions = known[topic].partitions.values()
            if partitions and all(partition.leader >= 0 for partition in partitions):
                left.discard(topic)
        if left and time.monotonic() > deadline:
            raise ServiceError(f"topics {', '.join(sorted(left))} have no leader at {settings.kafka}")
        if left:
            time.sleep(0.05)


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


def _wrong_count(settings: Settings, topic: str, count: int) -> str:
    return (
        f"topic {topic} has {count} partitions, and the setting `partitions` is {settings.partitions}; "
        f"set BOOM_PARTITIONS={count} if every topic has {count}, or remove the topic with all its records: "
        f"kafka-topics.sh --bootstrap-server {settings.kafka} --delete --topic '{topic}', "
        "then `boom-streams init`"
    )
