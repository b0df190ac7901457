"""The rows of a layer, page by page, and one by one: `/ogc/collections/{id}/items`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tileserver import filters
from tileserver.answers import REVALIDATE, encoding_for, etag, json_answer, not_modified, origin
from tileserver.catalog import Layer
from tileserver.errors import BadRequest, NotFound
from tileserver.filters import Filter
from tileserver.ogc import cursor
from tileserver.ogc.cursor import Cursor
from tileserver.ogc.landing import READ, link, refuse_all_but_json, refuse_other_format
from tileserver.ogc.openapi import DEFAULT_LIMIT, MOST
from tileserver.snapshot import Live, Snapshot, areas, select
from tileserver.snapshot.features import MEDIA_TYPE, features
from tileserver.snapshot.ids import rows_of

router = APIRouter()

VERSION = "1"
"""Part of every ETag: moves when the same rows are told otherwise."""

_HEIGHT = re.compile(r"-?[0-9]{1,6}(\.[0-9]*)?")

Items = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    filter: Filter
    begin: Cursor | None
    limit: int


@router.api_route("/ogc/collections/{id}/items", methods=READ)
async def items(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    layer = live.published(id)
    given = request.query_params.multi_items()
    refuse_other_format(given)
    limit, begin = _limit(given), _single("cursor", given)
    filter = filters.parse([layer], _conditions(given), live.complete_through, areas.of(live))[layer.id]
    asked = Asked(filter, None if begin is None else cursor.read(begin, layer, filter), limit)
    snapshot = _snapshot(live, layer, asked.begin)
    # Weak, since two answers with the same rows differ in when they were made.
    tag = "W/" + etag(VERSION, encoding_for(request), origin(request), snapshot.revision, filter.text, repr(given))
    if not_modified(request, tag):
        headers = {"ETag": tag, "Cache-Control": REVALIDATE, "Vary": "Accept-Encoding"}
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return await run_in_threadpool(_page, request, snapshot, asked, tag)


@router.api_route("/ogc/collections/{id}/items/{feature:path}", methods=READ)
async def item(request: Request, id: str, feature: str) -> Response:
    refuse_all_but_json(request)
    live: Live = request.app.state.live
    snapshot = live.snapshot(live.published(id))
    return await run_in_threadpool(_feature, request, snapshot, feature)


def _snapshot(live: Live, layer: Layer, begin: Cursor | None) -> Snapshot:
    """The live snapshot, or that which a page goes on in.

    Raises:
        BadRequest: it is gone.
        Unavailable: the live one is being prepared.
    """
    current = live.current(layer)
    if begin is None or begin.revision == current.revision:
        return live.snapshot(layer, current)
    snapshot = live.kept(layer, begin.revision)
    if snapshot is None:
        raise BadRequest("The data have changed since this page was made. Begin again without cursor.")
    return snapshot


def _page(request: Request, snapshot: Snapshot, asked: Asked, tag: str) -> Response:
    """On a thread: one page, with a link to the next if there is one."""
    layer, filter, limit, home = snapshot.layer, asked.filter, asked.limit, origin(request)
    start = cursor.start(snapshot, asked.begin) if asked.begin else 0
    rows = select.first(snapshot, filter, start, limit + 1)
    path = f"/collections/{layer.id}/items"
    given = request.query_params.multi_items()
    links = [
        link(home, _with_query(path, given), "self", "This page", MEDIA_TYPE),
        link(home, f"/collections/{layer.id}", "collection", layer.title),
    ]
    if len(rows) > limit:
        begin = cursor.write(Cursor(snapshot.revision, int(rows[limit])), layer, filter)
        query = [*_absolute(given, snapshot, filter), ("cursor", begin)]
        rows = rows[:limit]
        links.append(link(home, _with_query(path, query), "next", "The next page", MEDIA_TYPE))
    body = {
        "type": "FeatureCollection",
        "links": links,
        "timeStamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "numberMatched": select.count(snapshot, filter).count,
        "numberReturned": len(rows),
        "revision": snapshot.revision,
        "features": orjson.Fragment(b"[" + b",".join(features(snapshot, filter, rows)) + b"]"),
    }
    return json_answer(request, body, MEDIA_TYPE, tag=tag)


def _feature(request: Request, snapshot: Snapshot, id: str) -> Response:
    """On a thread, since ids are looked for one after the other."""
    layer, home = snapshot.layer, origin(request)
    rows = rows_of(snapshot, id)
    if not len(rows):
        raise NotFound("There is no such item in this layer.")
    body: dict[str, Any] = orjson.loads(next(features(snapshot, Filter(), rows)))
    body["links"] = [
        link(home, f"/collections/{layer.id}/items/{quote(id, safe='')}", "self", "This item", MEDIA_TYPE),
        link(home, f"/collections/{layer.id}", "collection", layer.title),
    ]
    return json_answer(request, body, MEDIA_TYPE)


def _limit(given: Items) -> int:
    text = _single("limit", given)
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch("[0-9]+", text) or int(text) == 0:
        raise BadRequest(f"limit takes a whole number from 1 on; a page has at most {MOST} items.")
    return min(int(text), MOST)


def _single(name: str, given: Items) -> str | None:
    values = [value for key, value in given if key == name]
    if len(values) > 1:
        raise BadRequest(f"{name} takes one value, and came {len(values)} times.")
    return values[0] if values else None


def _conditions(given: Items) -> Items:
    """What is left for the filters; a box with heights is as good as one without."""
    return [(name, _flat(value) if name == "bbox" else value) for name, value in given if name not in filters.ITEM_PARAMETERS]


def _flat(bbox: str) -> str:
    parts = bbox.split(",")
    if len(parts) != 6 or not all(_HEIGHT.fullmatch(height) for height in (parts[2], parts[5])):
        return bbox
    return ",".join([*parts[:2], *parts[3:5]])


def _absolute(given: Items, snapshot: Snapshot, filter: Filter) -> Items:
    """The query for the next page: without the cursor of this one, and `last` as the instants that it means now."""
    kept = [(name, value) for name, value in given if name != "cursor"]
    if filter.relative and filter.interval:
        kept = [(name, value) for name, value in kept if name.rpartition(".")[2] != "last"]
        kept.append(("datetime", filters.interval_text(snapshot.layer, filter.interval)))
    return kept


def _with_query(path: str, given: Items) -> str:
    return f"{path}?{urlencode(given)}" if given else path
