"""The one chain that every survey's alerts go through: raw, enriched, classified, filtered, and the sinks."""

from __future__ import annotations

from boom_streams.topologies.stage import Stage

__all__ = ["STAGES"]

STAGES = (
    Stage("enrich", "enrich", "raw", ("enriched", "raw", "dead"), ("cells",), key="sky cell"),
    Stage("classify", "classify", "enriched", ("classified", "dead"), ("objects",)),
    Stage("filter", "filter", "classified", ("filtered", "filtered.<name>", "dead")),
    Stage("sink_enriched", "sink", "enriched", ("dead",), collections=("alerts", "alerts_cutouts")),
    Stage("sink_classified", "sink", "classified", ("dead",), collections=("alerts", "alerts_aux")),
    Stage("sink_filtered", "sink", "filtered", ("dead",), collections=("filter_matches",)),
)
