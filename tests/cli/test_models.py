"""`boom-streams models`: the real files, from a mirror on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from boom_streams.cli import cli
from boom_streams.models import known_models
from boom_streams.models.files import ADDRESS, state
from boom_streams.models.install import install, verify
from boom_streams.settings import current_settings
from boom_streams.surveys.model import OnnxFile
from boom_streams.surveys.ztf.packets import Ztf
from tests.support.http_server import Server, serving

MODELS = known_models()
NAMES = ("acai_h", "acai_n", "acai_v", "acai_o", "acai_b", "btsbot")


@pytest.fixture
def mirror(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Mirror of the models; the command's folder is `tmp_path`."""
    current_settings.cache_clear()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("BOOM_MODELS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        server.files = {f"m/{model.file}": (shared / "models" / model.file).read_bytes() for model in MODELS.values()}
        yield server
    current_settings.cache_clear()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["models", *words])


def test_each_model_has_files_that_are_told_apart() -> None:
    sums = [sha256 for model in MODELS.values() for sha256 in model.files.sha256]
    assert len(set(sums)) == len(sums) == 13
    assert all(len(sha256) == 64 for sha256 in sums)
    assert ADDRESS.startswith("https://")


def test_installed_listed_and_verified(mirror: Server, tmp_path: Path) -> None:
    assert "absent" in run("list").output
    before = run("verify")
    assert (before.exit_code, before.output.count("`boom-streams models install ")) == (1, len(NAMES))
    done = run("install", "--from", f"{mirror.address}m")
    assert (done.exit_code, done.output.count(": installed, ")) == (0, len(NAMES)), done.output
    assert {path.name for path in tmp_path.iterdir()} == {MODELS[name].file for name in NAMES}
    again = run("install", "--from", f"{mirror.address}m")
    assert (again.exit_code, again.output.count("is installed"), len(mirror.asked)) == (0, len(NAMES), len(NAMES))
    listed = run("list").output
    for name in NAMES:
        (row,) = (line for line in listed.splitlines() if f" {name} " in line)
        assert MODELS[name].version in row
        assert " installed " in row
        assert MODELS[name].what in row
    verified = run("verify")
    assert (verified.exit_code, verified.output.count(": runs")) == (0, len(NAMES)), verified.output


def test_what_is_published_in_another_form_is_said(mirror: Server, tmp_path: Path) -> None:
    refused = run("install", "braai")
    assert refused.exit_code == 1
    assert MODELS["braai"].files.weights in refused.output
    assert (mirror.asked, list(tmp_path.iterdir())) == ([], [])
    assert run("install", "braai", "--from", f"{mirror.address}m/").exit_code == 0
    assert run("verify", "braai").output == "braai: runs\n"


def test_a_wrong_file_is_not_installed(mirror: Server, tmp_path: Path) -> None:
    mirror.files[f"m/{MODELS['acai_h'].file}"] = b"version https://git-lfs.github.com/spec/v1\n"
    refused = run("install", "acai_h", "--from", f"{mirror.address}m")
    assert refused.exit_code == 1
    assert "has the sha256" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told(mirror: Server, tmp_path: Path) -> None:
    (tmp_path / MODELS["acai_h"].file).write_bytes(b"damaged")
    assert state(tmp_path, "acai_h") == "not the published file"
    assert "is damaged or another version" in verify(tmp_path, "acai_h")
    assert "delete it" in run("install", "acai_h", "--from", f"{mirror.address}m").output


def test_a_known_file_that_does_not_load_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MODELS["acai_h"].file).write_bytes(b"damaged")
    known = OnnxFile(hashlib.sha256(b"damaged").hexdigest(), 7)
    changed = MODELS["acai_h"]._replace(files=MODELS["acai_h"].files._replace(converted=known))
    monkeypatch.setattr(Ztf, "models", (*Ztf.models[1:], changed))
    assert "does not load" in verify(tmp_path, "acai_h")


def test_a_model_that_does_not_exist(mirror: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no model is called 'x'; there are acai_h" in run("verify", "x").output
    monkeypatch.setenv("BOOM_MODELS", '["y"]')
    current_settings.cache_clear()
    assert "'y' (setting BOOM_MODELS)" in run("install").output


def test_the_authors_file_has_the_published_size(
    mirror: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boom_streams.models.install.ADDRESS", f"{mirror.address}m")
    with pytest.raises(Exception, match="35184 bytes, not the 35206 that are expected"):
        install(tmp_path, ["acai_h"], f"{mirror.address}m")
