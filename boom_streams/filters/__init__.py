"""Users' filters: MongoDB pipelines that pick alerts.

* `store` keeps them, `document` reads them, `validate`, `cost` and `translate` decide what may run
* `evaluate` runs them on alerts in flight; `archive` gives the same pipeline for the archive
  x `paths` and `prefilter` keep that cheap
"""

from __future__ import annotations

from boom_streams.access.permissions import check_survey
from boom_streams.filters.document import Filter, parse_pipeline
from boom_streams.filters.language.translate import translate
from boom_streams.filters.language.validate import validate
from boom_streams.filters.running.evaluate import Evaluator, Failure, Match
from boom_streams.filters.running.on_archive import archive_pipeline
from boom_streams.filters.store import Added, FilterStore, check_pipeline, missed, state

__all__ = [
    "Added",
    "Evaluator",
    "Failure",
    "Filter",
    "FilterStore",
    "Match",
    "archive_pipeline",
    "check_pipeline",
    "check_survey",
    "missed",
    "parse_pipeline",
    "state",
    "translate",
    "validate",
]
