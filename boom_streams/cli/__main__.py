"""``python -m boom_streams.cli``: the command without its installed script."""

from __future__ import annotations

from boom_streams.cli import main

__all__: list[str] = []

main()
