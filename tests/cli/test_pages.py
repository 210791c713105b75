"""What the page's file is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from boom_streams.cli.pages import night_name


@pytest.mark.parametrize(
    ("night", "name"),
    [
        (["data/20211121"], "20211121"),
        (["ztf_public_20240617.tar.gz"], "ztf_public_20240617"),
        (["a/one.avro", "b/two.avro", "c"], "one and 2 more"),
        (["data/20211121/."], "20211121"),
        (["/"], "night"),
    ],
)
def test_a_night_is_called_after_its_folder_or_file(night: list[str], name: str) -> None:
    assert night_name([Path(path) for path in night]) == name


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "20240617").mkdir()
    monkeypatch.chdir(tmp_path / "20240617")
    assert night_name([Path(".")]) == "20240617"
