"""The page in a real browser, where there is one."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boom_streams.page import Night, render
from tests.support.html_tree import Node, parse
from tests.support.page_alerts import alert, passed, point

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


def opened(page: str, folder: Path) -> tuple[Node, list[str]]:
    """Document after its script has run, and what the browser's console said."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return parse(done.stdout), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_loads_without_errors_and_its_script_runs(tmp_path: Path) -> None:
    alerts = [
        alert(1, photometry=[point(-200, "r", "forced"), point(-3, "r", "limit", None, 1e3), point(0)]),
        alert(2, filters=[passed("<b>", '{"a": 1}')], classifications=[{"classifier": "braai", "score": 0.4}]),
    ]
    tree, console = opened(render(Night("night"), alerts, {}), tmp_path)
    assert console == []
    assert "hidden" not in tree.one("form").attributes, "the script shows what needs a script"
    assert tree.one("output").text == "2 objects"
    assert len(tree.all("article", "card")) == 2


def test_what_the_policy_forbids_is_noticed(tmp_path: Path) -> None:
    """Otherwise the test above would not notice a stylesheet that was refused."""
    page = render(Night("night"), [alert()], {}).replace("</style>", " </style>")
    _, console = opened(page, tmp_path)
    assert any("Content Security Policy" in line for line in console)


def test_cards_are_filtered_and_sorted(tmp_path: Path) -> None:
    alerts = [
        alert(n, magnitude=mag, filters=[passed(name)]) for n, mag, name in ((1, 19, "a"), (2, 17, "b"), (3, 18, "a"))
    ]
    acts = """
for (const [name, value] of [["order", "magnitude,1"], ["filter", "0"]]) {
  form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event("change"));
}
"""
    tree, console = opened(acting(render(Night("night"), alerts, {}), acts), tmp_path)
    assert console == []
    assert [card["id"] for card in tree.all("article", "card")] == ["alert-2", "alert-3", "alert-1"]
    assert [card["id"] for card in tree.all("article") if "hidden" in card.attributes] == ["alert-2"]
    assert tree.one("output").text == "2 objects"


def acting(page: str, acts: str) -> str:
    """Let the page's own script do more, as its policy allows no other."""
    before, script, after = re.split(r"<script>(.*)</script>", page, flags=re.DOTALL)
    return f"{before.replace(digest(script), digest(script + acts))}<script>{script}{acts}</script>{after}"


def digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
