"""Every setting, read once from the environment or a `.env` file, frozen; the only reader of the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tileserver.errors import ConfigError

PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """`layers`, `styles` or `viewer` as they come with the package: in a wheel under `share/`, in a clone beside it."""
    installed = PACKAGE / "share" / folder
    return installed if installed.is_dir() else PACKAGE.parent / folder


def _here_or_shipped(folder: str) -> Path:
    here = Path(folder)
    return here if here.is_dir() else shipped(folder)


def _origin(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError('must begin with "http://" or "https://"')
    return url.rstrip("/")


_ORIGIN = re.compile(r"https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?")
"""As the content security policy takes it (a `host-source` with its scheme)."""

_PMTILES = b"PMTiles\x03"
"""How an archive begins (PMTiles, version 3)."""


def _basemap(place: str) -> str:
    """A URL of plain scheme and host, since both go into the content security policy; or the file of an archive."""
    if "://" in place:
        begin = _ORIGIN.match(place)
        if begin is None or "*" in begin[0] or not re.fullmatch(r"([/?][^\s\"'<>\\]*)?", place[begin.end() :]):
            raise ValueError('must be the URL of a style or of a PMTiles archive, beginning with "https://" or "http://"')
        return place
    if place:
        try:
            with Path(place).open("rb") as file:
                begins = file.read(len(_PMTILES))
        except OSError as error:
            raise ValueError(f"{place} cannot be read: {error.strerror}") from error
        if begins != _PMTILES:
            raise ValueError(f"{place} is no PMTiles archive of version 3; the base map is one, or the URL of a style")
    return place


def _embed_origins(text: str) -> str:
    origins = text.split()
    for origin in origins:
        if not _ORIGIN.fullmatch(origin) and origins != ["*"]:
            raise ValueError('must be origins such as "https://www.example.org" with spaces between, or "*"')
    return " ".join(origins)


class Settings(BaseSettings):
    """Settings of one process; every name is an environment variable with the prefix `TILESERVER_`."""

    model_config = SettingsConfigDict(env_prefix="TILESERVER_", env_file=".env", frozen=True, extra="ignore")

    store: str = Field(default="data", repr=False, description="`postgresql://…` or a folder: where the records live")
    write_store: str = Field(
        default="", repr=False, description="the same store for what writes, when serving uses a read-only role"
    )
    layers: Path = Field(default_factory=lambda: _here_or_shipped("layers"), description="the folder of layer files")
    styles: Path = Field(default_factory=lambda: _here_or_shipped("styles"), description="the folder of map styles")
    snapshots: Path = Field(default=Path("snapshots"), description="the folder of the snapshots that requests read")
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8000, ge=1, le=65535, description="the port to listen on")
    workers: int = Field(default=2, ge=1, le=256, description="web worker processes")
    cache_bytes: int = Field(default=256 * 2**20, ge=0, description="memory for tiles, all workers together")
    rasters: Path = Field(default=Path("rasters"), description="the folder of rasters that do not lie beside their layer file")
    basemap: Annotated[str, AfterValidator(_basemap)] = Field(
        default="", description="a style URL, or a PMTiles file or URL, drawn under the city's layers"
    )
    embed_origins: Annotated[str, AfterValidator(_embed_origins)] = Field(
        default="", description="who may frame the viewer: origins with spaces between, or *"
    )
    socrata_token: str = Field(default="", repr=False, description="the app token that feeds of Socrata are asked with")
    public_url: Annotated[str, AfterValidator(_origin)] = Field(default="", description="the origin in generated links")

    @property
    def writing_store(self) -> str:
        return self.write_store or self.store

    @property
    def basemap_origin(self) -> str:
        """Scheme, host and port that the base map comes from; empty without one, and where it is a file of ours."""
        begin = _ORIGIN.match(self.basemap)
        return begin[0] if begin else ""


def load(**given: Any) -> Settings:
    """The settings of the environment, with what the command line gave in front; None means not given.

    Raises:
        ConfigError: a value is not of its kind; the message names the variable.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "TILESERVER_" + str(first["loc"][0]).upper()
        raise ConfigError(f"{name}: {first['msg']}") from error
