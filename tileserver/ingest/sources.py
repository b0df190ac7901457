"""Names and patterns → the files to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tileserver.catalog import Layer
from tileserver.errors import IngestError

Format = Literal["csv", "geojson", "geojson_lines", "gpkg", "fgb", "shp", "parquet", "xlsx", "zip"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".geojson": "geojson",
    ".json": "geojson",
    ".geojsonl": "geojson_lines",
    ".geojsons": "geojson_lines",
    ".ndjson": "geojson_lines",
    ".gpkg": "gpkg",
    ".fgb": "fgb",
    ".shp": "shp",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".zip": "zip",
}
"""A file is read as its suffix says."""


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    name: str
    """What the ledger and the rejects call it."""
    format: Format
    size: int
    """In bytes."""


def fetch(names: Sequence[str], folder: Path, layer: Layer, brought: Mapping[str, Source | None] | None = None) -> list[Source]:
    """The files of names and patterns, each once: names in their order, what a pattern matches in alphabetical order.

    `brought` has the files of the names that are addresses; None where there is nothing to read.

    Raises:
        IngestError: a name or a pattern finds nothing, or something that cannot be read.
    """
    if not names:
        raise IngestError(f"{layer.id}: nothing to read; name files, or list them in the layer file under [ingest] from")
    files: dict[Path, Source] = {}
    for name in names:
        if brought and name in brought:
            files |= {found.path: found for found in [brought[name]] if found}
            continue
        for path in _find(name, folder):
            files.setdefault(path.resolve(), _source(path, folder))
    return list(files.values())


def _find(name: str, folder: Path) -> list[Path]:
    if (named := folder / name).exists():
        return [named]
    if not any(sign in name for sign in "*?["):
        raise IngestError(f"{named}: there is no such file")
    root, pattern = (Path(named.anchor), str(named.relative_to(named.anchor))) if Path(name).is_absolute() else (folder, name)
    if not (files := sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith("."))):
        raise IngestError(f"{named}: no file matches this pattern")
    return files


def _source(path: Path, folder: Path) -> Source:
    name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    if path.is_dir():
        raise IngestError(f'{path}: is a folder; name the files in it, such as "{name}/*.csv"')
    if not path.is_file():
        raise IngestError(f"{path}: is a pipe or a device; only plain files are read")
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise IngestError(
            f"{path}: this kind of file cannot be read; what can be is CSV (.csv, .tsv, .txt), GeoJSON (.geojson, .json; one "
            "feature a line: .geojsonl, .geojsons, .ndjson), GeoPackage (.gpkg), FlatGeobuf (.fgb), Shapefile (.shp), "
            "Parquet (.parquet), workbooks (.xlsx), and any of these in a .zip"
        )
    return Source(path, name, kind, path.stat().st_size)
