"""Positions that another layer's rows give, by key or by address; and what a file without a column leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from test_ingest import STOPS, layer_of
from town import batch

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import IngestError
from tileserver.ingest import Ledger, ingest
from tileserver.ingest.addresses import normal, normalized
from tileserver.stores import Store, open_store

WARDS = Layer.model_validate(
    {
        "id": "wards",
        "title": "Wards",
        "kind": "areas",
        "fields": {"ward": {"role": "id", "type": "integer"}, "name": {"role": "name"}},
    }
)
LICENSES: dict[str, Any] = {"kind": "places", "position": "optional", "fields": {"number": {"role": "id"}, "business": {}}}
SQUARE, ELL = shapely.box(0, 0, 2, 2), shapely.Polygon([(10, 0), (20, 0), (20, 1), (11, 1), (11, 10), (10, 10)])


@pytest.fixture(params=["folder", "postgis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    address = str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("postgres")
    with open_store(address) as store:
        yield store


def licenses(**join: Any) -> Layer:
    return layer_of(LICENSES, ingest={"join": {"layer": "wards", "by": "Ward Key", **join}})


def bring(folder: Path, store: Store, layer: Layer, text: str, *, replace: bool = False, other: Layer | None = None) -> Ledger:
    (folder / "1.csv").write_text(text, "utf-8")
    return ingest(layer, store, ["1.csv"], folder=folder, home=folder, replace=replace, other=other)


def held(store: Store, layer: Layer) -> dict[str, dict[str, Any]]:
    return {row[layer.id_name]: row for rows in store.read(layer) for row in rows.to_pylist()}


def points(store: Store, layer: Layer) -> dict[str, shapely.Point | None]:
    return {id: row[GEOMETRY] and shapely.from_wkb(row[GEOMETRY]) for id, row in held(store, layer).items()}


@pytest.fixture
def wards(store: Store) -> Store:
    rows = [
        {"ward": 1, "name": "Centre", GEOMETRY: SQUARE},
        {"ward": 2, "name": "East", GEOMETRY: ELL},
        {"ward": 3, "name": "East", GEOMETRY: SQUARE},
        {"ward": 4, "name": "Nowhere", GEOMETRY: None},
        {"ward": 5, "name": "Centre", GEOMETRY: SQUARE},
    ]
    store.publish(WARDS, [batch(WARDS, rows)], replace=True)
    return store


def test_a_row_stands_in_the_area_that_its_key_names(wards: Store, tmp_path: Path) -> None:
    layer = licenses()
    text = 'number,business,Ward Key\na,Bakery,1\nb,Florist," 2.0"\nc,Pub,9\nd,Café,\ne,Kiosk,4\n'
    ledger = bring(tmp_path, wards, layer, text, other=WARDS, replace=True)
    found = points(wards, layer)
    assert SQUARE.contains(found["a"])
    assert ELL.contains(found["b"])
    assert [found[id] for id in "cde"] == [None] * 3
    assert ledger.joined == {"matched": 2, "unmatched": 3, "ambiguous": 0}
    assert ledger.read == ledger.published + ledger.unchanged == 5
    assert "Positions by the joined layer: 2 matched, 3 unmatched, 0 ambiguous." in ledger.in_words()


def test_a_key_at_two_places_gives_neither(wards: Store, tmp_path: Path) -> None:
    layer = licenses(to="name")
    ledger = bring(tmp_path, wards, layer, "number,Ward Key\na,East\nb,Centre\nc,centre\n", other=WARDS, replace=True)
    assert ledger.joined == {"matched": 1, "unmatched": 1, "ambiguous": 1}
    # Two rows at the same place are one place.
    assert {id: point is not None for id, point in points(wards, layer).items()} == {"a": False, "b": True, "c": False}


def test_where_positions_are_required_what_does_not_match_is_rejected(wards: Store, tmp_path: Path) -> None:
    layer = layer_of({**LICENSES, "position": "required"}, ingest={"join": {"layer": "wards", "by": "key"}})
    ledger = bring(tmp_path, wards, layer, "number,key\na,1\nb,9\nc\n", other=WARDS, replace=False)
    assert (ledger.read, ledger.rejected) == (3, 2)
    assert ledger.reasons == {"no position": 1, "fewer columns than the header has": 1}
    assert ledger.joined == {"matched": 1, "unmatched": 1, "ambiguous": 0}


def test_a_join_needs_its_column_and_its_layer(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store")) as store:
        with pytest.raises(IngestError, match="come from the layer wards, which was not given"):
            bring(tmp_path, store, licenses(), "number,Ward Key\na,1\n")
        with pytest.raises(IngestError, match="come from the layer wards, which holds nothing yet; ingest it first"):
            bring(tmp_path, store, licenses(), "number,Ward Key\na,1\n", other=WARDS)
        store.publish(WARDS, [])
        with pytest.raises(IngestError, match="no column Ward Key, which the layer file names as the key of its position"):
            bring(tmp_path, store, licenses(), "number\na\n", other=WARDS)
        assert bring(tmp_path, store, licenses(), "number,Ward Key\na,1\n", other=WARDS).joined["unmatched"] == 1


# Addresses

SAME = [
    ("123 N. Main Street", "123  North main st"),
    ("1600 Doctor Martin Luther King Boulevard", "1600 DOCTOR MARTIN LUTHER KING BLVD."),
    ("12 O'Fallon Av", "12 OFALLON AVENUE"),
    ("7 Plaza de la Peña", "7 PLAZA DE LA PENA"),
    ("400 W Capitol Ave, Ste 1700", "400 West Capitol Avenue STE 1700"),
]
DIFFERENT = [
    ("123 N Main St", "123 S Main St"),
    ("123 Main St", "125 Main St"),
    ("123 Main St", "123 Main Ave"),
    ("12 1st St", "121 St"),
    ("123 Main St", "123 Main St Apt 2"),
    ("100-102 Oak Dr", "100102 Oak Dr"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_are_one_address(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_addresses_stay_two(one: str, other: str) -> None:
    assert normal(one) != normal(other)


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=6))
def test_normal_addresses_stay_as_they_are(texts: list[str | None]) -> None:
    once = normalized(pa.array(texts, pa.string()))
    assert normalized(once).to_pylist() == once.to_pylist()
    assert once.to_pylist() == [None if text is None else normal(text) for text in texts]


def test_a_row_stands_at_its_address(tmp_path: Path) -> None:
    parcels = Layer.model_validate(
        {"id": "parcels", "title": "Parcels", "kind": "shapes", "fields": {"pin": {"role": "id"}, "site": {"role": "address"}}}
    )
    layer = layer_of(LICENSES, ingest={"join": {"layer": "parcels", "by": "address", "to": "site", "match": "address"}})
    with open_store(str(tmp_path / "store")) as store:
        rows: list[dict[str, Any]] = [
            {"pin": "1", "site": "12 N Main St", GEOMETRY: SQUARE},
            {"pin": "2", "site": None, GEOMETRY: ELL},
        ]
        store.publish(parcels, [batch(parcels, rows)])
        text = 'number,address\na,"12 North Main Street"\nb,14 N MAIN ST\nc,\n'
        assert bring(tmp_path, store, layer, text, other=parcels).joined == {"matched": 1, "unmatched": 2, "ambiguous": 0}
        found = points(store, layer)
    assert SQUARE.contains(found["a"])
    assert found["b"] is found["c"] is None


# Columns that a file does not have

FULL = "number,at,outcome,officers,lon,lat\n1,2020-01-02,WARNING,2,-92.3,34.7\n2,2020-01-02,ARREST,3,-92.3,34.7\n"


def test_a_file_without_a_column_leaves_its_values_as_they_were(store: Store, tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, store, layer, FULL, replace=True)
    text = "number,at,lon,lat\n2,2020-05-06,-92.3,34.7\n1,2020-01-02,-92.3,34.7\n3,2020-05-06,-92.3,34.7\n"
    ledger = bring(tmp_path, store, layer, text)
    rows = held(store, layer)
    assert [(rows[id]["outcome"], rows[id]["officers"]) for id in "123"] == [("WARNING", 2), ("ARREST", 3), (None, None)]
    assert rows["2"]["at"].month == 5
    assert (ledger.published, ledger.unchanged, ledger.kept) == (2, 1, 2)
    assert "Kept as they were, in columns that a file does not have: values of 2 rows." in ledger.in_words()


def test_an_empty_cell_empties_the_value(store: Store, tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, store, layer, FULL, replace=True)
    ledger = bring(tmp_path, store, layer, "number,at,outcome,lon,lat\n1,2020-01-02,,-92.3,34.7\n")
    assert (held(store, layer)["1"]["outcome"], held(store, layer)["1"]["officers"]) == (None, 2)
    assert ledger.kept == 1


def test_with_replace_the_files_are_all_there_is(store: Store, tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, store, layer, FULL, replace=True)
    ledger = bring(tmp_path, store, layer, "number,at,lon,lat\n1,2020-01-02,-92.3,34.7\n", replace=True)
    assert held(store, layer)["1"]["officers"] is None
    assert (ledger.kept, ledger.removed) == (0, 1)


def test_a_file_without_positions_leaves_them_as_they_were(store: Store, tmp_path: Path) -> None:
    layer = layer_of({**STOPS, "position": "optional"}, privacy={"include": {"outcome": ["WARNING", "ARREST"]}})
    bring(tmp_path, store, layer, FULL, replace=True)
    before = points(store, layer)
    ledger = bring(tmp_path, store, layer, "number,at,officers\n1,2020-01-02,7\n")
    # The kept outcome counts for what may be shown, too.
    assert (ledger.published, ledger.excluded) == (1, 0)
    assert points(store, layer) == before
    assert held(store, layer)["1"]["officers"] == 7


def test_a_field_that_is_new_in_the_layer_file_is_no_obstacle(store: Store, tmp_path: Path) -> None:
    bring(tmp_path, store, layer_of(STOPS), FULL, replace=True)
    declared: Any = STOPS["fields"]
    wider = layer_of({**STOPS, "fields": {**declared, "note": {}, "reviewed": {"type": "boolean"}}})
    ledger = bring(tmp_path, store, wider, "number,at,note,lon,lat\n1,2020-01-02,seen,-92.3,34.7\n")
    assert ledger.published == 1
    row = held(store, wider)["1"]
    assert (row["outcome"], row["note"], row["reviewed"]) == ("WARNING", "seen", None)
