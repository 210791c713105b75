"""The MongoDB archive: what sinks write and what stages read back."""

from boom_streams.archive.alerts import Archive
from boom_streams.archive.collections import ensure
from boom_streams.archive.matches import read_matches

__all__ = ["Archive", "ensure", "read_matches"]
