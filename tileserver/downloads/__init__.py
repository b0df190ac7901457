"""Give me exactly these rows: `/downloads/{id}.csv` and `.geojson`, filtered like the map, with HEAD and byte ranges."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from tileserver import filters
from tileserver.answers import REVALIDATE, etag, not_modified
from tileserver.downloads import csv, geojson
from tileserver.downloads.spool import Spool
from tileserver.errors import NotFound
from tileserver.filters import Filter
from tileserver.snapshot import Live, Snapshot, select
from tileserver.snapshot.columns import Rows

router = APIRouter()

WRITERS = {"csv": csv, "geojson": geojson}
VERSION = "1"
"""Part of every ETag: moves when the same rows are written to other bytes."""

PART = 20_000
"""Rows written at a time."""


@router.api_route("/downloads/{name}", methods=["GET", "HEAD"])
async def download(request: Request, name: str) -> Response:
    id, _, format = name.partition(".")
    if format not in WRITERS:
        raise NotFound(f"There is no download of this kind. There are: {', '.join(WRITERS)}.")
    live: Live = request.app.state.live
    layer = live.layer(id)
    filter = filters.parse([layer], request.query_params.multi_items(), live.complete_through)[layer.id]
    snapshot = live.snapshot(layer)
    tag = etag(VERSION, format, layer.id, snapshot.revision, filter.text)
    headers = {"ETag": tag, "Cache-Control": REVALIDATE}
    if not_modified(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    writer = WRITERS[format]
    spool: Spool = request.app.state.spool
    path = await spool.get(tag, lambda: writer.write(snapshot, filter, _parts(snapshot, filter)), request)
    return FileResponse(path, headers=headers, media_type=writer.MEDIA_TYPE, filename=f"{layer.id}.{format}")


def _parts(snapshot: Snapshot, filter: Filter) -> Iterator[Rows]:
    """The numbers of the matching rows, some thousands at a time; parts without any are left out."""
    for start in range(0, snapshot.rows, PART):
        rows = select.rows(snapshot, filter, start, min(start + PART, snapshot.rows))
        if len(rows):
            yield rows
