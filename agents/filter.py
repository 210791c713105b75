"""filter: does anybody want it? Runs users' filters; classified → filtered.<name> and <survey>.filtered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from boom_streams import kafka, mongo, names, wire
from boom_streams.agents.delivery import Process, Record, Result, Work
from boom_streams.agents.output import Send
from boom_streams.archive import Archive
from boom_streams.filters import Evaluator, Filter, FilterStore, Match
from boom_streams.settings import Settings
from boom_streams.schema.filtered import encode_filtered
from boom_streams.surveys import get_survey

__all__ = ["make"]

log = logging.getLogger(__name__)
