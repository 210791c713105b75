"""What the demo matches and classifies with: what can be had, and nothing of the user's is replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boom_streams.archive import mongo
from boom_streams.crossmatch import CatalogStore
from boom_streams.demo.resources import import_catalogs, install_models
from boom_streams.settings import Settings
from tests.support.http_server import Server, serving


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server


def catalog(folder: Path, name: str, ra: float) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"_id": [1], "ra": [ra], "dec": [20.0], "z": [0.01]}), folder / f"{name}.parquet")
    return folder


def test_catalogues_of_the_night_take_no_ones_place(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path / "data", catalogs_dir=tmp_path / "descriptions")
    (tmp_path / "descriptions").mkdir()
    for name in ("MINE", "OTHER"):
        (tmp_path / "descriptions" / f"{name}.toml").write_text("radius = 2.0\n")
    said: list[str] = []
    import_catalogs(settings, None, said.append)
    assert said == ["no catalogue is imported, so alerts are matched with none: boom-streams catalogs --help"]
    import_catalogs(settings, catalog(tmp_path / "first", "MINE", 10.0), said.append)
    second = catalog(catalog(tmp_path / "second", "MINE", 50.0), "OTHER", 50.0)
    import_catalogs(settings, catalog(second, "UNKNOWN", 50.0), said.append)
    assert said[1:] == ["alerts are matched with MINE", "alerts are matched with MINE, OTHER"]
    database = mongo.database(settings)
    assert [each.catalog.name for each in CatalogStore(database).load()] == ["MINE", "OTHER"]
    assert [source["ra"] for source in database["MINE"].find()] == [10.0]


def test_models_that_can_be_had_are_installed(
    make_settings: Callable[..., Settings], tmp_path: Path, shared: Path, mirror: Server
) -> None:
    settings = make_settings(models_dir=tmp_path / "models", models=("acai_h", "acai_n"))
    said: list[str] = []
    name = "acai_h.d1_dnn_20201130.onnx"
    mirror.files = {name: (shared / "models" / name).read_bytes()}
    install_models(settings, said.append, mirror.address)
    assert "acai_n" in said[0]
    assert said[1] == "models: acai_h"
    shutil.rmtree(tmp_path / "models")
    said.clear()
    install_models(settings, said.append, "http://127.0.0.1:1")
    assert said[0].startswith("the models cannot be had: ")
    assert said[1] == "models: none"


def test_models_that_are_there_need_no_network(make_settings: Callable[..., Settings], shared: Path) -> None:
    said: list[Any] = []
    install_models(make_settings(models_dir=shared / "models"), said.append, "http://127.0.0.1:1")
    assert said == ["models: acai_h, acai_n, acai_v, acai_o, acai_b, btsbot"]
