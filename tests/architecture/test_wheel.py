"""The wheel has one top-level name, with all its parts, and runs from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from boom_streams.topologies.survey import TABLES
from tests.architecture.sources import FOLDERS, ROOT, modules

SOURCES = ("boom_streams", *FOLDERS, "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BOOM_", "PYTHON"))}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=clean | env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist, and from it the wheel, as a release is built."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        origin = ROOT / name
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(origin, source)
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Environment with the wheel; its dependencies are borrowed from this one, the checkout is not."""
    home = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    site = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=home).stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # .pth files in a folder that a .pth file adds are not read: an editable install is not followed.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
def test_wheel_has_one_top_level_name_and_every_part(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    top = {name.split("/")[0] for name in files}
    assert {name for name in top if not name.endswith(".dist-info")} == {"boom_streams"}
    modules_in_wheel = {f for f in files if f.endswith(".py")}
    expected = {str(file.relative_to(ROOT)) for _, file in modules()}
    assert modules_in_wheel == {f if f.startswith("boom_streams/") else f"boom_streams/{f}" for f in expected}
    assert {"boom_streams/py.typed", "boom_streams/services/pom.xml"} <= files
    package = ROOT / "boom_streams"
    data = [
        *(ROOT / "schema").rglob("*.avsc"),
        *package.glob("filters/examples/*.json"),
        *package.glob("page/templates/*"),
        *package.glob("crossmatch/descriptions/*.toml"),
    ]
    relative = {str(file.relative_to(ROOT)) for file in data}
    assert {f if f.startswith("boom_streams/") else f"boom_streams/{f}" for f in relative} <= files


@pytest.mark.slow
def test_wheel_starts_from_the_root_folder(elsewhere: Path, tmp_path: Path) -> None:
    where = run(elsewhere, "-c", "import boom_streams; print(boom_streams.__file__)", cwd=Path("/"))
    assert Path(where.stdout.strip()).is_relative_to(elsewhere.parent.parent), where.stderr
    agents = run(elsewhere, "-m", "faust", "-A", "boom_streams", "agents", cwd=Path("/"), BOOM_DATA_DIR=str(tmp_path))
    assert agents.returncode == 0, agents.stderr
    for agent in ("enrich", "classify", "filter", "sink"):
        assert agent in agents.stdout
    tables = run(elsewhere, "-m", "faust", "-A", "boom_streams", "tables", cwd=Path("/"), BOOM_DATA_DIR=str(tmp_path))
    assert all(table in tables.stdout for table in TABLES), tables.stdout + tables.stderr


def test_wheel_brings_no_bare_names(elsewhere: Path) -> None:
    for folder in FOLDERS:
        result = run(elsewhere, "-c", f"import {folder}", cwd=Path("/"))
        assert "ModuleNotFoundError" in result.stderr


def test_command_starts_from_the_root_folder(elsewhere: Path) -> None:
    result = run(elsewhere, "-c", "from boom_streams.cli import main; main()", cwd=Path("/"))
    assert "boom-streams" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
