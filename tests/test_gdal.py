"""A running server, read by GDAL and Arrow as their users do: downloads by byte ranges, items page by page."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from serving import PATIENCE, serving, status, wait_until
from town import Town, report

from tileserver.catalog import GEOMETRY


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    town = Town(tmp_path_factory.mktemp("town")).settle()
    places = town.settings
    folders = ["--layers", str(places.layers), "--snapshots", str(places.snapshots), "--styles", str(places.styles)]
    with serving(places.store, *folders, "--workers", "1") as (_, origin):
        wait_until(lambda: status(f"{origin}/health/ready") == 200)
        yield origin


def count(origin: str, **query: str) -> int:
    with urlopen(f"{origin}/count/reports?{urlencode(query)}", timeout=PATIENCE) as answer:
        return int(json.load(answer)["count"])


class Remote(io.RawIOBase):
    """A file on a server, read by byte ranges."""

    def __init__(self, url: str) -> None:
        self._url, self._at = url, 0
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE) as head:
            self._size = int(head.headers["Content-Length"])

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._at + size, self._size)
        if stop <= self._at:
            return b""
        with urlopen(Request(self._url, headers={"Range": f"bytes={self._at}-{stop - 1}"}), timeout=PATIENCE) as answer:
            assert answer.status == 206
            content: bytes = answer.read()
        self._at = stop
        return content


@pytest.mark.parametrize("format", ["gpkg", "fgb", "geojsonl", "geojson"])
def test_gdal_reads_a_download_where_it_lies(origin: str, format: str) -> None:
    address = f"/vsicurl/{origin}/downloads/reports.{format}"
    box = (-92.3005, 34.6995, -92.2795, 34.7015)
    assert len(pyogrio.raw.read(address)[2]) == count(origin) == 301
    assert len(pyogrio.raw.read(address, bbox=box)[2]) == count(origin, bbox=",".join(map(str, box))) == 42


def test_arrow_reads_a_column_of_a_geoparquet_by_its_ranges(origin: str) -> None:
    rows = pq.read_table(Remote(f"{origin}/downloads/reports.parquet?kind=FIRE"), columns=["number"])
    assert rows.num_rows == count(origin, kind="FIRE") == 100


@pytest.mark.parametrize("size", [7, 100, 1_000])
def test_gdal_reads_every_row_through_its_pages(origin: str, size: int) -> None:
    meta, _, geometry, columns = pyogrio.raw.read(f"OAPIF:{origin}/ogc", layer="reports", PAGE_SIZE=str(size))
    numbers = columns[meta["fields"].tolist().index("number")].tolist()
    assert sorted(numbers) == [f"R-{number:04d}" for number in range(301)]
    place = shapely.from_wkb(geometry[numbers.index("R-0123")])
    assert shapely.equals_exact(place, report(123)[GEOMETRY], tolerance=1e-7)
    assert geometry[numbers.index("R-0300")] is None


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({"bbox": (-92.3, 34.7, -92.28, 34.702)}, {"bbox": "-92.3,34.7,-92.28,34.702"}),
        ({"where": "kind = 'FIRE'"}, {"kind": "FIRE"}),
        ({"where": "at >= '2023-11-20T00:00:00Z'"}, {"datetime": "2023-11-20T00:00:00Z/.."}),
        ({"where": "kind = 'NOISE'", "bbox": (-92.29, 34.6, -92.2, 34.8)}, {"kind": "NOISE", "bbox": "-92.29,34.6,-92.2,34.8"}),
    ],
)
def test_gdals_conditions_are_the_servers(origin: str, asked: dict[str, Any], query: dict[str, str]) -> None:
    _, _, geometry, _ = pyogrio.raw.read(f"OAPIF:{origin}/ogc", layer="reports", **asked)
    assert 0 < len(geometry) == count(origin, **query) < 301
    items = f"{origin}/ogc/collections/reports/items?{urlencode(query)}"
    with urlopen(items, timeout=PATIENCE) as answer:
        assert json.load(answer)["numberMatched"] == len(geometry)


def test_gdal_lists_the_layers(origin: str) -> None:
    assert pyogrio.list_layers(f"OAPIF:{origin}/ogc").tolist() == [["reports", "Point"], ["schools", "Point"], ["wards", "Polygon"]]
