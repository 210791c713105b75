"""Writing many records: nobody waits for one of them, and all of them are confirmed at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

from boom_streams.errors import BadRecord, ServiceError
from boom_streams.kafka.clients import fail, producer

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Writer"]

#: Seconds that the last records may take to be confirmed.
PATIENCE = 90.0


class Writer:
    """Sends records through one producer, within its bounded memory.

    Parameters
    ----------
    settings
        Where Kafka is.
    offsets
        Keep the offset of the last confirmed record of each partition in `offsets`.
    **overrides
        Options of the producer, see `boom_streams.kafka.clients.producer`.
    """

    def __init__(self, settings: Settings, *, offsets: bool = False, **overrides: Any) -> None:
        self._settings = settings
        self._failure: ServiceError | None = None
        self._producer = producer(settings, delivery_report_only_error=not offsets, **overrides)
        self.offsets: dict[tuple[str, int], int] = {}

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        headers: Iterable[tuple[str, bytes | None]] = (),
        timestamp: int = 0,
    ) -> None:
        """Send a record; waits only while the producer's memory is full.

        Parameters
        ----------
        topic, value, key, partition, headers
            The record.
        timestamp
            Milliseconds since 1970; 0 for now.

        Raises
        ------
        BadRecord
            If the record is larger than any topic takes.
        ServiceError
            If Kafka refused this record; that it refused an earlier one is told by `poll` and `finish`.
        """
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    on_delivery=self._delivered,
                    timestamp=timestamp,
                    headers=list(headers),
                )
                break
            except BufferError:
                self.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise BadRecord(f"{len(value or b'')} bytes are more than a record may have") from None
                raise fail(self._settings, error.args[0], topic, "Write") from None

    def poll(self, seconds: float) -> None:
        """Let the producer report failures, for at most some seconds.

        Raises
        ------
        ServiceError
            If Kafka has refused a record.
        """
        self._serve(self._producer.poll, seconds)
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Wait until everything that was sent is confirmed.

        Raises
        ------
        ServiceError
            If Kafka refused a record, or does not answer.
        """
        deadline = time.monotonic() + PATIENCE
        while (left := self._serve(self._producer.flush, 1.0)) and self._failure is None:
            if time.monotonic() > deadline:  # for example while Kafka is away
                raise ServiceError(
                    f"Kafka at {self._settings.kafka} did not confirm the last {left} records within {PATIENCE:g} s"
                )
        self.poll(0)

    def _serve(self, call: Callable[[float], int], seconds: float) -> int:
        """Poll or flush; what ends the producer as a whole, such as a missing permission, is noted.

        The client raises it by itself, or as the cause of a SystemError where a callback was to be called.
        """
        try:
            return call(seconds)
        except (KafkaException, SystemError) as error:
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            self._failure = self._failure or fail(self._settings, cause.args[0], "*", "Write")
            return 0

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self.offsets[message.topic(), message.partition()] = message.offset()
        elif self._failure is None:
            self._failure = fail(self._settings, error, str(message.topic()), "Write")
