"""boom_streams: an alert broker for sky surveys, as a Faust topology on Kafka."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("boom-streams")
except PackageNotFoundError:  # a bare checkout that was never installed
    __version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    """Build the Faust app when ``faust -A boom_streams`` asks for it, not on import."""
    if name == "app":
        from boom_streams.errors import BoomError
        from boom_streams.main import build_app

        try:
            globals()["app"] = app = build_app()
        except BoomError as error:
            raise SystemExit(f"Error: {error}") from None
        return app
    raise AttributeError(name)
