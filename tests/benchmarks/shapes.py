"""Parcels and streets: tiles beside `ST_AsMVT` of the rows, in one process; a tile of ten layers, and peers, over HTTP."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import shapely
from mapbox_vector_tile.Mapbox import vector_tile_pb2  # type: ignore[import-untyped]
from shapely.geometry.base import BaseGeometry
from tqdm import tqdm

from benchmarks import building, peers
from benchmarks.asked import Asked, Make, most_of, nothing, tile
from benchmarks.parcels import CLASSES, LAND_USES, LAYER_FILES, LAYERS, SMALL
from benchmarks.peers import Client, Got
from benchmarks.servers import Server
from benchmarks.tables import Aim, Measured
from benchmarks.tiles_of_postgis import Postgis
from tileserver.errors import BadRequest
from tileserver.snapshot import Snapshot
from tileserver.snapshot.tile import MOST_BYTES, Address, Drawn, Options, draw

LOW, HIGH = range(9, 13), range(13, 17)
"""Zooms. From 13 on both sides can draw every row, and what they draw is compared."""

LOW_ROUNDS, HIGH_ROUNDS = 5, 20
"""Samples of each case and zoom: PostGIS takes a second for a tile of low zooms."""

STATEMENT = """
SELECT ST_AsMVT(tile, '{layer}', 4096, 'geometry', 'feature_id') FROM (
    SELECT ST_AsMVTGeom(geometry, ST_TileEnvelope($1, $2, $3), 4096, 64, true) AS geometry, id AS feature_id, {fields}
    FROM city.{layer}
    WHERE geometry && ST_TileEnvelope($1, $2, $3, margin => 64.0 / 4096) AND {{condition}}
) AS tile
"""
COUNTS = """
SELECT ARRAY[count(*) FILTER (WHERE geometry @ ST_Expand(ST_TileEnvelope($1, $2, $3), -2)), count(*)]
FROM city.{layer}
WHERE geometry && ST_TileEnvelope($1, $2, $3, margin => 64.0 / 4096) AND {{condition}}
"""
"""How many rows lie in the tile with all of them, two meters from its edges, and how many reach it with its buffer."""


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    make: Make
    every_row: bool
    """Whether ours is asked for every row where both sides can draw them all."""


CASES: Mapping[str, tuple[Case, ...]] = {
    "parcels": (
        Case("as served", nothing, every_row=False),
        Case("on demand under a filter", most_of("land_use", LAND_USES), every_row=True),
    ),
    "streets": (
        Case("as served", nothing, every_row=False),
        Case("on demand under a filter", most_of("class", CLASSES), every_row=True),
    ),
}

SAMPLED = 40
"""Features of a tile whose attributes and outlines are compared; ids are compared of all."""
OFF = 1.5
"""How far apart outlines may be in tile units: one along each axis, since both sides round, is 1.41."""

EDGE = shapely.box(-64, -64, 4096 + 64, 4096 + 64).exterior
"""Of a tile with its buffer, in tile units."""

TEN_ZOOMS = (10, 12, 13, 14, 15, 16)
TEN_ROUNDS = 6
PEER_ZOOMS = (*LOW, *HIGH)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same tile under the same filter: seconds and bytes of both."""

    postgis: float
    ours: float
    postgis_bytes: int
    our_bytes: int
    is_whole: bool
    """Whether ours holds every row as itself, with all attributes."""


Found = dict[int, list[Pair]]
"""By zoom."""


def measure(address: str) -> Measured:
    tables: dict[str, list[dict[str, Any]]] = {}
    aims: list[Aim] = []
    with tempfile.TemporaryDirectory(prefix="tileserver-bench-") as name:
        folder = Path(name)
        (folder / "snapshots").mkdir()
        built = {id: _built(address, folder / "snapshots", id) for id in CASES}
        tables["Building snapshots of shapes"] = [line for _, line in built.values()]
        with Postgis(address) as postgis:
            for id, cases in CASES.items():
                snapshot, _ = built[id]
                zooms = (*LOW, *HIGH) if id == "parcels" else range(10, 17)
                for case in cases:
                    found = _sample(postgis, snapshot, case, zooms)
                    title = f"{snapshot.rows:,} {id}, milliseconds a tile: ST_AsMVT of the rows, and ours {case.title}"
                    tables[title] = [_line(f"z{zoom}", pairs) for zoom, pairs in found.items()]
                    aims += _aims(id, case, found)
        parcels, _ = built["parcels"]
        with peers.running(address, folder, LAYER_FILES) as (client, ours, others):
            drawn = list(_ten_drawn(client, ours, parcels))
            title = "Parcels as they are served, over HTTP, without filter"
            tables[title] = list(peers.shown(client, parcels, [*others, ours], PEER_ZOOMS))
        with peers.running(address, folder, LAYER_FILES, among=(), cached=True) as (client, ours, _):
            kept = list(_ten_kept(client, ours, parcels))
    tables["A tile of ten layers, drawn, over HTTP: milliseconds"] = drawn
    tables["A tile of ten layers, kept, over HTTP: milliseconds"] = kept
    for what, lines in (("drawn", drawn), ("kept", kept)):
        ratio = sum(line["ten layers"] for line in lines) / sum(line["parts"] for line in lines)
        aims.append(Aim(f"a tile of ten layers to the sum of its parts, {what}: all zooms", ratio, 1.2, at_most=True))
    return Measured(tables, aims, peers.missing())


def _built(address: str, folder: Path, id: str) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot of a layer's table, and what it cost."""
    layer = LAYERS[id]
    begin = time.perf_counter()
    place = folder / id / building.from_postgis(address, folder, layer)
    seconds = time.perf_counter() - begin
    snapshot = Snapshot(layer, place)
    line = {
        "layer": f"{snapshot.rows:,} {id}",
        "build, s": seconds,
        "µs a shape": seconds / snapshot.rows * 1e6,
        "bytes a shape": _bytes(place, "*") / snapshot.rows,
        "of WKB": _bytes(place, "geometry*") / snapshot.rows,
        "of outlines": _bytes(place, "outlines.*") / snapshot.rows,
        "of tiles drawn beforehand": _bytes(place, "rendered.*") / snapshot.rows,
    }
    return snapshot, line


def _bytes(folder: Path, pattern: str) -> int:
    """Of the files of these names."""
    return sum(path.stat().st_size for path in folder.glob(pattern))


def _sample(postgis: Postgis, snapshot: Snapshot, case: Case, zooms: Sequence[int]) -> Found:
    """Zoom by zoom, the two sides in turn. Raises AssertionError where their answers differ."""
    random = np.random.default_rng(12)
    found: Found = {zoom: [] for zoom in zooms}
    for zoom in tqdm(zooms, desc=f"{snapshot.layer.id} beside PostGIS, {case.title}", leave=False):
        for round in range((LOW_ROUNDS if zoom in LOW else HIGH_ROUNDS) + 1):
            address, asked = tile(snapshot, zoom, random), case.make(random)
            pair = _pair(postgis, snapshot, address, asked, case, ours_first=round % 2 == 0)
            if round:  # the first one warms up
                found[zoom].append(pair)
    return found


def _pair(postgis: Postgis, snapshot: Snapshot, address: Address, asked: Asked, case: Case, *, ours_first: bool) -> Pair:
    layer = snapshot.layer
    statement = STATEMENT.format(layer=layer.id, fields=", ".join(layer.fields))
    options = Options(aggregate="never" if case.every_row and address.z in HIGH else "auto")
    if ours_first:
        ours, our_seconds = _drawn(snapshot, address, asked, options)
    theirs, seconds = postgis.tile(statement, address, asked)
    if not ours_first:
        ours, our_seconds = _drawn(snapshot, address, asked, options)
    where = f"{layer.id} {address} {asked.items}"
    (within, reaching), _ = postgis.value(COUNTS.format(layer=layer.id), address, asked)
    assert within <= ours.total <= reaching, f"{where}: {ours.total} rows, and {within} to {reaching} in PostGIS"
    is_whole = not ours.dropped and b"point_count" not in ours.data
    if is_whole and address.z in HIGH:
        compare(theirs, ours.data, layer.id, where)
    return Pair(seconds, our_seconds, len(theirs), len(ours.data), is_whole)


def _drawn(snapshot: Snapshot, address: Address, asked: Asked, options: Options) -> tuple[Drawn, float]:
    """Our tile, and the seconds from the parameters of an address to its bytes; as by default where not every row fits."""
    begin = time.perf_counter()
    try:
        drawn = draw(snapshot, asked.parse(snapshot.layer), address, options)
    except BadRequest:
        begin = time.perf_counter()
        drawn = draw(snapshot, asked.parse(snapshot.layer), address, Options())
    return drawn, time.perf_counter() - begin


def compare(theirs: bytes, ours: bytes, layer: str, where: str) -> None:
    """Both tiles hold the same features: the same ids, and of some the same attributes, and outlines within a tile unit.

    Near the buffer's edge one side may have what the other has not, within a unit.
    """
    in_theirs, in_ours = _ids(theirs, layer), _ids(ours, layer)
    for data, odd in ((theirs, in_theirs - in_ours), (ours, in_ours - in_theirs)):
        for id, (_, shape) in _decoded(data, layer, odd).items():
            far = shapely.distance(shapely.points(shapely.get_coordinates(shape)), EDGE).max()
            assert far <= OFF, f"{where}: only one side has {id}, {far} units from the edge"
    both = sorted(in_theirs & in_ours)
    some = set(both[:: max(len(both) // SAMPLED, 1)])
    shapes = _decoded(theirs, layer, some), _decoded(ours, layer, some)
    for id in some:
        (properties, shape), (our_properties, our_shape) = (side[id] for side in shapes)
        assert properties == our_properties, f"{where}: {id} has {our_properties}, and {properties} in PostGIS"
        off = max(_off(shape, our_shape), _off(our_shape, shape))
        assert off <= OFF, f"{where}: {id} is {off} units off: {our_shape}, and {shape} in PostGIS"
    areas = [sum(shape.area for _, shape in side.values()) for side in shapes]
    assert abs(areas[0] - areas[1]) <= 0.01 * areas[0], f"{where}: an area of {areas[1]}, and {areas[0]} in PostGIS"


def _ids(data: bytes, layer: str) -> set[int]:
    parts = [part for part in vector_tile_pb2.tile.FromString(data).layers if part.name == layer]
    ids = [feature.id for part in parts for feature in part.features]
    assert len(ids) == len(set(ids)), "a feature is in the tile twice"
    return set(ids)


def _decoded(data: bytes, layer: str, ids: Set[int]) -> dict[int, tuple[dict[str, Any], BaseGeometry]]:
    """The attributes and the shapes of some features, in tile units; the others are not decoded, since that takes seconds."""
    tile = vector_tile_pb2.tile.FromString(data)
    for part in tile.layers:
        kept = [feature for feature in part.features if feature.id in ids]
        del part.features[:]
        part.features.extend(kept)
    layers = mapbox_vector_tile.decode(tile.SerializeToString(), default_options={"y_coord_down": True})
    features = layers[layer]["features"] if layer in layers else []
    return {feature["id"]: (feature["properties"], shapely.geometry.shape(feature["geometry"])) for feature in features}


def _off(shape: BaseGeometry, other: BaseGeometry) -> float:
    """The largest distance of a shape's vertices from another's outline; of those on the buffer's edge none, where both are cut."""
    vertices: Any = shapely.points(shapely.get_coordinates(shape))
    inner = shapely.distance(vertices, EDGE) > OFF
    outline = other.boundary if other.area else other
    return float(shapely.distance(vertices[inner], outline).max(initial=0))


def _line(zoom: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    theirs, ours = [pair.postgis * 1e3 for pair in pairs], [pair.ours * 1e3 for pair in pairs]
    return {
        "zoom": zoom,
        "PostGIS median": _median(theirs),
        "ours median": _median(ours),
        "ratio": _ratio(pairs),
        "PostGIS most": max(theirs),
        "ours most": max(ours),
        "PostGIS kB": _median(pair.postgis_bytes for pair in pairs) / 1e3,
        "ours kB": _median(pair.our_bytes for pair in pairs) / 1e3,
        "ours kB, most": max(pair.our_bytes for pair in pairs) / 1e3,
        "tiles of every row": f"{sum(pair.is_whole for pair in pairs)} of {len(pairs)}",
    }


def _aims(id: str, case: Case, found: Found) -> Iterator[Aim]:
    """Medians of all samples of a span of zooms, and of the zoom where they are closest."""
    for span, bound in ((LOW, 50), (HIGH, 3)) if id == "parcels" else ((range(10, 17), 3),):
        some = {zoom: found[zoom] for zoom in span}
        what = f"{id}, z{span[0]}–z{span[-1]}, {case.title}"
        yield Aim(f"{what}: median", _ratio([pair for pairs in some.values() for pair in pairs]), bound)
        yield Aim(f"{what}: the least median of a zoom", min(map(_ratio, some.values())), bound)
    most = max(pair.our_bytes for pairs in found.values() for pair in pairs)
    yield Aim(f"{id}, {case.title}: the largest tile", most / 1e3, 500, at_most=True, unit="kB")


def _ten_drawn(client: Client, server: Server, parcels: Snapshot) -> Iterator[dict[str, Any]]:
    """One address of ten layers, beside ten addresses of one, by a server without a cache.

    A request takes its time even if there is nothing in the tile: so much is taken from nine of the ten.
    """
    random = np.random.default_rng(13)
    for zoom in tqdm(TEN_ZOOMS, desc="ten layers in a tile, drawn", leave=False):
        found = []
        for round in range(TEN_ROUNDS + 1):
            apart, together = _ten(client, server, tile(parcels, zoom, random))
            nothing = client.get(server, server.table, Address(zoom, 0, 0), layer=min(SMALL))
            assert not nothing.data
            if round:  # the first one warms up
                found.append((together.seconds, sum(part.seconds for part in apart), nothing.seconds))
        ten, requests, empty = (_median(times) * 1e3 for times in zip(*found, strict=True))
        yield {
            "zoom": f"z{zoom}",
            "ten layers": ten,
            "parts": requests - 9 * empty,
            "ratio": ten / (requests - 9 * empty),
            "ten requests": requests,
            "a request of nothing": empty,
            "kB": len(together.data) / 1e3,
        }


def _ten_kept(client: Client, server: Server, parcels: Snapshot) -> Iterator[dict[str, Any]]:
    """The same by a server with a cache, asked twice: after the ten that are one layer each, and when it is kept itself."""
    random = np.random.default_rng(14)
    for zoom in tqdm(TEN_ZOOMS, desc="ten layers in a tile, kept", leave=False):
        found = []
        for round in range(TEN_ROUNDS + 1):
            address, items = tile(parcels, zoom, random), (("filter", f"id >= {-round}"),)
            drawn, first = _ten(client, server, address, items)
            apart, together = _ten(client, server, address, items)
            if round:  # the first one warms up
                sums = (sum(part.seconds for part in parts) for parts in (drawn, apart))
                found.append((first.seconds, together.seconds, *sums))
        first_ms, ten, drawn_ms, requests = (_median(times) * 1e3 for times in zip(*found, strict=True))
        yield {
            "zoom": f"z{zoom}",
            "ten layers": ten,
            "parts": requests,
            "ratio": ten / requests,
            "before, parts": drawn_ms,
            "before, ten layers after them": first_ms,
        }


def _ten(client: Client, server: Server, address: Address, items: Sequence[tuple[str, str]] = ()) -> tuple[list[Got], Got]:
    """The tiles of ten layers, and the tile of all ten, which holds the same bytes, as far as they keep to the limit of a tile."""
    ids = sorted(LAYERS)
    parts = [client.get(server, server.table, address, items, layer=id) for id in ids]
    whole = client.get(server, server.table, address, items, layer=",".join(ids))
    together = b"".join(part.data for part in parts)
    same = whole.data == together if len(together) <= MOST_BYTES else len(whole.data) <= MOST_BYTES
    assert same, f"{address}: ten layers are not their parts"
    return parts, whole


def _ratio(pairs: Sequence[Pair]) -> float:
    return _median(pair.postgis for pair in pairs) / _median(pair.ours for pair in pairs)


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))
