"""The notebook in ``examples/`` runs on an archive that the sinks have filled, and is kept without outputs."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pymongo.database import Database

from boom_streams import archive
from boom_streams.archive import Archive
from boom_streams.testing import Stored, classify, scratch_database, store
from boom_streams.testing.stages import filtered
from tests.support.alerts import containers
from tests.support.page_alerts import fits_stamp, star
from tests.support.ztf_packets import candidate, container, detection, forced, limit

NOTEBOOK = Path(__file__).resolve().parent.parent.parent / "examples" / "read_a_night.ipynb"


@pytest.fixture
def database(services: dict[str, str]) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as found:
        archive.ensure(found, ["ZTF"])
        yield found


def made_up() -> list[bytes]:
    """Two objects of one night; of the second there is nothing but the alert."""
    stamps = {
        name: {"fileName": "x", "stampData": fits_stamp(star(31, 31))} for name in ("cutoutScience", "cutoutTemplate")
    }
    points = [detection(2459999.7, 41, magpsf=18.5, fid=2), limit(2459990.7)]
    rich = container(prv_candidates=points, fp_hists=[forced(2459999.8, 30.0)], **stamps)
    poor = container(objectId="ZTF00aaaaaab", candid=43, candidate=candidate(candid=43, jd=2460000.6, isdiffpos="f"))
    return [rich, poor]


def fill(database: Database[dict[str, Any]], alerts: Sequence[Stored], passing: Sequence[Stored]) -> None:
    store(database, alerts)
    values = [filtered(one.classified, "fast", "slow", annotations='{"age": 3.5}') for one in passing]
    assert not any(Archive(database, ["ZTF"]).write_matches(values))


def run(services: dict[str, str], database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run the notebook in its folder, as Jupyter does; outputs of its code cells."""
    monkeypatch.setenv("BOOM_MONGO_URI", services["mongo_uri"])
    monkeypatch.setenv("BOOM_MONGO_DB", database.name)
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parent.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zmq and asyncio, which are not ours
        asyncio.run(client.async_execute())
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_and_pictures(outputs: Sequence[Any]) -> tuple[str, int]:
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join(texts), sum("image/png" in output.get("data", {}) for output in outputs)


def test_it_has_no_outputs_in_git() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [
        cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)
    ] == []


@pytest.mark.parametrize("filters", [True, False])
def test_it_reads_a_made_up_night(
    services: dict[str, str], database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, filters: bool
) -> None:
    alerts = classify(made_up())
    fill(database, alerts, alerts[:1] if filters else [])
    text, pictures = text_and_pictures(run(services, database, monkeypatch))
    assert "2 alerts of 2 objects" in text
    assert ("named-fast" in text) is filters
    assert pictures == 2


def test_it_reads_a_real_night(
    services: dict[str, str], database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    alerts = classify(containers(shared / "data/alerts/ztf/20211121_snappy"))
    fill(database, alerts, alerts[::10])
    text, pictures = text_and_pictures(run(services, database, monkeypatch))
    assert "110 alerts" in text
    assert pictures == 2


def test_an_empty_archive_is_said(
    services: dict[str, str], database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CellExecutionError, match="run the demo first"):
        run(services, database, monkeypatch)
