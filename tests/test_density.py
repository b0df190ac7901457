"""The density of a layer of points: every row counts once, tiles fit together, and one place has one color in all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from crowds import Crowd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from starlette.testclient import TestClient
from town import Town, report

from tileserver.catalog import GEOMETRY
from tileserver.filters import Filter
from tileserver.raster.density import EQUATOR_KM, LONE_ROWS, REACH, SIGMA, TABLE, TILE, Points, density
from tileserver.revisions import Revisions
from tileserver.snapshot import Live, Snapshot
from tileserver.snapshot.mercator import geographic, mercator

RANDOM = np.random.default_rng(7)
CENTER = (-92.3, 34.75)
FAR = [(-180.0, 10.0), (179.9999, 10.0), (0.0, 84.9), (20.0, -84.9)]

Floats = NDArray[np.float64]


def places() -> list[tuple[float, float]]:
    """A dense middle, a wide surrounding, and a few at the ends of the world."""
    near = RANDOM.normal(CENTER, 0.01, (250, 2)).tolist() + RANDOM.normal(CENTER, 0.1, (150, 2)).tolist()
    return [(lon, lat) for lon, lat in near + FAR]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("town")).settle()
    town.publish("reports", [report(number, **{GEOMETRY: shapely.Point(place)}) for number, place in enumerate(places())])
    return town


@pytest.fixture(scope="module")
def snapshot(town: Town) -> Snapshot:
    live = Live(town.layers, Revisions(town.settings.snapshots))
    return live.snapshot(town.layers["reports"])


@pytest.fixture(scope="module")
def client(town: Town) -> Iterator[TestClient]:
    with town.client() as client:
        yield client


def obvious(rows: Sequence[tuple[int, int]], z: int, left: int, top: int, side: int) -> Floats:
    """Rows per km² over any square of the map, in pixels of a zoom, shape (side, side): one row after the other."""
    steps = np.arange(-REACH, REACH + 1)
    weights = np.exp(-(steps**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    stamp = np.outer(weights, weights)
    world = TILE << z
    total = np.zeros((side + 2 * REACH, side + 2 * REACH))
    for (x, y), count in Counter((x * world >> 32, y * world >> 32) for x, y in rows).items():
        down = y - top
        for turn in (-world, 0, world):
            across = x + turn - left
            if -REACH <= across < side + REACH and -REACH <= down < side + REACH:
                here = np.s_[max(down, 0) : down + 2 * REACH + 1, max(across, 0) : across + 2 * REACH + 1]
                height, width = total[here].shape
                skipped = max(-down, 0), max(-across, 0)
                total[here] += count * stamp[skipped[0] :, skipped[1] :][:height, :width]
    inner = total[REACH : REACH + side, REACH : REACH + side]
    return inner / square_kilometers(z, top, side, TILE)


def everything(snapshot: Snapshot) -> list[tuple[int, int]]:
    """The positions of all rows, in world units."""
    return list(zip(snapshot.x.tolist(), snapshot.y.tolist(), strict=True))


def square_kilometers(z: int, top: int, rows: int, size: int) -> Floats:
    """The ground under a pixel of each row, shape (rows, 1)."""
    middles = (np.arange(rows, dtype=np.float64) + top + 0.5) * 2.0 ** (32 - z) / size
    _, latitudes = geographic(np.zeros(rows), middles)
    return np.asarray((EQUATOR_KM / (size << z) * np.cos(np.radians(latitudes))) ** 2)[:, None]


def tile_at(z: int, lon: float = CENTER[0], lat: float = CENTER[1]) -> tuple[int, int]:
    x, y = mercator(np.array([lon]), np.array([lat]))
    return int(x[0] // 2 ** (32 - z)), int(y[0] // 2 ** (32 - z))


@pytest.mark.parametrize("z", [8, 12, 14])
def test_four_tiles_side_by_side_are_one_bigger_rendering(snapshot: Snapshot, z: int) -> None:
    x, y = tile_at(z)
    points = Points(snapshot, Filter())
    drawn = np.block([[density(points, z, x + across, y + down) for across in (0, 1)] for down in (0, 1)])
    whole = obvious(everything(snapshot), z, x * TILE, y * TILE, 2 * TILE)
    assert whole.max() > 0
    assert np.allclose(drawn, whole, rtol=1e-9, atol=1e-9)
    assert ((drawn == 0) == (whole == 0)).all()


def test_the_map_goes_on_beyond_the_antimeridian(snapshot: Snapshot) -> None:
    points = Points(snapshot, Filter())
    for z in (0, 3):
        _, y = tile_at(z, 0, 10)
        east, west = density(points, z, (1 << z) - 1, y), density(points, z, 0, y)
        whole = obvious(everything(snapshot), z, 0, y * TILE, TILE)
        assert np.allclose(west, whole, rtol=1e-9, atol=1e-9)
        row = int(np.argmax(west[:, 0]))
        assert east[row, -1] == pytest.approx(west[row, 0], rel=0.02)


@pytest.fixture(scope="module", params=["incidents", "trees"])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    return Crowd(request.param, tmp_path_factory.mktemp("crowd"))


@settings(max_examples=25)
@given(data=st.data())
def test_under_any_filter_each_matching_row_counts_whether_its_leaf_is_read_or_not(crowd: Crowd, data: st.DataObject) -> None:
    filter, zoom = data.draw(crowd.filters), data.draw(st.integers(0, crowd.layer.tiles.maxzoom))
    x, y = (axis >> (32 - zoom) for axis in data.draw(st.sampled_from([place for place in crowd.twin.places if place])))
    matching = [place for number in crowd.twin.matching(filter) if (place := crowd.twin.places[number])]
    drawn, expected = density(Points(crowd.snapshot, filter), zoom, x, y), obvious(matching, zoom, x * TILE, y * TILE, TILE)
    assert np.allclose(drawn, expected, rtol=1e-9, atol=1e-9)
    assert ((drawn == 0) == (expected == 0)).all()


@settings(max_examples=15)
@given(data=st.data(), table=st.sampled_from([0, TABLE]))
def test_the_last_color_is_that_of_the_densest_blocks(crowd: Crowd, data: st.DataObject, table: int) -> None:
    filter = data.draw(crowd.filters)
    matching = [place for number in crowd.twin.matching(filter) if (place := crowd.twin.places[number])]
    crowd.snapshot.counts.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tileserver.raster.density.TABLE", table)
        tops = Points(crowd.snapshot, filter).tops()
    for zoom, top in enumerate(tops):
        blocks = Counter((x >> (29 - zoom), y >> (29 - zoom)) for x, y in matching)
        ground = {y: ground_of_block(zoom, y) for _, y in blocks}
        densities = [count / ground[y] for (_, y), count in blocks.items()]
        lone = LONE_ROWS * REACH**2 / (2 * np.pi * SIGMA**2)
        assert top == pytest.approx(max(np.quantile(densities, 0.998), lone / max(ground.values())) if blocks else 1.0)


def ground_of_block(zoom: int, y: int) -> float:
    """Square kilometers of a block, by the latitude of its middle."""
    _, latitude = geographic(np.zeros(1), np.array([(y + 0.5) * 2 ** (29 - zoom)]))
    return float((EQUATOR_KM / 2 ** (zoom + 3) * np.cos(np.radians(latitude[0]))) ** 2)


def rows_in(values: Floats, z: int, y: int) -> float:
    """What a tile's densities add up to."""
    size = len(values)
    return float((values * square_kilometers(z, y * size, size, size)).sum())


@given(
    z=st.integers(4, 5), categories=st.sampled_from([(), (("kind", ("NOISE",)),), (("kind", ("", "FIRE")),)]), dense=st.booleans()
)
def test_densities_add_up_to_the_rows_that_match(snapshot: Snapshot, z: int, categories: Any, dense: bool) -> None:
    size = TILE * (1 + dense)
    points = Points(snapshot, Filter(bbox=(-100, 30, -80, 40), categories=categories))
    x, y = tile_at(z)
    total = sum(
        rows_in(density(points, z, x + across, y + down, size), z, y + down) for across in (-1, 0, 1) for down in (-1, 0, 1)
    )
    wanted = {None: None, "NOISE": 0, "FIRE": 1, "": 2}
    kept = {wanted[value] for _, values in categories for value in values} or {0, 1, 2}
    assert total == pytest.approx(sum(number % 3 in kept for number in range(400)), rel=1e-9)


def picture(content: bytes) -> NDArray[np.uint8]:
    with pytest.warns(NotGeoreferencedWarning), MemoryFile(content) as file, file.open() as image:
        values: NDArray[np.uint8] = image.read()
    return values


def address(z: int, suffix: str = ".png") -> str:
    x, y = tile_at(z)
    return f"/raster/reports/tiles/{z}/{x}/{y}{suffix}"


def test_a_tile_is_clear_where_no_row_is_near_and_the_same_place_has_one_color(client: TestClient, snapshot: Snapshot) -> None:
    drawn = picture(client.get(address(12)).content)
    values = density(Points(snapshot, Filter()), 12, *tile_at(12))
    assert (drawn[-1][values == 0] == 0).all()
    assert drawn[-1][values == values.max()].min() == 255

    top = client.get("/raster/reports/tilejson.json").json()["ranges"]["12"][1]
    assert top == pytest.approx(Points(snapshot, Filter()).top(12))
    told = picture(client.get(f"{address(12)}?rescale=0,{top:.9f}").content)
    assert np.abs(told.astype(int) - drawn).max() <= 1
    assert (picture(client.get(f"{address(12)}?rescale=0,{top * 4:.9f}").content) != drawn).any()


def test_filters_and_colors_are_those_of_other_answers(client: TestClient) -> None:
    plain = client.get(address(12))
    same = client.get(f"{address(12)}?datetime=../..").headers["etag"]
    assert plain.headers["etag"] == same
    assert client.get(address(12), headers={"If-None-Match": same}).status_code == 304
    filtered = {
        client.get(f"{address(12)}?{query}").content
        for query in ("kind=NOISE", "last=3d", "bbox=-92.3,34,-92,35", "colormap_name=hot")
    }
    assert len(filtered | {plain.content}) == 5
    assert client.get(f"{address(12)}?bbox=0,0,1,1").status_code == 204
    assert client.get(f"{address(12)}?reports.kind=NOISE").content == client.get(f"{address(12)}?kind=NOISE").content
    for query in (
        "properties=at",
        "grid=64",
        "resampling=nearest",
        "bidx=1",
        "cost=1",
        "colormap_name=x",
        "rescale=-1,5",
        "last=x",
    ):
        assert client.get(f"{address(12)}?{query}").status_code == 400, query


def test_dense_screens_and_webp_show_the_same(client: TestClient) -> None:
    plain, dense = (picture(client.get(address(12, suffix)).content) for suffix in (".png", "@2x.png"))
    assert dense.shape[1:] == (512, 512)
    assert np.abs(dense[-1].reshape(256, 2, 256, 2).mean(axis=(1, 3)) - plain[-1]).mean() < 4
    assert client.get(address(12, ".webp")).headers["content-type"] == "image/webp"


def test_the_tilejson_says_what_last_means_and_where_to_ask(client: TestClient) -> None:
    told = client.get("/raster/reports/tilejson.json?last=3d&kind=NOISE").json()
    assert (told["minzoom"], told["maxzoom"], told["unit"]) == (2, 14, "rows per km²")
    (url,) = told["tiles"]
    assert url.startswith("http://testserver/raster/reports/tiles/{z}/{x}/{y}.png?kind=NOISE&datetime=")
    x, y = tile_at(12)
    assert client.get(url.format(z=12, x=x, y=y)).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (
        client.get(f"{address(12)}?last=3d&{url.rpartition('&')[2]}").headers["cache-control"]
        == "public, max-age=0, must-revalidate"
    )
    assert client.get(url.format(z=12, x=x, y=y)).content == client.get(f"{address(12)}?last=3d&kind=NOISE").content
    assert client.get("/layers/reports").json()["links"]["density"] == "http://testserver/raster/reports/tilejson.json"
    assert "density" not in client.get("/layers/wards").json()["links"]


def test_only_points_whose_rows_are_published_have_a_density_and_it_has_tiles_alone(client: TestClient, tmp_path: Path) -> None:
    for path in (
        "/raster/wards/tiles/12/0/0.png",
        "/raster/wards/tilejson.json",
        "/raster/reports/statistics",
        "/raster/reports/point/0,0",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert client.get("/raster/reports/tiles/15/0/0.png").status_code == 404

    town = Town(tmp_path)
    for id, key in (("reports", 'publish = "counts"\n'), ("schools", 'publish = "counts"\nmin_count = 5\n')):
        file = tmp_path / "layers" / f"{id}.toml"
        file.write_text(key + file.read_text())
    with town.reloaded().settle().client() as counts:
        for path in ("/raster/reports/tiles/12/0/0.png", "/raster/reports/tilejson.json", "/raster/schools/tiles/12/0/0.png"):
            assert counts.get(path).status_code == 404


def test_a_published_row_is_seen_at_once(tmp_path: Path) -> None:
    town = Town(tmp_path).settle()
    with town.client() as client:
        x, y = tile_at(12, 10, 10)
        url = f"/raster/reports/tiles/12/{x}/{y}.png"
        empty = client.get(url)
        assert empty.status_code == 204
        town.publish("reports", [report(999, **{GEOMETRY: shapely.Point(10, 10)})], replace=False)
        assert client.get(url, headers={"If-None-Match": empty.headers["etag"]}).status_code == 200
