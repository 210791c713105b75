"""ZTF, the Zwicky Transient Facility."""

from boom_streams.surveys.ztf.packets import SURVEY

__all__ = ["SURVEY"]
