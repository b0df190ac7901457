"""Give me exactly these rows: `/downloads/{id}.{format}`, filtered like the map, with HEAD and byte ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver import filters
from tileserver.answers import REVALIDATE, etag, file_answer, not_modified
from tileserver.downloads import csv, gdal, geojson, parquet
from tileserver.downloads.spool import Spool
from tileserver.errors import NotFound
from tileserver.filters import Filter
from tileserver.snapshot import Live, Snapshot, areas, features, select
from tileserver.snapshot.columns import Rows

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Format:
    media_type: str
    write: Callable[[Path, Snapshot, Filter, Iterator[Rows]], None]
    part: int = 20_000
    """Rows written at a time."""


FORMATS = {
    "csv": Format("text/csv; charset=utf-8; header=present", csv.write),
    "geojson": Format(features.MEDIA_TYPE, geojson.write),
    "geojsonl": Format("application/x-ndjson", geojson.write_lines),
    "gpkg": Format("application/geopackage+sqlite3", partial(gdal.write, driver="GPKG")),
    "parquet": Format("application/vnd.apache.parquet", parquet.write, part=65_536),
    "fgb": Format("application/vnd.flatgeobuf", partial(gdal.write, driver="FlatGeobuf")),
}

VERSION = f"2 {version('pyarrow')} {version('pyogrio')}"
"""Part of every ETag: moves when the same rows are written to other bytes."""


@router.api_route("/downloads/{name}", methods=["GET", "HEAD"])
async def download(request: Request, name: str) -> Response:
    id, _, suffix = name.partition(".")
    format = FORMATS.get(suffix)
    if format is None:
        raise NotFound(f"There is no download of this kind. There are: {', '.join(FORMATS)}.")
    live: Live = request.app.state.live
    layer = live.published(id)
    filter = filters.parse([layer], request.query_params.multi_items(), live.complete_through, areas.of(live))[layer.id]
    snapshot = live.snapshot(layer)
    # Files tell titles and descriptions too, which move no revision.
    tag = etag(VERSION, suffix, snapshot.revision, filter.text, layer.model_dump_json())
    headers = {"ETag": tag, "Cache-Control": REVALIDATE}
    if not_modified(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    spool: Spool = request.app.state.spool
    parts = select.parts(snapshot, filter, format.part)
    write = partial(_write, format, snapshot, filter)
    path = await spool.get(tag, f"{layer.id}.{suffix}", write, parts, request)
    return file_answer(request, path, headers=headers, media_type=format.media_type, filename=path.name)


def _write(format: Format, snapshot: Snapshot, filter: Filter, path: Path, parts: Iterator[Rows]) -> None:
    format.write(path, snapshot, filter, parts)
