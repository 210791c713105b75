"""Matching a batch of positions with every catalogue, each in its active version.

A catalogue that is configured and cannot be asked is named with the reason, so that nobody takes it for "no match".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from boom_streams.archive.mongo import Away, Patience
from boom_streams.astro.sky import cells
from boom_streams.crossmatch.description import Catalog
from boom_streams.crossmatch.match import find
from boom_streams.crossmatch.store import CatalogStore, Imported, tile_key
from boom_streams.crossmatch.tiles import Tile

__all__ = ["Crossmatcher", "Matches", "VersionGone"]

log = logging.getLogger(__name__)

_ABSENT, _AWAY = "not imported", "MongoDB is away"

#: Seconds until the next look for new versions when MongoDB is away.
_RETRY = 30.0

Get = Callable[[Iterable[str]], Mapping[str, Tile | None]]


class VersionGone(Exception):
    """A version that was to be matched with has been replaced, and its tiles are no more."""


@dataclass(slots=True)
class Matches:
    """What the catalogues say of one position.

    Attributes
    ----------
    cross_matches
        Matches by catalogue; an empty list: there is no source.
    catalogs
        Version of each catalogue that was asked.
    unmatched
        Why a configured catalogue was not asked.
    """

    cross_matches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    catalogs: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)


class Crossmatcher:
    """Follows which versions are active, and matches positions with them.

    Parameters
    ----------
    store
        The imported catalogues.
    configured
        Descriptions of the catalogues that alerts are to be matched with, imported or not.
    patience
        How long MongoDB is waited for.
    refresh
        Seconds between looks for new versions.
    """

    def __init__(
        self, store: CatalogStore, configured: Mapping[str, Catalog], patience: Patience, refresh: float
    ) -> None:
        self._store = store
        self._configured = configured
        self._patience = patience
        self._refresh = refresh
        self._active: Mapping[str, Imported] = {}
        self._loaded = float("-inf")
        self._reason = _AWAY

    def read(self, keys: Sequence[str]) -> Mapping[str, bytes] | None:
        """Read packed tiles for a cache, and make sure that none is absent because its version is gone.

        None: MongoDB does not answer.

        Raises
        ------
        VersionGone
            If a version is gone.
        """
        try:
            tiles = self._patience.read(lambda: self._store.read_tiles(keys))
            now = self._patience.read(self._store.load)
        except Away:
            return None
        complete = {f"{each.catalog.name}/{version}" for each in now for version in each.versions}
        if not {key.rpartition("/")[0] for key in keys} <= complete:
            raise VersionGone
        return tiles

    def match(self, survey: str, ra: Sequence[float], dec: Sequence[float], get: Get) -> list[Matches]:
        """Match positions with the catalogues of a survey.

        Parameters
        ----------
        survey
            Whose alerts they are.
        ra, dec
            ICRS degrees.
        get
            Gives tiles by key; asks `read` for those that it does not have.
        """
        while True:
            self._follow()
            try:
                return self._match(survey, ra, dec, get)
            except VersionGone:
                self._loaded = float("-inf")

    def _match(self, survey: str, ra: Sequence[float], dec: Sequence[float], get: Get) -> list[Matches]:
        active = [each for each in self._active.values() if each.catalog.serves(survey)]
        absent = [c.name for c in self._configured.values() if c.serves(survey) and c.name not in self._active]
        found = [Matches(unmatched=dict.fromkeys(absent, self._reason)) for _ in ra]
        finest = max((each.catalog.order for each in active), default=0)
        places = cells(ra, dec, 1 << finest)
        for each in active:
            name = each.catalog.name
            tiles = (places >> 2 * (finest - each.catalog.order)).tolist()
            keys = [tile_key(name, each.version, tile) for tile in tiles]
            held = get(keys)
            near = find(each.catalog, [held.get(key) for key in keys], ra, dec)
            for matches, key, sources in zip(found, keys, near, strict=True):
                if key in held:
                    matches.catalogs[name] = each.version
                    matches.cross_matches[name] = sources
                else:
                    matches.unmatched[name] = _AWAY
        return found

    def _follow(self) -> None:
        """Look for new versions when it is time; without MongoDB those that are known stay."""
        if time.monotonic() - self._loaded < self._refresh:
            return
        try:
            imported = self._patience.read(self._store.load, wait=not self._active)
        except Away:
            self._loaded = time.monotonic() + _RETRY - self._refresh
            return
        active = {each.catalog.name: each for each in imported}
        for name, each in active.items():
            if name not in self._active or self._active[name].version != each.version:
                log.info("catalogue %s: version %s from now on", name, each.version)
        self._active, self._reason, self._loaded = active, _ABSENT, time.monotonic()
