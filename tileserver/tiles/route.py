"""A tile's way from its address to its bytes: validate → ETag, 304 → cache → one render → gzip → answer."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain

from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver import filters
from tileserver.answers import GZIP_LEVEL, REVALIDATE, YEAR, encoding_for, etag, immutable, json_answer, not_modified, origin
from tileserver.catalog import Layer
from tileserver.catalog.values import length
from tileserver.errors import BadRequest
from tileserver.filters import Filter
from tileserver.revisions import Current
from tileserver.snapshot import Live, Snapshot, areas
from tileserver.snapshot.detail import GRIDS
from tileserver.snapshot.tile import RENDERER, Address, Drawn, Options, draw
from tileserver.tiles.address import drawn_at, layers_of, tile_of
from tileserver.tiles.cache import Tile, TileCache
from tileserver.tiles.tilejson import combined, tilejson

router = APIRouter()

MVT = "application/vnd.mapbox-vector-tile"


@router.api_route("/tiles/{ids}.json", methods=["GET", "HEAD"])
async def tilejson_of(request: Request, ids: str) -> Response:
    live: Live = request.app.state.live
    layers = layers_of(live, ids)
    items = request.query_params.multi_items()
    _options(items)
    asked = filters.parse(layers, _conditions(items), live.complete_through, areas.of(live))
    snapshots = [live.snapshot(layer) for layer in layers]
    return json_answer(request, tilejson(snapshots, items, asked, origin(request)))


@router.api_route("/tiles/{ids}/{z}/{x}/{y}", methods=["GET", "HEAD"])
async def tile(request: Request, ids: str, z: str, x: str, y: str) -> Response:
    return await answer(request, ids, z, x, y, items=request.query_params.multi_items())


async def answer(request: Request, ids: str, z: str, x: str, y: str, *, items: Sequence[tuple[str, str]]) -> Response:
    """A tile under the parameters `items`, whatever the address calls them."""
    live: Live = request.app.state.live
    address = tile_of(z, x, y)
    layers = layers_of(live, ids)
    drawn = drawn_at(layers, address.z)
    options = _options(items)
    asked = filters.parse(layers, _conditions(items), live.complete_through, areas.of(live))

    encoding = encoding_for(request)
    currents = {layer.id: live.current(layer) for layer in layers}
    parts = ((layer.id, currents[layer.id].revision, asked[layer.id].text) for layer in drawn)
    tag = etag(str(RENDERER), encoding, str(options), *chain.from_iterable(parts))
    headers = {"ETag": tag, "Vary": "Accept-Encoding", "Cache-Control": _kept_for(layers, currents.values(), items, asked.values())}
    if not_modified(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)

    cache: TileCache = request.app.state.tile_cache
    snapshots = [live.snapshot(layer, currents[layer.id]) for layer in drawn]
    shown = {snapshot.revision for snapshot in snapshots}
    made = await cache.get(f"{tag}{address}", partial(_render, snapshots, asked, address, options, encoding), request, shown)
    if made.detail:
        headers["Tile-Detail"] = made.detail
    if not made.body:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    if encoding == "gzip":
        headers["Content-Encoding"] = encoding
    return Response(made.body, headers=headers, media_type=MVT)


def _render(snapshots: Sequence[Snapshot], asked: Mapping[str, Filter], address: Address, options: Options, encoding: str) -> Tile:
    """On a thread: a tile of several layers is their bytes, one after the other."""
    parts = [draw(snapshot, asked[snapshot.layer.id], address, options) for snapshot in snapshots]
    body = b"".join(part.data for part in parts)
    if body and encoding == "gzip":
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
    return Tile(body, _detail(parts))


def _detail(parts: Sequence[Drawn]) -> str:
    dropped = sorted({part.dropped for part in parts if part.dropped})
    if not dropped:
        return ""
    shown, total = sum(part.shown for part in parts), sum(part.total for part in parts)
    return f"shown={shown}, total={total}, dropped={'+'.join(dropped)}"


def _options(items: Sequence[tuple[str, str]]) -> Options:
    """`grid` and `aggregate`. Raises BadRequest for values that they do not take."""
    given: dict[str, str] = {}
    for name, value in items:
        if name in _OWN and name in given:
            raise BadRequest(f"{name} takes one value.")
        given[name] = value
    grid, aggregate = given.get("grid", "64"), given.get("aggregate", "auto")
    if grid not in map(str, GRIDS):
        raise BadRequest(f"grid takes one of {', '.join(map(str, GRIDS))}.")
    if "aggregate" in given and aggregate not in ("always", "never"):
        raise BadRequest("aggregate takes always or never.")
    return Options(int(grid), "never" if aggregate == "never" else "always" if aggregate == "always" else "auto")


_OWN = ("grid", "aggregate", "rev")


def _conditions(items: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is left for the filters. `rev` only tells which revision a client believes to be live: it is part of no key."""
    return [(name, value) for name, value in items if name not in _OWN]


def _kept_for(
    layers: Iterable[Layer], currents: Iterable[Current], items: Sequence[tuple[str, str]], asked: Iterable[Filter]
) -> str:
    """At an address that names the live revision a year, or the shortest `max_age` of its layers; else until asked again."""
    named = dict(items).get("rev") == combined([current.revision for current in currents])
    if not named or any(filter.moves for filter in asked):
        return REVALIDATE
    return immutable(min([YEAR, *(length(layer.max_age).total_seconds() for layer in layers if layer.max_age)]))
