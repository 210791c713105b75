"""The four folders lie at the root, are imported through links, and never by their bare names."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import FOLDERS, ROOT, modules, parse


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_at_the_root_and_linked_in_the_package(folder: str) -> None:
    link = ROOT / "boom_streams" / folder
    assert link.is_symlink(), "this checkout has no links; run: git config core.symlinks true"
    assert os.readlink(link) == f"../{folder}"
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder).is_symlink()


@pytest.mark.parametrize("folder", FOLDERS)
def test_git_keeps_the_link_as_a_link(folder: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--stage", f"boom_streams/{folder}"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert listing.startswith("120000 "), listing


@pytest.mark.parametrize("folder", FOLDERS)
def test_bare_import_is_refused(folder: str, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"ImportError: import boom_streams.{folder}, not {folder}" in result.stderr


def test_no_module_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    assert [name for name, _ in modules() if name.rsplit(".", 1)[-1] in vague] == []


@pytest.mark.parametrize("file", [pytest.param(file, id=name) for name, file in modules()])
def test_settings_are_called_settings(file: Path) -> None:
    functions = (node for node in ast.walk(parse(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    arguments = [each for function in functions for each in (*function.args.args, *function.args.kwonlyargs)]
    annotated = {each.arg for each in arguments if each.annotation and ast.unparse(each.annotation) == "Settings"}
    assert annotated <= {"settings"}


def test_scripts_are_executable() -> None:
    for script in (".ci/run", "scripts/setup", "scripts/check-wheel"):
        assert os.access(ROOT / script, os.X_OK), script
