"""A made-up night of ZTF alerts, for trying the broker where no real night can be had; see docs/synthetic-night.md."""

from boom_streams.synthetic.night import Night, make_night

__all__ = ["Night", "make_night"]
