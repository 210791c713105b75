"""Kafka for everything that is not a stage: connections."""

from __future__ import annotations

import logging
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from boom_streams import names
from boom_streams.errors import RefusedError, ServiceError
from boom_streams.kafka.limits import MAX_BYTES

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = [
    "TIMEOUT",
    "admin",
    "client_config",
    "consumer",
    "fail",
    "partition_counts",
    "problem",
    "producer",
    "reader_group",
]

#: Seconds that one request to the broker may take, and in which one that is well answers a probe.
TIMEOUT, PROBE_SECONDS = 15.0, 5.0

_QUIET = logging.getLogger("boom_streams.kafka.client")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


_PERMISSION = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
#: What concerns one topic, and stays so until somebody changes it.
_REFUSAL = {KafkaError.TOPIC_EXCEPTION, KafkaError.POLICY_VIOLATION}
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
        "isolation.level": "read_committed",
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

    Returns
    -------
    ServiceError
        A `RefusedError` if it would be the same again.
    """
    if error.code() in _PERMISSION:
        kind = "--group" if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else "--topic"
        user = settings.kafka_username or "ANONYMOUS"
        return RefusedError(
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
    refused = RefusedError if error.code() in _REFUSAL else ServiceError
    return refused(f"Kafka refused {doing} on {topic}: {error.str()}")


def problem(settings: Settings) -> str | None:
    """Ask Kafka for its topics, and say what is wrong with it; None: nothing is."""
    try:
        admin(settings).list_topics(timeout=PROBE_SECONDS)
    except KafkaException as error:
        return str(fail(settings, error.args[0], "*", "Describe"))
    return None


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
