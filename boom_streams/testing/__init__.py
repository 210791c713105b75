"""For people who extend the broker: made-up alerts, the stages in memory, and what every survey must do.

* `sample_packets` and `sample_alerts` give alerts of any survey; no data need be at hand
* `boom_streams.testing.contract` is a class of tests that a survey's author inherits from
* `classify`, `store` and `run_filter` show what a filter selects; they need a MongoDB, but neither Kafka nor workers
* `boom_streams.testing.stages` sends records through the stages' own code

The project's own tests use them, too.
"""

from boom_streams.testing.classified import Stored, classify, run_filter, scratch_database, store
from boom_streams.testing.samples import sample_alert, sample_alerts, sample_packets, versions

__all__ = [
    "Stored",
    "classify",
    "run_filter",
    "sample_alert",
    "sample_alerts",
    "sample_packets",
    "scratch_database",
    "store",
    "versions",
]
