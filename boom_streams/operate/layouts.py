"""The two layouts of workers, and the move of committed offsets from one to the other.

In the layout ``all`` one consumer group does everything; in ``roles`` each role has its own. A topic that
two roles read (``enriched``: classify and the sink) has one offset in ``all`` and two in ``roles``: a move
to ``all`` takes the smaller, and what is delivered again changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from boom_streams import names
from boom_streams.errors import BoomError
from boom_streams.kafka.clients import TIMEOUT, admin, fail, partition_counts
from boom_streams.kafka.offsets import NO_COORDINATOR, PATIENCE, committed
from boom_streams.topologies.survey import ROLES, sources

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = [
    "LAYOUTS",
    "Offsets",
    "check",
    "current",
    "discard",
    "members",
    "move",
    "offsets",
    "refuse_workers",
    "roles_of",
    "topics_of",
]

#: Layouts that there are.
LAYOUTS = ("all", "roles")

#: Committed offsets, a (topic, partition) each.
Offsets = dict[tuple[str, int], int]


def roles_of(layout: str) -> tuple[str, ...]:
    """Roles that a layout's groups belong to."""
    return ("all",) if layout == "all" else ROLES


def topics_of(settings: Settings, role: str) -> list[str]:
    """Topics that a role reads."""
    return [names.topic(survey, name, settings.topic_prefix) for survey in settings.surveys for name in sources(role)]


def offsets(settings: Settings, layout: str) -> dict[str, Offsets]:
    """Offsets that each group of a layout has committed; groups without any are left out."""
    existing = partition_counts(settings)
    found = {}
    for role in roles_of(layout):
        topics = topics_of(settings, role)
        group = names.group_id(role, settings.topic_prefix)
        counts = {topic: existing[topic] for topic in topics if topic in existing}
        if known := committed(settings, group, counts):
            found[group] = known
    return found


def current(settings: Settings) -> str | None:
    """Layout whose groups have committed offsets; None before the first start.

    Raises
    ------
    BoomError
        If the groups of both layouts have some, so that records would be handled twice.
    """
    used = {layout: groups for layout in LAYOUTS if (groups := offsets(settings, layout))}
    if len(used) > 1:
        listed = " and ".join(", ".join(groups) for groups in used.values())
        raise BoomError(
            f"both layouts have committed offsets ({listed}): they would handle the same records; stop all workers, "
            "and keep one with `boom-streams layout roles --discard` or `boom-streams layout all --discard`, which "
            "deletes the other's groups: nothing is lost, and what is delivered again changes nothing"
        )
    return next(iter(used), None)


def check(settings: Settings, layout: str) -> None:
    """Make sure that workers of this layout may start.

    Raises
    ------
    BoomError
        If the other layout's groups hold the offsets; names the command that moves them.
    """
    found = current(settings)
    if found not in (None, layout):
        raise BoomError(
            f"this broker has run in the layout `{found}`; stop everything and move its offsets with "
            f"`boom-streams layout {layout}`"
        )


def members(settings: Settings, *, settled: bool = False) -> dict[str, int]:
    """Number of workers in each group of both layouts that has any.

    Parameters
    ----------
    settings
        Where Kafka is.
    settled
        Count only groups whose partitions have been divided: what comes in before may be handled twice.
    """
    groups = [names.group_id(role, settings.topic_prefix) for layout in LAYOUTS for role in roles_of(layout)]
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return _members(settings, groups, settled)
        except KafkaException as error:
            if error.args[0].code() not in NO_COORDINATOR or time.monotonic() > deadline:
                raise fail(settings, error.args[0], ", ".join(groups), "Describe") from None
            time.sleep(0.05)


def _members(settings: Settings, groups: list[str], settled: bool) -> dict[str, int]:
    counts = {}
    for group, future in admin(settings).describe_consumer_groups(groups, request_timeout=4 * PATIENCE).items():
        try:
            described = future.result()
        except KafkaException as error:
            if error.args[0].name() == "GROUP_ID_NOT_FOUND":
                continue
            raise
        if settled and described.state != ConsumerGroupState.STABLE:
            continue
        if described.members or described.state not in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD):
            counts[group] = len(described.members)
    return counts


def refuse_workers(settings: Settings) -> None:
    """Raise `BoomError` if a worker of either layout runs."""
    busy = members(settings)
    if busy:
        listed = ", ".join(f"{group} ({count})" for group, count in busy.items())
        raise BoomError(
            f"workers are still members of {listed}; stop them all first (one that was killed leaves "
            f"after {settings.session_timeout:g} s)"
        )


def move(settings: Settings, layout: str) -> list[str]:
    """Move the committed offsets to a layout; the groups of the other are deleted.

    Returns
    -------
    list of str
        What was done; empty if the broker has this layout already, or has never run.

    Raises
    ------
    BoomError
        If a group still has members, or both layouts have offsets.
    """
    refuse_workers(settings)
    other = "all" if layout == "roles" else "roles"
    old, present = offsets(settings, other), offsets(settings, layout)
    if not old:
        return []
    new = _spread(settings, old) if layout == "roles" else _merge(settings, old)
    if present and present != new:  # equal: a move that was cut off before its end
        current(settings)
    _commit(settings, new)
    _delete(settings, list(old))
    return [f"moved {len(positions)} offsets to group {group}" for group, positions in new.items()] + [
        f"deleted group {group}" for group in old
    ]


def discard(settings: Settings, layout: str) -> list[str]:
    """Keep the committed offsets of a layout, and delete the groups of the other; return what was done.

    Raises
    ------
    BoomError
        If a group still has members, or the layout has no offsets that could be kept.
    """
    refuse_workers(settings)
    (other,) = {*LAYOUTS} - {layout}
    if not offsets(settings, layout):
        raise BoomError(
            f"the layout `{layout}` has no committed offsets to keep; `boom-streams layout {layout}` moves the other's"
        )
    unwanted = list(offsets(settings, other))
    if unwanted:
        _delete(settings, unwanted)
    return [f"deleted group {group}" for group in unwanted]


def _spread(settings: Settings, old: Mapping[str, Offsets]) -> dict[str, Offsets]:
    """Offsets of the one group, to each role the topics that it reads."""
    (known,) = old.values()
    new = {}
    for role in ROLES:
        topics = topics_of(settings, role)
        if mine := {where: offset for where, offset in known.items() if where[0] in topics}:
            new[names.group_id(role, settings.topic_prefix)] = mine
    return new


def _merge(settings: Settings, old: Mapping[str, Offsets]) -> dict[str, Offsets]:
    """Offsets of the roles' groups in one: the smallest, and none where a reader has not begun.

    A role that has not committed in a partition begins at its first record, so that the merged group must.
    """
    merged: Offsets = {}
    for survey in settings.surveys:
        for name in sources("all"):
            topic = names.topic(survey, name, settings.topic_prefix)
            readers = [role for role in ROLES if name in sources(role)]
            known = [old.get(names.group_id(role, settings.topic_prefix), {}) for role in readers]
            for where in {where for positions in known for where in positions if where[0] == topic}:
                if all(where in positions for positions in known):
                    merged[where] = min(positions[where] for positions in known)
    return {names.group_id("all", settings.topic_prefix): merged}


def _commit(settings: Settings, groups: Mapping[str, Offsets]) -> None:
    client = admin(settings)
    for group, positions in groups.items():
        request = ConsumerGroupTopicPartitions(
            group, [TopicPartition(topic, p, offset) for (topic, p), offset in positions.items()]
        )
        for future in client.alter_consumer_group_offsets([request]).values():
            try:
                result = future.result()
            except KafkaException as error:
                raise fail(settings, error.args[0], group, "Read") from None
            for tp in result.topic_partitions:
                if tp.error is not None:
                    raise fail(settings, tp.error, f"{group}, {tp.topic}", "Read")


def _delete(settings: Settings, groups: list[str]) -> None:
    for group, future in admin(settings).delete_consumer_groups(groups).items():
        try:
            future.result()
        except KafkaException as error:
            raise fail(settings, error.args[0], group, "Delete") from None
