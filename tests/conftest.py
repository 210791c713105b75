"""Fixtures of all tests: real services, settings of one's own, the shared real data."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boom_streams import services as local
from boom_streams.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent

MakeSettings = Callable[..., Settings]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use real services: ``-m "not services"`` leaves them out."""
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker("services")


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real alerts beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("real data not here: no folder `shared` beside the checkout")
    return folder


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No ``BOOM_…`` variable of the caller reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("BOOM_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Real Kafka and mongod for the session: ``{"kafka": …, "mongo_uri": …}``.

    ``TEST_KAFKA`` and ``TEST_MONGO_URI`` name services that run already, for quick repeated runs.
    """
    running = os.environ.get("TEST_KAFKA"), os.environ.get("TEST_MONGO_URI")
    if running[0] and running[1]:
        yield {"kafka": running[0], "mongo_uri": running[1]}
        return
    folder = tmp_path_factory.mktemp("services")
    endpoints = local.start(folder)
    try:
        yield {"kafka": endpoints.kafka, "mongo_uri": endpoints.mongo_uri}
    finally:
        local.stop(folder)


@pytest.fixture
def make_settings(services: dict[str, str], tmp_path: Path) -> Iterator[MakeSettings]:
    """Make settings with a database, topics and a data folder of their own; dropped after the test."""
    with own_settings(services, tmp_path) as make:
        yield make


@contextmanager
def own_settings(services: dict[str, str], folder: Path) -> Iterator[MakeSettings]:
    """`make_settings` for fixtures of any scope; what was made is dropped at the end."""
    from pymongo import MongoClient

    made: list[Settings] = []

    def make(**overrides: Any) -> Settings:
        unique = f"t{uuid.uuid4().hex[:10]}"
        values: dict[str, Any] = {
            "kafka": services["kafka"],
            "mongo_uri": services["mongo_uri"],
            "mongo_db": unique,
            "topic_prefix": f"{unique}.",
            "data_dir": folder / unique,
        }
        made.append(load_settings(**(values | overrides)))
        return made[-1]

    try:
        yield make
    finally:
        if made:
            with MongoClient[dict[str, Any]](services["mongo_uri"]) as client:
                for config in made:
                    client.drop_database(config.mongo_db)
            _delete_topics(services["kafka"], [config.topic_prefix for config in made])


def _delete_topics(kafka: str, prefixes: list[str]) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    present = admin.list_topics(timeout=10).topics
    topics = [name for name in present if any(prefix and name.startswith(prefix) for prefix in prefixes)]
    if topics:
        for future in admin.delete_topics(topics).values():
            future.result(10)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Settings for a test that needs only one set of them."""
    return make_settings()
