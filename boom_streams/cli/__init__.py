"""The command ``boom-streams``: one file a verb, or a group of verbs."""

from __future__ import annotations

from boom_streams.cli.root import cli, main

__all__ = ["cli", "main"]
