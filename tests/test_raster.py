"""Rasters: the file that a layer names and no other, in colors, as values; what a stranger asks for is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window
from starlette.testclient import TestClient
from town import Town

from tileserver import catalog, demo, raster
from tileserver.cli import main
from tileserver.errors import ConfigError
from tileserver.settings import Settings, shipped

WEST, SOUTH, EAST, NORTH = BOUNDS = (-92.5, 34.6, -92.1, 34.9)
WIDTH, HEIGHT = 400, 300
TILE = "/raster/heights/tiles/11/498/812"
EDGE = 20_037_508.342789244

LAYERS = {
    "heights": 'title = "Heights"\nraster = "heights.tif"\nunit = "m"\nrange = [0, 700]\ncolormap = "gray"\nmax_age = "2w"\n'
    "[tiles]\nminzoom = 8\nmaxzoom = 12\n",
    "photo": 'title = "Photo"\nraster = "photo.tif"\n',
    "classes": 'title = "Classes"\nraster = "classes.tif"\n',
}


def write(path: Path, values: NDArray[Any], **profile: Any) -> None:
    bands, height, width = values.shape
    given = {"driver": "GTiff", "crs": "EPSG:4326", "transform": from_bounds(*BOUNDS, width, height), **profile}
    with rasterio.open(path, "w", width=width, height=height, count=bands, dtype=values.dtype, **given) as out:
        out.write(values)


def heights() -> NDArray[np.float32]:
    """A slope from 0 in the north-west to 699 in the south-east; nothing is known of its first column."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    values: NDArray[np.float32] = (down + across).astype(np.float32)
    values[:, 0] = -9999
    return values[None]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    (folder / "rasters").mkdir()
    town = Town(folder, rasters=folder / "rasters")
    for id, text in LAYERS.items():
        (folder / "layers" / f"{id}.toml").write_text(text, "utf-8")
    write(folder / "plain.tif", heights(), nodata=-9999)
    copy(folder / "plain.tif", folder / "rasters" / "heights.tif", driver="COG", BLOCKSIZE="128")
    photo = np.random.default_rng(1).integers(0, 256, (3, 60, 80), np.uint8)
    write(folder / "layers" / "photo.tif", photo, photometric="RGB")
    write(folder / "rasters" / "classes.tif", np.tile(np.array([[1, 2], [2, 1]], np.uint8), (1, 30, 40)))
    with rasterio.open(folder / "rasters" / "classes.tif", "r+") as out:
        out.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 0, 255, 255)})
    return town.reloaded().settle()


@pytest.fixture(scope="module")
def client(town: Town) -> Iterator[TestClient]:
    with town.client() as client:
        yield client


def picture(content: bytes) -> NDArray[np.uint8]:
    """The bands of an image file, as GDAL reads them."""
    with pytest.warns(NotGeoreferencedWarning), MemoryFile(content) as file, file.open() as image:
        values: NDArray[np.uint8] = image.read()
    return values


def tile_bounds(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    side = 2 * EDGE / 2**z
    return x * side - EDGE, EDGE - (y + 1) * side, (x + 1) * side - EDGE, EDGE - y * side


def test_a_tile_shows_the_values_of_the_file_in_the_colors_of_the_layer_file(client: TestClient) -> None:
    drawn = picture(client.get("/raster/heights/tiles/11/497/812.png").content)  # the raster begins in its middle
    expected = np.full((256, 256), -9999, np.float32)
    known = {"src_transform": from_bounds(*BOUNDS, WIDTH, HEIGHT), "src_crs": "EPSG:4326", "src_nodata": -9999, "dst_nodata": -9999}
    grid = from_bounds(*tile_bounds(11, 497, 812), 256, 256)
    reproject(heights()[0], expected, dst_transform=grid, dst_crs="EPSG:3857", resampling=Resampling.bilinear, **known)

    inside = expected != -9999
    assert np.abs(drawn[0].astype(float) - expected / 700 * 255)[inside].max() <= 2  # whole colors, of a gray that is off by one
    assert (drawn[0] == drawn[1]).all()
    assert ((drawn[-1] == 255) == inside).all()
    assert ((drawn[-1] == 0) == ~inside).all()


def test_dense_screens_get_twice_the_pixels_and_webp_the_same_picture(client: TestClient) -> None:
    plain, dense = (picture(client.get(f"{TILE}{suffix}").content) for suffix in (".png", "@2x.png"))
    assert (plain.shape[1:], dense.shape[1:]) == ((256, 256), (512, 512))
    halved = dense[0].reshape(256, 2, 256, 2).mean(axis=(1, 3))
    both = (plain[-1] == 255) & (dense[-1].reshape(256, 2, 256, 2).min(axis=(1, 3)) == 255)
    assert np.abs(halved - plain[0])[both].max() <= 2

    webp = client.get(f"{TILE}.webp")
    assert webp.headers["content-type"] == "image/webp"
    assert np.abs(picture(webp.content)[0].astype(int) - plain[0])[both].mean() < 3


def test_a_point_and_the_statistics_are_the_files_own_numbers(client: TestClient) -> None:
    column, row = 123, 45
    lon, lat = WEST + (column + 0.5) * (EAST - WEST) / WIDTH, NORTH - (row + 0.5) * (NORTH - SOUTH) / HEIGHT
    point = client.get(f"/raster/heights/point/{lon:.6f},{lat:.6f}").json()
    assert (point["values"], point["unit"]) == ([column + row], "m")
    assert client.get(f"/raster/heights/point/{WEST + 0.0002},{lat:.6f}").json()["values"] == [None]

    told = client.get("/raster/heights/statistics").json()["b1"]
    known = heights()[heights() != -9999]
    assert (told["min"], told["max"], told["unit"]) == (known.min(), known.max(), "m")
    assert told["mean"] == pytest.approx(known.mean(), rel=1e-4)


def test_the_tilejson_leads_to_tiles_with_the_same_query(client: TestClient) -> None:
    told = client.get("/raster/heights/tilejson.json?rescale=0,100&colormap_name=viridis").json()
    assert (told["minzoom"], told["maxzoom"], told["unit"], told["range"]) == (8, 12, "m", [0, 100])
    assert told["bounds"] == pytest.approx(BOUNDS)
    url = told["tiles"][0].format(z=11, x=498, y=812)
    revision = client.get("/layers/heights").json()["revision"]
    assert url == f"http://testserver{TILE}.png?rescale=0%2C100&colormap_name=viridis&rev={revision}"
    assert client.get(url).content != client.get(f"{TILE}.png").content
    assert client.get(url).headers["cache-control"] == "public, max-age=1209600, immutable"
    assert client.get(f"{TILE}.png?rev=old").headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert client.get("/raster/heights/tilejson.json").json()["range"] == [0, 700]


def test_a_photograph_keeps_its_colors_and_a_palette_too(client: TestClient) -> None:
    address = "/tiles/8/62/101.png"
    photo = picture(client.get(f"/raster/photo{address}").content)
    assert photo.shape[0] == 4
    assert not (photo[0] == photo[1]).all()
    assert client.get(f"/raster/photo{address}?bidx=1&colormap_name=viridis").status_code == 200
    assert client.get(f"/raster/photo{address}?bidx=1&bidx=2").status_code == 400

    classes = picture(client.get(f"/raster/classes{address}").content)
    shown = {tuple(color) for color in classes[:3, classes[-1] == 255].T.tolist()}
    assert shown == {(255, 0, 0), (0, 0, 255)}


def test_outside_the_bounds_is_204_and_outside_zooms_or_grid_404(client: TestClient) -> None:
    assert client.get("/raster/heights/tiles/11/0/0.png").status_code == 204
    for path in (
        "7/31/50.png",
        "13/1/1.png",
        "11/2048/0.png",
        "11/498/812.jpg",
        "11/498/812",
        "011/498/812.png",
        "11/498/812@3x.png",
    ):
        assert client.get(f"/raster/heights/tiles/{path}").status_code == 404, path
    assert client.get("/raster/heights/point/0,0").status_code == 404
    assert client.get("/raster/heights/point/0,90").status_code == 404
    for path in ("0,91", "181,0", "1e1,0", "a,b", "1,2,3"):
        assert client.get(f"/raster/heights/point/{path}").status_code == 400, path


def test_an_unchanged_picture_is_304_and_head_tells_what_get_would(client: TestClient) -> None:
    for path in (f"{TILE}.png", "/raster/heights/statistics", "/raster/heights/tilejson.json"):
        answer = client.get(path)
        head = client.head(path)
        assert (head.status_code, head.headers["etag"]) == (200, answer.headers["etag"])
        assert head.headers["content-length"] == answer.headers["content-length"]
        assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert client.post(path).status_code == 405


def test_a_replaced_file_is_shown_at_once_under_a_new_etag(tmp_path: Path) -> None:
    town = Town(tmp_path, rasters=tmp_path)
    (tmp_path / "layers" / "heights.toml").write_text(LAYERS["heights"], "utf-8")
    write(tmp_path / "heights.tif", heights(), nodata=-9999)
    with town.client() as client:
        before = client.get(f"{TILE}.png")
        write(tmp_path / "new.tif", heights() / 2, nodata=-9999)
        (tmp_path / "new.tif").replace(tmp_path / "heights.tif")
        after = client.get(f"{TILE}.png", headers={"If-None-Match": before.headers["etag"]})
        assert (after.status_code, after.content == before.content) == (200, False)

        (tmp_path / "heights.tif").write_bytes(b"II*\0 nothing more")
        for path in (f"{TILE}.png", "/raster/heights/tilejson.json", "/raster/heights/point/0,0", "/layers/heights"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert str(tmp_path) not in answer.text
        assert "heights" not in [layer["id"] for layer in client.get("/layers").json()["layers"]]


STRANGERS = (
    "url=http://127.0.0.1:{port}/x.tif",
    "url=/vsicurl/http://127.0.0.1:{port}/x.tif",
    "src_path=vrt:///vsicurl/http://127.0.0.1:{port}/x.tif",
    "width=100000",
    "height=100000",
    "tilesize=100000",
    "buffer=1000",
    "padding=1000",
    "max_size=100000",
    "expression=b1**b1",
    "algorithm=hillshade",
    "color_formula=gamma%20r%203",
    "colormap=%7B%7D",
    "nodata=0",
    "unscale=true",
    "c=1",
    "p=1",
    "histogram_bins=1000000",
    "coord_crs=EPSG:3857",
    "tileMatrixSetId=x",
    "return_mask=false",
)


def test_what_names_a_file_or_costs_much_is_refused_and_no_socket_is_opened(client: TestClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for query in STRANGERS:
            for path in (
                f"{TILE}.png",
                "/raster/heights/statistics",
                "/raster/heights/point/-92.3,34.7",
                "/raster/heights/tilejson.json",
            ):
                answer = client.get(f"{path}?{query.format(port=port)}")
                assert answer.status_code == 400, f"{path}?{query}"
                assert answer.headers["content-type"] == "application/problem+json"
        for name in (
            "/vsicurl/http://127.0.0.1:{port}/x.tif",
            "vrt://x",
            "MEM:::DATAPOINTER=1",
            "..",
            "heights.tif",
            "GTIFF_DIR:1:x",
        ):
            id = quote(name.format(port=port), safe="")
            for rest in ("tiles/11/498/812.png", "statistics", "point/0,0", "tilejson.json"):
                assert client.get(f"/raster/{id}/{rest}").status_code == 404, name
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_nothing_else_of_titiler_is_served(client: TestClient) -> None:
    for rest in (
        "info",
        "preview",
        "preview.png",
        "bbox/0,0,1,1.png",
        "tiles",
        "tiles/WebMercatorQuad/11/498/812.png",
        "map.html",
        "viewer",
    ):
        assert client.get(f"/raster/heights/{rest}").status_code == 404, rest
    for query in ("rescale=1", "rescale=2,1", "rescale=nan,1", "rescale=0,1&rescale=0,2", "colormap_name=x", "bidx=0", "bidx=2"):
        assert client.get(f"{TILE}.png?{query}").status_code == 400, query
    assert client.get(f"{TILE}.png?colormap_name=gray&colormap_name=hot").status_code == 400
    assert client.get(f"{TILE}.png?resampling=nearest&bidx=1&rescale=0,9&colormap_name=hot").status_code == 200


def test_a_raster_is_listed_with_links_that_answer(client: TestClient) -> None:
    told = {layer["id"]: layer for layer in client.get("/layers").json()["layers"]}["heights"]
    assert told == client.get("/layers/heights").json()
    assert (told["kind"], told["unit"], told["range"], told["colormap"]) == ("raster", "m", [0, 700], "gray")
    assert (told["colors"][0], told["colors"][4], told["colors"][-1]) == ("#000000", "#7f7f7f", "#ffffff")
    assert told["extent"] == pytest.approx(BOUNDS)
    links = told["links"]
    for url in (links["tilejson"], links["statistics"], links["self"], links["point"].format(lon=-92.3, lat=34.7)):
        assert client.get(url).status_code == 200
    assert client.get(links["tiles"].format(z=11, x=498, y=812)).status_code == 200
    photo = client.get("/layers/photo").json()
    assert photo["maxzoom"] == 8  # a pixel is half a kilometer wide
    assert photo["colors"] is None
    assert 0 <= photo["range"][0] < photo["range"][1] <= 255


def test_check_names_the_layer_file_and_the_key_of_each_raster_that_cannot_be_served(tmp_path: Path) -> None:
    town = Town(tmp_path, rasters=tmp_path / "rasters")
    layers = tmp_path / "layers"
    (tmp_path / "rasters").mkdir()
    write(layers / "nowhere.tif", heights(), crs=None)
    (layers / "words.tif").write_text("no raster")
    write(tmp_path / "rasters" / "good.tif", heights())
    write(tmp_path / "outside.tif", heights())
    (layers / "virtual.tif").write_text(virtual(tmp_path / "outside.tif"))
    texts = {
        "good": "good.tif",
        "missing": "missing.tif",
        "nowhere": "nowhere.tif",
        "words": "words.tif",
        "virtual": "virtual.tif",
        "outside": "../outside.tif",
    }
    for id, name in texts.items():
        (layers / f"{id}.toml").write_text(f'title = "{id}"\nraster = "{name}"\n')
    (layers / "colors.toml").write_text('title = "Colors"\nraster = "good.tif"\ncolormap = "rainbow-ish"\n')

    with pytest.raises(ConfigError) as caught:
        raster.check(town.settings, catalog.load(layers))
    lines = {Path(line.split(": ")[0]).stem: line.split(": ", 1)[1] for line in str(caught.value).splitlines()}
    assert set(lines) == {"missing", "nowhere", "words", "virtual", "outside", "colors"}
    assert all(text.startswith("colormap: " if id == "colors" else "raster: ") for id, text in lines.items())
    assert "there is no file missing.tif" in lines["missing"]
    assert "CRS" in lines["nowhere"]
    assert "is not a GeoTIFF" in lines["virtual"]

    places = ["--layers", str(layers), "--styles", str(tmp_path / "styles"), "--rasters", str(tmp_path / "rasters")]
    assert main(["check", *places]) == 2
    for id in lines:
        (layers / f"{id}.toml").unlink()
    assert main(["check", *places]) == 0


def virtual(source: Path) -> str:
    """A raster of GDAL's VRT format over another file."""
    band = f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>"
    return (
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:4326</SRS>'
        f"<GeoTransform>{WEST}, 0.001, 0, {NORTH}, 0, -0.001</GeoTransform>"
        f'<VRTRasterBand dataType="Float32" band="1"><SimpleSource>{band}</SimpleSource></VRTRasterBand></VRTDataset>'
    )


def test_the_virtual_raster_of_these_tests_is_one(tmp_path: Path) -> None:
    write(tmp_path / "source.tif", heights())
    (tmp_path / "virtual.tif").write_text(virtual(tmp_path / "source.tif"))
    with rasterio.open(tmp_path / "virtual.tif") as dataset:
        assert (dataset.driver, dataset.read(1)[10, 20]) == ("VRT", 30)


def test_gdal_reads_the_tiles_as_a_map_service(client: TestClient, tmp_path: Path) -> None:
    """GDAL's own reader of tiled maps, over files: the addresses are those of any XYZ client."""
    for x in range(497, 500):
        for y in range(811, 814):
            answer = client.get(f"/raster/heights/tiles/11/{x}/{y}.png")
            path = tmp_path / "11" / str(x) / f"{y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if answer.status_code == 200:
                path.write_bytes(answer.content)
    service = (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>file://{tmp_path}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        f"<DataWindow><UpperLeftX>{-EDGE}</UpperLeftX><UpperLeftY>{EDGE}</UpperLeftY><LowerRightX>{EDGE}</LowerRightX>"
        f"<LowerRightY>{-EDGE}</LowerRightY><TileLevel>11</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
        "<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX>"
        "<BlockSizeY>256</BlockSizeY><BandsCount>4</BandsCount><ZeroBlockHttpCodes>204,404</ZeroBlockHttpCodes></GDAL_WMS>"
    )
    with rasterio.open(service) as dataset:
        read = dataset.read(1, window=Window(498 * 256, 812 * 256, 256, 256))
    drawn = picture(client.get(f"{TILE}.png").content)
    visible = drawn[-1] == 255
    assert np.abs(read.astype(int) - drawn[0])[visible].max() <= 1


def test_the_demo_citys_raster_is_the_same_for_the_same_seed_and_can_be_served(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        demo.write_elevation(folder, seed=3)
    assert (one / demo.ELEVATION).read_bytes() == (two / demo.ELEVATION).read_bytes()
    assert [path.name for path in one.iterdir()] == [demo.ELEVATION]
    with rasterio.open(one / demo.ELEVATION) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        low, high = np.percentile(dataset.read(1), [1, 99])

    settings = Settings(layers=shipped("layers"), rasters=one)
    layers = catalog.load(settings.layers)
    raster.check(settings, layers)
    layer = layers.rasters["elevation"]
    assert layer.range is not None
    assert layer.range[0] <= low < high <= layer.range[1] * 1.2
    assert "made-up city" in layer.description.lower()
