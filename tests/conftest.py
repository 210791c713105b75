"""Fixtures of all tests: real services, settings of one's own, the shared real data.

Tests run in two processes (``-n 2``) that share one Kafka and one mongod. What stops and starts workers, and would be
slowed by others like it, runs one test of its folder at a time (`ALONE`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boom_streams import services as local
from boom_streams.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent

pytest.register_assert_rewrite("boom_streams.testing.contract")

MakeSettings = Callable[..., Settings]


#: Folders of tests with workers of their own: of each, one test at a time.
ALONE = ("acceptance", "chaos", "delivery", "upgrade")

#: Folder of the session's services; the first process makes it, the others find it here.
_FOLDER = "TEST_SERVICES_FOLDER"

#: Reasons for which a test may be skipped in CI, too.
_ELSEWHERE = ("only Linux", "real data not here")

_skipped: dict[str, int] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for services that the processes of the session share."""
    if not hasattr(config, "workerinput"):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="boom-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the services after the last test of the last process."""
    if hasattr(config, "workerinput") or _FOLDER not in os.environ:
        return
    folder = os.environ.pop(_FOLDER)
    local.stop(folder, kill=True)
    shutil.rmtree(folder, ignore_errors=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that use real services: ``-m "not services"`` leaves them out."""
    if _is_alone(item.nodeid) or "services" in getattr(item, "fixturenames", ()):
        item.add_marker("services")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a folder that run one at a time to one process, first: they take longest."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("/")[1] if _is_alone(nodeid) else nodeid

    return Scheduler(config, log)


def _is_alone(nodeid: str) -> bool:
    return nodeid.split("/")[1] in ALONE


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what is skipped, and why."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        _skipped[reason] = _skipped.get(reason, 0) + 1


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a test that is skipped though it could run is a failure."""
    missing = [reason for reason in _skipped if not reason.startswith(_ELSEWHERE)]
    if os.environ.get("CI") and missing and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not tested."""
    for reason, count in sorted(_skipped.items()):
        fails = bool(os.environ.get("CI")) and not reason.startswith(_ELSEWHERE)
        terminalreporter.write_line(f"not tested: {count} tests, {reason}{' - a failure in CI' if fails else ''}")


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
def services() -> dict[str, str]:
    """Real Kafka and mongod for the session: ``{"kafka": …, "mongo_uri": …}``.

    ``TEST_KAFKA`` and ``TEST_MONGO_URI`` name services that run already, for quick repeated runs.
    """
    running = os.environ.get("TEST_KAFKA"), os.environ.get("TEST_MONGO_URI")
    if running[0] and running[1]:
        return {"kafka": running[0], "mongo_uri": running[1]}
    endpoints = local.start(os.environ[_FOLDER])  # what another process has started is used
    return {"kafka": endpoints.kafka, "mongo_uri": endpoints.mongo_uri}


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
