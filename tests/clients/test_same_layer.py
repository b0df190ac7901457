"""QGIS, GDAL and MapLibre Native show the same layer, and read the same rows. The pictures stay in build/clients."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

import numpy as np
import pyogrio
import pytest
import shapely
from numpy.typing import NDArray
from pictures import PICTURES, View, agreement, alike, by_gdal, by_native, by_qgis, colors, near

DOWNTOWN = View(-92.29, 34.745, 15.6)
CITY = View(-92.35, 34.735, 10.3)


def tiles(origin: str, id: str) -> dict[str, str]:
    """As a person adds them to QGIS: the template of the tiles and the address of their style."""
    url = f"{origin}/tiles/{id}/{{z}}/{{x}}/{{y}}.mvt"
    zooms = f"zmin=0&zmax={told(origin, id)['maxzoom']}"
    return {"kind": "vector tiles", "uri": f"type=xyz&url={url}&{zooms}&styleUrl={origin}/styles/{id}.json?for=qgis"}


def service(origin: str, id: str) -> dict[str, str]:
    url = f"{origin}/arcgis/rest/services/{id}/VectorTileServer"
    return {"kind": "vector tiles", "uri": f"serviceType=arcgis&type=xyz&url={url}"}


def items(origin: str, id: str) -> dict[str, str]:
    return {"kind": "OAPIF", "uri": f"url='{origin}/ogc' typename='{id}' pageSize='1000' srsname='OGC:CRS84'"}


def read(origin: str, id: str, bbox: tuple[float, float, float, float] | None = None) -> NDArray[Any]:
    """The geometries of a layer, by GDAL's OGC API – Features driver."""
    _, _, geometry, _ = pyogrio.raw.read(f"OAPIF:{origin}/ogc", layer=id, bbox=bbox)
    return np.asarray(shapely.from_wkb(geometry))


def told(origin: str, id: str) -> dict[str, Any]:
    """What the server says of a layer."""
    with urlopen(f"{origin}/layers/{id}", timeout=30) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize(
    ("id", "radius", "pixels"),
    [
        pytest.param("police_incidents", 4, 9, id="points, whose size the clients differ in"),
        pytest.param("parcels", 0.5, 3, id="polygons"),
        pytest.param("streets", 1, 3, id="lines"),
    ],
)
def test_three_clients_show_the_same_layer(demo_server: str, id: str, radius: float, pixels: int) -> None:
    native = by_native(f"{demo_server}/styles/{id}.json", DOWNTOWN, id)
    (layer,), qgis = by_qgis([tiles(demo_server, id)], DOWNTOWN, id)
    gdal = by_gdal(read(demo_server, id, DOWNTOWN.bbox), DOWNTOWN, id, radius)
    assert (layer["valid"], layer["styled"]) == (True, True), layer["error"]
    assert agreement(native, qgis, pixels) > 0.97
    assert agreement(native, gdal, pixels) > 0.97


def test_three_clients_show_the_same_city_as_outlines(demo_server: str) -> None:
    native = by_native(f"{demo_server}/styles/wards.json", CITY, "wards")
    (layer,), qgis = by_qgis([service(demo_server, "wards")], CITY, "wards")
    gdal = by_gdal(shapely.boundary(read(demo_server, "wards")), CITY, "wards", 0.5)
    assert (layer["valid"], layer["styled"]) == (True, True), layer["error"]
    # The names of the wards are in the pictures of two of them.
    assert agreement(native, qgis, 8) > 0.97
    assert agreement(gdal, native & near(gdal, 8)) > 0.97


@pytest.mark.parametrize(
    ("name", "zoom", "least"),
    [("squares", 12, 0.95), pytest.param("both", 13, 0.85, id="both, of which much is borders"), ("themselves", 16, 0.95)],
)
def test_parcels_have_the_same_colors_as_squares_and_as_themselves(demo_server: str, name: str, zoom: int, least: float) -> None:
    view = View(-92.2895, 34.7405, zoom)
    by_native(f"{demo_server}/styles/parcels.json", view, name)
    by_qgis([tiles(demo_server, "parcels")], view, name)
    assert alike(PICTURES / f"{name}.native.png", PICTURES / f"{name}.qgis.png") > least


def test_qgis_tells_the_categories_apart(demo_server: str) -> None:
    (layer,), _ = by_qgis([tiles(demo_server, "police_incidents")], DOWNTOWN, "categories")
    assert layer["rules"] > 5
    assert colors(PICTURES / "categories.qgis.png") >= 5


def test_qgis_reads_every_row_through_ogc_api_features(demo_server: str) -> None:
    layers, _ = by_qgis([items(demo_server, "planning_permits"), items(demo_server, "wards")], CITY, "items")
    for layer, id in zip(layers, ("planning_permits", "wards"), strict=True):
        assert layer["valid"], layer["error"]
        assert layer["features"] == told(demo_server, id)["rows"]


def test_gdal_reads_every_row_through_ogc_api_features(demo_server: str) -> None:
    for id in ("planning_permits", "neighborhoods"):
        assert len(read(demo_server, id)) == told(demo_server, id)["rows"] > 0
