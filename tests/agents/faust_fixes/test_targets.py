"""A mend is put only where its target is what it was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import Any

import pytest

from boom_streams.agents import faust_fixes
from boom_streams.agents.faust_fixes import fetching, intake, monitor, recovery, seek, targets
from boom_streams.errors import ServiceError

INSTALL: dict[str, Callable[[], None]] = {
    "recovery": recovery.install,
    "seek": lambda: seek.install(lambda *_: None),
    "fetching": fetching.install,
    "intake": lambda: intake.install(0.01),
    "monitor": monitor.install,
}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was found out about versions is forgotten."""
    targets._made_for.cache_clear()
    yield
    targets._made_for.cache_clear()


def used() -> list[tuple[str, str, Any, str, str | None]]:
    """Every target of every mend: its module, distribution, owner, name and parameters."""
    found: list[Any] = []

    def note(module: str, distribution: str, owner: Any, name: str, parameters: str | None = None, *_: Any) -> None:
        found.append((module, distribution, owner, name, parameters))

    with pytest.MonkeyPatch.context() as patch:
        for module in (recovery, seek, fetching, intake, monitor):
            name = module.__name__.rpartition(".")[2]
            patch.setattr(module, "has", partial(note, name))
            patch.setattr(module, "mend", partial(note, name))
            INSTALL[name]()
    return found


def named(targets: list[tuple[str, str, Any, str, str | None]]) -> list[Any]:
    return [pytest.param(module, *rest, id=f"{module}-{rest[2]}") for module, *rest in targets]


def test_all_mends_are_put_once() -> None:
    for _ in range(2):
        faust_fixes.install(lambda *_: None, 0.01)
    assert targets.unmended(recovery.Recovery._resume_streams) is not recovery.Recovery._resume_streams
    assert not hasattr(targets.unmended(recovery.Recovery._resume_streams), "__mends__")


def test_mends_of_one_function_stand_on_each_other() -> None:
    faust_fixes.install(lambda *_: None, 0.01)
    makers = intake.Fetcher._proc_fetch_request.__makers__
    assert {label.rpartition(".")[2] for label in makers} == {"_note_position", "_with_pause"}


def test_every_mend_is_in_its_place() -> None:
    asked: list[tuple[Any, str, str]] = []

    def note(distribution: str, owner: Any, name: str, parameters: str | None, make: Any) -> None:
        maker = getattr(make, "func", make)
        asked.append((owner, name, f"{maker.__module__}.{maker.__qualname__}"))

    faust_fixes.install(lambda *_: None, 0.01)
    with pytest.MonkeyPatch.context() as patch:
        for module in (recovery, seek, fetching, intake, monitor):
            patch.setattr(module, "mend", note)
            INSTALL[module.__name__.rpartition(".")[2]]()
    assert asked
    assert [each for each in asked if each[2] not in getattr(each[0], each[1]).__makers__] == []


@pytest.mark.parametrize("distribution", targets.VERSIONS)
def test_the_versions_are_those_that_are_installed(distribution: str) -> None:
    assert metadata.version(distribution) == targets.VERSIONS[distribution]


@pytest.mark.parametrize("distribution", targets.VERSIONS)
def test_another_version_is_refused(distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "99.1" if name == distribution else targets.VERSIONS[name])
    with pytest.raises(ServiceError, match=rf"{distribution} 99\.1 is installed"):
        faust_fixes.install(lambda *_: None, 0.01)


@pytest.mark.parametrize(("module", "distribution", "owner", "name", "parameters"), named(used()))
def test_a_target_that_has_gone_is_noticed(
    module: str, distribution: str, owner: Any, name: str, parameters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, None)
    with pytest.raises(ServiceError, match=name):
        INSTALL[module]()


@pytest.mark.parametrize(
    ("module", "distribution", "owner", "name", "parameters"), named([each for each in used() if each[4] is not None])
)
def test_a_target_with_other_parameters_is_noticed(
    module: str, distribution: str, owner: Any, name: str, parameters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, lambda self, something_else: None)
    with pytest.raises(ServiceError, match="something_else"):
        INSTALL[module]()
