"""The documentation as a site: every page is reached, every link leads somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml


def test_the_site_is_built_without_warnings(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "tree/main" not in (page := (tmp_path / "site" / "index.html").read_text())
    assert "/blob/main/CONTRIBUTING.md" in page, "links out of the folder lead to the repository"


def test_every_page_is_in_the_menu(root: Path) -> None:
    class Loader(yaml.SafeLoader):
        """Without the names of Python functions."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)
    menu = yaml.load((root / "mkdocs.yml").read_text(), Loader)["nav"]
    listed = [page for entry in menu for page in ([entry] if isinstance(entry, str) else next(iter(entry.values())))]
    assert sorted(listed) == sorted(path.name for path in (root / "docs").glob("*.md"))
