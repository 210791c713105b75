"""What a catalogue is matched for: radius, mode, what a match shows. One TOML table each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["MAX_RADIUS", "Catalog"]

#: Largest search radius, arcsec.
MAX_RADIUS = 600.0

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,59}$")]


class Catalog(BaseModel):
    """How alerts are matched with a catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    radius: float = Field(gt=0, le=MAX_RADIUS, description="Search radius, arcsec.")
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

    @model_validator(mode="after")
    def _is_consistent(self) -> Catalog:
        distance = (self.distance_key, self.distance_max, self.distance_max_near)
        if self.mode == "distance" and None in distance:
            raise ValueError("mode `distance` needs distance_key, distance_max and distance_max_near")
        if self.mode == "nearest" and any(value is not None for value in distance):
            raise ValueError("distance_key, distance_max and distance_max_near are for mode `distance`")
        if self.mode == "distance" and self.limit is not None:
            raise ValueError("limit is for mode `nearest`")
        return self
