"""Users' filters: MongoDB pipelines that pick alerts.

* `store` keeps them, `document` reads them, `validate`, `cost` and `translate` decide what may run
* `evaluate` runs them on alerts in flight; `archive` gives the same pipeline for the archive
  x `paths` and `prefilter` keep that cheap
"""

from __future__ import annotations

from boom_streams.filters.archive import archive_pipeline
from boom_streams.filters.document import Filter, check_survey, parse_pipeline
from boom_streams.filters.evaluate import Evaluator, Failure, Match
from boom_streams.filters.store import Added, FilterStore, check_pipeline
from boom_streams.filters.translate import translate
from boom_streams.filters.validate import validate

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
    "parse_pipeline",
    "translate",
    "validate",
]
