"""The one chain that every survey's alerts go through: raw, enriched, classified, filtered, and the sinks.

Stages, roles, topics, tables and collections are listed in `STAGES` and nowhere else.
"""

from __future__ import annotations

from boom_streams.topologies.stage import Stage

__all__ = ["COLLECTIONS", "ROLES", "SERVICES_CPU_MS", "STAGES", "TABLES", "TOPICS", "sources", "stages_of"]

STAGES = (
    Stage(
        "enrich",
        role="enrich",
        maker=("enrich", "make"),
        source="raw",
        outputs=("enriched", "raw", "dead"),
        tables=("cells",),
        reads=("catalogs", "catalog_tiles"),
        without_archive=True,
        cpu_ms=1.0,
        key="sky cell",
        gathers=True,
    ),
    Stage(
        "classify",
        role="classify",
        maker=("classify", "make"),
        source="enriched",
        outputs=("classified", "dead"),
        tables=("objects",),
        reads=("<SURVEY>_alerts_aux",),
        without_archive=True,
        cpu_ms=6.6,
    ),
    Stage(
        "filter",
        role="filter",
        maker=("filter", "make"),
        source="classified",
        outputs=("filtered", "filtered.<name>", "dead"),
        reads=("filters", "<SURVEY>_alerts_cutouts"),
        writes=("filters",),
        cpu_ms=1.1,
    ),
    Stage(
        "sink_enriched",
        role="sink",
        maker=("sink", "make_enriched"),
        source="enriched",
        outputs=("dead",),
        writes=("<SURVEY>_alerts", "<SURVEY>_alerts_cutouts"),
        cpu_ms=0.4,
    ),
    Stage(
        "sink_classified",
        role="sink",
        maker=("sink", "make_classified"),
        source="classified",
        outputs=("dead",),
        reads=("<SURVEY>_alerts_aux",),
        writes=("<SURVEY>_alerts", "<SURVEY>_alerts_aux"),
        cpu_ms=0.4,
        gathers=True,
    ),
    Stage(
        "sink_filtered",
        role="sink",
        maker=("sink", "make_filtered"),
        source="filtered",
        outputs=("dead",),
        writes=("<SURVEY>_filter_matches",),
        cpu_ms=0.1,
        gathers=True,
    ),
)

#: What an alert costs Kafka and MongoDB, CPU milliseconds.
SERVICES_CPU_MS = 3.0

#: Roles that a worker can have, in the order of the chain.
ROLES = tuple(dict.fromkeys(stage.role for stage in STAGES))

#: Topics of each survey, in the order of the chain; what cannot be processed comes last.
TOPICS = (*dict.fromkeys(stage.source for stage in STAGES), "dead")

#: Tables, each with a changelog.
TABLES = tuple(dict.fromkeys(table for stage in STAGES for table in stage.tables))

#: Collections of each survey: ``alerts`` is ``ZTF_alerts``; the others are the broker's.
COLLECTIONS = tuple(dict.fromkeys(name for stage in STAGES for name in stage.collections))


def stages_of(role: str) -> tuple[Stage, ...]:
    """Stages that a worker of a role runs; ``all`` runs every one of them."""
    return tuple(stage for stage in STAGES if role in ("all", stage.role))


def sources(role: str) -> tuple[str, ...]:
    """Topics of a survey that a role reads."""
    return tuple(dict.fromkeys(stage.source for stage in stages_of(role)))
