"""What a catalogue is matched for: surveys, radius, mode, what a match shows. One TOML file each."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from boom_streams import names
from boom_streams.errors import CatalogError

__all__ = ["MAX_RADIUS", "Catalog", "Descriptions", "load_descriptions", "tile_size"]

#: Largest search radius, arcsec.
MAX_RADIUS = 600.0

#: Largest radius, as a part of a tile's size: `sky.neighbour_cells` needs it, and a tile should not be mostly margin.
_LARGEST_MARGIN = 0.2

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,59}$")]
Survey = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]*$")]


def tile_size(order: int) -> float:
    """Side of a square of a tile's area, arcsec."""
    return math.degrees(math.sqrt(math.pi / 3)) * 3600.0 / (1 << order)


class Catalog(BaseModel):
    """How alerts are matched with a catalogue, and how its file is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    about: str = Field("", max_length=200, description="What it holds, in a line.")
    surveys: tuple[Survey, ...] = Field((), description="Surveys whose alerts are matched with it; none: all.")
    radius: float = Field(gt=0, le=MAX_RADIUS, description="Search radius, arcsec; at most a fifth of a tile.")
    mode: Literal["nearest", "distance"] = Field(
        "nearest", description="Order by separation; or by projected distance, for galaxies with a redshift."
    )
    limit: int | None = Field(None, ge=1, description="Most matches that are kept; none: all.")
    distance_key: str | None = Field(None, description="Column with the redshift; mode `distance` only.")
    distance_max: float | None = Field(
        None, gt=0, description="Largest projected distance, kpc (1 arcsec at z = 0.05)."
    )
    distance_max_near: float | None = Field(None, gt=0, description="Largest separation where z < 0.01, arcsec.")
    projection: tuple[str, ...] = Field((), description="Columns of a match beside `_id`, `ra`, `dec`; none: all.")
    order: int = Field(
        9, ge=3, le=12, description="HEALPix order of the tiles: 9 is 7 arcmin, each lower one twice it."
    )
    ra: str | None = Field(None, description="The file's column with the right ascension, degrees; none: guessed.")
    dec: str | None = Field(None, description="The file's column with the declination, degrees; none: guessed.")
    id: str | None = Field(None, description="The file's column that tells sources apart; none: guessed.")

    def serves(self, survey: str) -> bool:
        """Whether a survey's alerts are matched with it."""
        return not self.surveys or survey in self.surveys

    @property
    def nside(self) -> int:
        """HEALPix resolution of the tiles."""
        return 1 << self.order

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if names.is_reserved(name):
            raise ValueError(f"{name} would be a collection of the broker's own; choose another name")
        return name

    @model_validator(mode="after")
    def _is_consistent(self) -> Catalog:
        distance = (self.distance_key, self.distance_max, self.distance_max_near)
        if self.mode == "distance" and None in distance:
            raise ValueError("mode `distance` needs distance_key, distance_max and distance_max_near")
        if self.mode == "nearest" and any(value is not None for value in distance):
            raise ValueError("distance_key, distance_max and distance_max_near are for mode `distance`")
        if self.mode == "distance" and self.limit is not None:
            raise ValueError("limit is for mode `nearest`")
        if (self.ra is None) != (self.dec is None):
            raise ValueError("name both columns of the position, ra and dec, or neither")
        return self

    @model_validator(mode="after")
    def _has_small_margins(self) -> Catalog:
        largest = _LARGEST_MARGIN * tile_size(self.order)
        if self.radius > largest:
            raise ValueError(
                f"a radius of {self.radius:g} arcsec is more than a fifth of a tile of order {self.order}"
                f" ({largest:.0f} arcsec); choose a lower order"
            )
        return self


@dataclass(frozen=True)
class Descriptions:
    """What is said of catalogues.

    Attributes
    ----------
    catalogs
        Descriptions by name.
    wrong
        Why a file is no description, by the name that it has; the text names file and field.
    """

    catalogs: Mapping[str, Catalog]
    wrong: Mapping[str, str]

    def get(self, name: str) -> Catalog | None:
        """The description of a catalogue; None if there is none.

        Raises
        ------
        CatalogError
            If its file is not a description.
        """
        if name in self.wrong:
            raise CatalogError(self.wrong[name])
        return self.catalogs.get(name)


def load_descriptions(folder: Path) -> Descriptions:
    """Read all descriptions: those that come with the package, and those in a folder, which win, right or wrong.

    Parameters
    ----------
    folder
        Holds files ``NAME.toml``; it need not exist. Hidden files are passed over.
    """
    shipped = resources.files("boom_streams.crossmatch") / "descriptions"
    own = folder.iterdir() if folder.is_dir() else ()
    found = {**_read_all(shipped.iterdir()), **_read_all(own)}
    return Descriptions(
        {name: each for name, each in sorted(found.items()) if isinstance(each, Catalog)},
        {name: str(each) for name, each in sorted(found.items()) if isinstance(each, CatalogError)},
    )


def _read_all(files: Iterable[Traversable]) -> dict[str, Catalog | CatalogError]:
    chosen = (file for file in files if file.name.endswith(".toml") and not file.name.startswith("."))
    return {file.name.removesuffix(".toml"): _read(file) for file in chosen}


def _read(file: Traversable) -> Catalog | CatalogError:
    name = file.name.removesuffix(".toml")
    try:
        content: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        if content.get("name", name) != name:
            return CatalogError(f"{file}: name: is {content['name']!r}, but the file's is {name}; leave it out")
        return Catalog.model_validate({**content, "name": name})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return CatalogError(f"{file}: cannot be read: {error}")
    except ValidationError as error:
        return CatalogError(f"{file}: {'; '.join(map(_problem, error.errors(include_input=False, include_url=False)))}")


def _problem(error: Any) -> str:
    """What is wrong with a field, for a person."""
    field = ".".join(map(str, error["loc"])) or "description"
    if error["type"] == "extra_forbidden":
        known = [name for name in Catalog.model_fields if name != "name"]
        return f"{field}: there is no such field; the fields are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{field}: is missing"
    return f"{field}: {error['msg'].removeprefix('Value error, ')}"
