"""Settings: environment (``BOOM_…``), then ``boom.toml``, then running local services, then defaults."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from boom_streams.errors import SettingsError
from boom_streams.topologies.survey import ROLES

__all__ = ["Settings", "current_settings", "load_settings"]

_PREFIX = "BOOM_"

#: What Kafka allows in a topic's name, and MongoDB in a database's; the rest of the name needs some room, too.
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,150}")
_DATABASE = re.compile(r"[^/\\. \"$*<>:|?\x00]{1,63}")

#: A Kafka server: a name, an IPv4 or a bracketed IPv6 address, and the port.
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def _split(value: Any) -> Any:
    """Names of a text: with commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [name.strip() for name in value.split(",") if name.strip()]


#: Several names; in the environment with commas between them.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything that can be configured. Read once, at start."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, toml_file="boom.toml", extra="forbid", frozen=True)

    kafka: str = Field("localhost:9092", description="Kafka bootstrap servers, `host:port,…`.")
    kafka_username: str | None = Field(None, description="SASL SCRAM-SHA-512 user; none: no authentication.")
    kafka_password: SecretStr | None = Field(None, description="Password of the SASL user.")
    mongo_uri: SecretStr = Field(SecretStr("mongodb://localhost:27017"), description="MongoDB connection string.")
    mongo_db: str = Field("boom", description="MongoDB database.")
    topic_prefix: str = Field("", description="Prefix of every topic and consumer group.")
    partitions: int = Field(8, ge=1, description="Partitions of topics (but filters'); never changes.")
    replication: int = Field(1, ge=1, description="Replication factor of new topics.")
    surveys: Names = Field(("ZTF",), description="Surveys that this broker receives.")
    role: str = Field(
        "all", description=f"What this worker does: {', '.join(ROLES)}, or all of it in one process (`all`)."
    )
    init: bool = Field(True, description="Workers create missing topics and indexes when they start.")
    data_dir: Path = Field(Path(".boom"), description="Local services' data and workers' RocksDB folders.")
    catalogs_dir: Path = Field(Path("catalogs"), description="Your descriptions of catalogues, a TOML file each.")
    batch_size: int = Field(500, ge=1, description="Most records that a stage handles at once.")
    batch_ms: int = Field(300, ge=10, description="Longest wait for a batch to fill, milliseconds.")
    session_timeout: float = Field(10.0, gt=0, description="Seconds after which a silent worker is replaced.")
    history_days: float = Field(365.0, gt=0, description="Days of light curve kept in flight.")
    archive_patience: float = Field(
        15.0,
        ge=0,
        description="Seconds that enrich and classify wait for MongoDB before they go on without tiles or old history.",
    )
    catalog_refresh: float = Field(3.0, gt=0, description="Seconds between looks for new versions of catalogues.")
    models_dir: Path | None = Field(
        None, description="Folder with the models' ONNX files; none: `models` in the data folder."
    )
    models: Names = Field(
        ("acai_h", "acai_n", "acai_v", "acai_o", "acai_b", "btsbot"),
        description="Models that classify alerts; there is `braai`, too, which is ZTF's own `drb` again.",
    )
    raw_retention_hours: float = Field(168.0, gt=0, description="Retention of `<survey>.raw`, the raw archive.")
    filter_timeout_ms: int = Field(5000, ge=1, description="Longest time of one filter on one batch.")
    filter_refresh: float = Field(3.0, gt=0, description="Seconds between reloads of the filters.")
    validate_sample: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the records between stages that are checked against their schema (about 1 ms each).",
    )

    @field_validator("role")
    @classmethod
    def _known_role(cls, value: str) -> str:
        if value not in ("all", *ROLES):
            raise ValueError(f"{value} is no role; there are all, {', '.join(ROLES)}")
        return value

    @field_validator("surveys")
    @classmethod
    def _known_surveys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Names as surveys have them, in upper case; whether each can be used is found out by who loads it."""
        from boom_streams.surveys.registry import known_surveys

        known = known_surveys()
        if not value:
            raise ValueError(f"no survey is named; known are {', '.join(known)}")
        for name in value:
            if name.upper() not in known:
                raise ValueError(f"unknown survey {name!r}; known are {', '.join(known)}")
        return tuple(dict.fromkeys(name.upper() for name in value))

    @field_validator("topic_prefix")
    @classmethod
    def _legal_prefix(cls, value: str) -> str:
        if not _TOPIC_PREFIX.fullmatch(value):
            raise ValueError(f"{value!r} cannot begin a topic's name: up to 150 letters, digits, `.`, `_` and `-` can")
        return value

    @field_validator("mongo_db")
    @classmethod
    def _legal_database(cls, value: str) -> str:
        if not _DATABASE.fullmatch(value):
            raise ValueError(
                f"{value!r} cannot be a database's name: 1 to 63 characters, no blank and none of /\\.\"$*<>:|?"
            )
        return value

    @field_validator("kafka")
    @classmethod
    def _servers(cls, value: str) -> str:
        for server in value.split(","):
            found = _SERVER.fullmatch(server.strip())
            if not found or not 0 < int(found[1]) < 1 << 16:
                raise ValueError(f"{server!r} is not host:port, as localhost:9092")
        return value

    @property
    def worker_folder(self) -> Path:
        """Where this worker's RocksDB folders are; ``APP_DATADIR`` is Faust's setting."""
        return Path(os.environ.get("APP_DATADIR", self.data_dir / "worker"))

    @property
    def models_folder(self) -> Path:
        """Where the models' files are."""
        return self.models_dir or self.data_dir / "models"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources; the first that has a value wins."""
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls),
            _RunningServices(settings_cls),
        )


class _RunningServices(PydanticBaseSettingsSource):
    """Endpoints of services started by ``boom-streams services start`` in this folder."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        folder = Path(os.environ.get("BOOM_DATA_DIR", ".boom"))
        try:
            endpoints = json.loads((folder / "services.json").read_text())
            return {"kafka": endpoints["kafka"], "mongo_uri": endpoints["mongo_uri"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` win over every source.

    Raises
    ------
    SettingsError
        If a setting is unknown or invalid; the text names it and where it came from.
    """
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting {', '.join(unknown)} in the environment; known are {', '.join(sorted(known))}"
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(_problem(each, overrides) for each in error.errors(include_input=False, include_url=False))
        raise SettingsError(f"invalid setting: {problems}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"boom.toml in {Path.cwd()} cannot be read: {error}") from None
    except OSError as error:
        raise SettingsError(f"boom.toml in {Path.cwd()} cannot be read: {error.strerror}") from None


def _problem(error: Any, overrides: Collection[str]) -> str:
    """What is wrong with a setting, and where it was set."""
    name = ".".join(map(str, error["loc"][:1]))
    variable = f"{_PREFIX}{name.upper()}"
    place = name if name in overrides else variable if variable in os.environ else f"{name} (in boom.toml)"
    if error["type"] == "extra_forbidden":
        return f"{place} is not known; known are {', '.join(sorted(Settings.model_fields))}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}"


@cache
def current_settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()
