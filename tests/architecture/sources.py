"""The package's modules, as the tests of this folder see them: by name, with their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FOLDERS", "ROOT", "imported", "modules", "parse"]

ROOT = Path(__file__).resolve().parent.parent.parent

#: Folders at the root that are imported through links in ``boom_streams/``.
FOLDERS = ("agents", "schema", "tables", "topologies")


def modules() -> Iterator[tuple[str, Path]]:
    """Yield each module of the package once: its dotted name, and its file."""
    for folder in ("boom_streams", *FOLDERS):
        prefix = "" if folder == "boom_streams" else "boom_streams."
        for file in sorted((ROOT / folder).rglob("*.py")):
            relative = file.relative_to(ROOT)
            if folder == "boom_streams" and relative.parts[1] in FOLDERS:
                continue  # followed a link
            parts = relative.with_suffix("").parts
            yield prefix + ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def parse(file: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(file.read_text(), str(file))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that a module imports, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
