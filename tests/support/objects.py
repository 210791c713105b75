"""Made-up alerts of one object, for hypothesis: packets whose histories overlap, are revised, and come late."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from boom_streams.agents.enrich import enriched_record
from boom_streams.crossmatch import Matches
from boom_streams.testing import stages
from tests.support.ztf_packets import candidate, container, detection, forced, limit

OBJECT = "ZTF00aaaaaaa"
START = 2460000.5
#: Days of alerts and points: the same time twice, both sides of a month's edge, beyond a year.
DAYS = (0.0, 0.0, 1.0, 9.49, 9.51, 29.0, 364.9, 366.0, 800.0)
MAGNITUDES = (17.0, 17.5, 18.0)

Document = dict[str, Any]


@dataclass(frozen=True)
class Packet:
    """One alert of the object."""

    candid: int
    jd: float
    data: bytes

    def value(self) -> bytes:
        """Its enriched record, received the later the smaller the candid."""
        return _enriched(self.data, stages.RECEIVED - self.candid / 86400)


@lru_cache(maxsize=64)
def _enriched(data: bytes, received: float) -> bytes:
    return enriched_record(stages.alerts([data])[0], received, Matches())


@lru_cache(maxsize=64)
def _documents(data: bytes) -> dict[str, list[Document]]:
    series = stages.alerts([data])[0].series
    return {name: stages.ZTF.series[name].to_documents(found) for name, found in series.items()}


def listed(rng: random.Random, candids: dict[int, float]) -> tuple[list[Document], list[Document]]:
    """Detections and limits, and forced photometry, as a packet lists them; versions differ by magnitude."""

    def magnitude() -> float:
        return rng.choice(MAGNITUDES)

    prv = [detection(jd, own, magpsf=magnitude()) for own, jd in candids.items() if rng.random() < 0.5]
    for day in DAYS[1:]:
        jd = START + day
        for programid in (1, 2):
            if rng.random() < 0.1:
                prv.append(detection(jd, None, magpsf=magnitude(), programid=programid))
            if rng.random() < 0.1:
                prv.append(limit(jd, diffmaglim=magnitude(), programid=programid))
    measured = [
        forced(START + day, rng.choice((10.0, 100.0, 200.0)), programid=programid, fid=fid)
        for day in DAYS[1:]
        for programid in (1, 2)
        for fid in (1, 2)
        if rng.random() < 0.1
    ]
    return prv, measured


def packets_of(days: list[float], seed: int) -> list[Packet]:
    """Packets of alerts at these days after `START`; what each of them lists is up to the seed."""
    rng = random.Random(seed)
    alerts = {1000 + index: START + day for index, day in enumerate(days)}
    candids = alerts | {2000 + index: START + day for index, day in enumerate(DAYS)}
    made = []
    for candid, jd in alerts.items():
        prv, measured = listed(rng, candids)
        own = candidate(jd=jd, candid=candid, ra=10.0 + rng.random() / 7200, magpsf=rng.choice(MAGNITUDES))
        data = container(objectId=OBJECT, candid=candid, candidate=own, prv_candidates=prv, fp_hists=measured)
        made.append(Packet(candid, jd, data))
    return made


#: Packets of up to six alerts of one object.
PACKETS = st.builds(
    packets_of, st.lists(st.sampled_from(DAYS), min_size=1, max_size=6), st.integers(min_value=0, max_value=2**32)
)


@st.composite
def deliveries(draw: st.DrawFn, repeats: int = 6) -> list[Packet]:
    """Packets in any order, some of them again, later."""
    order = draw(st.permutations(draw(PACKETS)))
    delivered = list(order)
    for _ in range(draw(st.integers(0, repeats))):
        first = draw(st.integers(0, len(delivered) - 1))
        delivered.insert(draw(st.integers(first + 1, len(delivered))), delivered[first])
    return delivered


def known(packets: list[Packet]) -> dict[str, dict[Any, Document]]:
    """What is known after some alerts, by the rule: a detection's own alert, else the packet of the latest alert."""
    best: dict[str, dict[Any, tuple[Any, Document]]] = {name: {} for name in stages.ZTF.series}
    for packet in packets:
        for name, found in _documents(packet.data).items():
            for point in found:
                identity = point.get("candid") or (point["jd"], point["fid"], point["programid"])
                rank = (identity == packet.candid, packet.jd, packet.candid)
                if identity not in best[name] or rank > best[name][identity][0]:
                    best[name][identity] = (rank, point)
    return {name: {identity: point for identity, (_, point) in found.items()} for name, found in best.items()}


def place(point: Document) -> tuple[Any, ...]:
    """Key that sorts points as light curves are."""
    return point["jd"], point["fid"], point.get("candid", float("-inf")), point["programid"]
