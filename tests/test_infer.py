"""`tileserver new` on made files and tables: each guess, its reason, and that what it writes always loads."""

from __future__ import annotations

import asyncio
import csv
import tempfile
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from tileserver import catalog, indexer, infer
from tileserver.catalog import Layer
from tileserver.cli import main
from tileserver.errors import ConfigError, IngestError, StoreError
from tileserver.infer.draft import COLORED, title_of
from tileserver.infer.facts import words
from tileserver.infer.systems import candidates, nearest
from tileserver.ingest import ingest
from tileserver.ingest.ledger import Ledger
from tileserver.privacy import block
from tileserver.settings import load
from tileserver.stores import PostgisStore, open_store
from tileserver.styles.palette import COLORS

Table = dict[str, list[str]]


def written(folder: Path, columns: Table, name: str = "data.csv") -> Path:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return folder / name


def new(folder: Path, file: Path, id: str = "made") -> tuple[Layer, str, tuple[str, ...]]:
    """The layer, its file's text, and what was told."""
    (folder / "layers").mkdir(exist_ok=True)
    made = infer.new_from_file(id, str(file), folder / "layers")
    return catalog.load_layer(made.path), made.path.read_text("utf-8"), made.told


def of(folder: Path, **columns: list[Any]) -> tuple[Layer, str, tuple[str, ...]]:
    """The layer of a file with these columns, and positions beside them."""
    rows = len(next(iter(columns.values())))
    places = {
        "lon": [f"{-92.3 + row / 1000:.4f}" for row in range(rows)],
        "lat": [f"{34.7 + row / 2000:.4f}" for row in range(rows)],
    }
    return new(folder, written(folder, {**{name: [*map(str, values)] for name, values in columns.items()}, **places}))


def ingested(folder: Path, layer: Layer) -> Ledger:
    with open_store(str(folder / "data")) as store:
        return ingest(layer, store, (), folder=folder / "layers", home=folder)


def test_types_roles_and_titles_are_told_from_names_and_values(tmp_path: Path) -> None:
    rows = range(60)
    layer, text, _ = of(
        tmp_path,
        CaseNumber=[f"C-{row}" for row in rows],
        **{"Date Reported": [f"{row % 12 + 1}/{row % 28 + 1}/2024 13:{row:02d}" for row in rows]},
        Status=[("open", "closed")[row % 2] for row in rows],
        Depth=[row / 7 for row in rows],
        Lanes=[row % 5 for row in rows],
        Urgent=[("Y", "N")[row % 2] for row in rows],
        ZIP=[f"0{row % 3}138" for row in rows],
    )
    roles = {field.name: field.role for field in layer.fields.values() if field.role != "attribute"}
    assert roles == {"casenumber": "id", "date_reported": "time", "status": "category", "zip": "category"}
    types = {field.name: field.type for field in layer.fields.values()}
    assert types["depth"] == "number"
    assert types["lanes"] == "integer"
    assert types["urgent"] == "boolean"
    assert layer.kind == "events"
    assert layer.ingest.dates == ("%m/%d/%Y %H:%M",)
    assert "# open 30 · closed 30" in text
    assert layer.fields["date_reported"].title == "Date Reported"


def test_days_and_months_that_nothing_tells_apart_are_told(tmp_path: Path) -> None:
    _, text, told = of(tmp_path, opened=[f"{row % 12 + 1:02d}/{row % 11 + 1:02d}/2024" for row in range(40)])
    assert "these may be %d/%m/%Y too" in text
    assert any("these may be %d/%m/%Y too: check" in line for line in told)


def test_days_above_twelve_say_which_number_is_the_day(tmp_path: Path) -> None:
    layer, text, _ = of(tmp_path, opened=[f"{row % 28 + 1:02d}/{row % 12 + 1:02d}/2024" for row in range(56)])
    assert layer.ingest.dates == ("%d/%m/%Y",)
    assert "32 fit %d/%m/%Y alone, 24 would fit %m/%d/%Y too" in text


def test_iso_dates_beside_others_are_named_too(tmp_path: Path) -> None:
    iso = [f"2024-05-{row % 28 + 1:02d}" for row in range(30)]
    layer, _, _ = of(tmp_path, opened=iso, due=[f"{row % 12 + 1}/{row % 28 + 1}/24" for row in range(30)])
    assert set(layer.ingest.dates) == {"%Y-%m-%d", "%m/%d/%y"}
    assert ingested(tmp_path, layer).blanked == {}
    (tmp_path / "layers" / "made.toml").unlink()
    assert of(tmp_path, opened=iso)[0].ingest.dates == ()


def test_years_are_no_dates_and_updates_are_no_events(tmp_path: Path) -> None:
    rows = range(40)
    layer, _, _ = of(tmp_path, Year=[2020 + row % 3 for row in rows], LastUpdated=[f"2024-01-{row % 28 + 1:02d}" for row in rows])
    assert layer.kind == "places"
    assert layer.fields["year"].role == "category"
    assert layer.fields["lastupdated"].type == "datetime"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Owner Name", ["A", "B"]),
        ("APPLICANT", ["A", "B"]),
        ("victim_age", ["12", "50"]),
        ("DOB", ["1/2/1980", "2/3/1990"]),
        ("Home Phone", ["1", "2"]),
        ("e-mail", ["-", "-"]),
        ("reach", ["ann@example.org", "call me"]),
        ("remarks", ["it is broken, call (501) 555-0143 at night", "it is broken"]),
        ("number", ["078-05-1120", "219-09-9999"]),
        ("holder", ["John Smith", "Mary Jones"]),
        ("holder", ["SMITH, JOHN", "JONES, MARY"]),
        ("house_no", ["12", "14"]),
        ("Nombre", ["A", "B"]),
        ("Apellido paterno", ["A", "B"]),
        ("DENUNCIANTE", ["A", "B"]),
        ("solicitante", ["A", "B"]),
        ("Propietario", ["A", "B"]),
        ("Dueño", ["A", "B"]),
        ("contribuyente", ["A", "B"]),
        ("Teléfono", ["1", "2"]),
        ("correo electrónico", ["-", "+"]),
        ("Fecha de nacimiento", ["1/2/1980", "2/3/1990"]),
        ("cédula", ["1", "2"]),
        ("Eigentümer", ["A", "B"]),
        ("prénom", ["A", "B"]),
        ("Núm. exterior", ["12", "14"]),
        ("quien", ["José Pérez", "María Núñez"]),
        ("reporte", ["hay una fuga en Calle Rosales 123 desde ayer", "hay una fuga en la esquina"]),
        ("remarks", ["the pipe at 1205 Tupelo Ct leaks", "it is broken at 4 W 9th St"]),
    ],
)
def test_what_seems_to_be_personal_is_told_and_not_published(tmp_path: Path, name: str, values: list[str]) -> None:
    layer, text, told = of(tmp_path, **{name: values * 20})
    assert list(layer.fields) == []
    assert any(line.startswith(f"not published: {name}, which seems to hold") for line in told)
    assert all(value not in text for value in values if len(value) > 4)


def test_an_exact_address_is_published_by_block(tmp_path: Path) -> None:
    layer, text, _ = of(tmp_path, Where=[f"{100 + row} MAIN ST" for row in range(30)])
    assert [field.name for field in layer.addresses] == ["where"]
    assert layer.privacy.address == "block"
    assert "# snap_meters = 100" in text
    assert ingested(tmp_path, layer).published == 30


@pytest.mark.parametrize("name", ["Dirección", "Domicilio", "calle", "Adresse", "donde"])
def test_an_address_whose_number_comes_last_shows_its_street_alone(tmp_path: Path, name: str) -> None:
    layer, _, _ = of(tmp_path, **{name: [f"Calle Rosales {row + 100}" for row in range(30)]})
    assert len(layer.addresses) == 1
    assert layer.privacy.address == "block"
    assert block("Calle Rosales 123") == "Calle Rosales"


def test_keys_of_addresses_are_published_only_where_no_address_is_hidden(tmp_path: Path) -> None:
    keys = {"parcel_number": [*range(30)], "ADDRESS_ID": [*range(30)], "SSL": [f"0{row} 1" for row in range(30)]}
    layer, _, told = of(tmp_path, Where=[f"{100 + row} MAIN ST" for row in range(30)], **keys)
    assert list(layer.fields) == ["where"]
    assert "not published: SSL, which seems to hold keys that lead to the exact address" in told
    (tmp_path / "layers" / "made.toml").unlink()
    assert set(of(tmp_path, **keys)[0].fields) == {"parcel_number", "address_id", "ssl"}


def test_a_number_beside_a_street_is_a_house_number(tmp_path: Path) -> None:
    numbers = [*range(1, 31)]
    assert list(of(tmp_path, calle=["Rosales", "Juárez"] * 15, numero=numbers)[0].fields) == ["calle"]
    (tmp_path / "layers" / "made.toml").unlink()
    assert "numero" in of(tmp_path, tipo=["bache", "fuga"] * 15, numero=numbers)[0].fields


def test_spanish_columns_of_positions_are_x_and_y_and_titles_keep_their_accents(tmp_path: Path) -> None:
    places = {"Latitud": ["19.40", "19.41", "19.42"], "Longitud": ["-99.10", "-99.11", "-99.12"]}
    layer, text, _ = new(tmp_path, written(tmp_path, {"Descripción Del Año": ["a", "b", "c"], **places}))
    assert (layer.ingest.x, layer.ingest.y) == ("Longitud", "Latitud")
    assert layer.fields["descripcion_del_ano"].title == "Descripción Del Año"
    assert "seems to hold a part" not in text
    assert ingested(tmp_path, layer).published == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [("DateOccured", ["date", "occured"]), ("HTTPCode2", ["http", "code", "2"]), ("Dirección_ÁREA", ["dirección", "área"])],
)
def test_names_are_split_at_capitals_digits_and_signs_and_at_no_accent(name: str, told: list[str]) -> None:
    assert words(name) == told
    assert words(unicodedata.normalize("NFD", name)) == told


def test_decimal_commas_are_told_and_dates_with_dots_are_read(tmp_path: Path) -> None:
    rows = [f"{row % 28 + 1:02d}.{row % 12 + 1:02d}.2024;{row},5;34,{row};-92,{row}" for row in range(30)]
    (tmp_path / "data.csv").write_text("\n".join(["Datum;Betrag;lat;lon", *rows]))
    layer, text, told = new(tmp_path, tmp_path / "data.csv")
    assert layer.ingest.dates == ("%d.%m.%Y",)
    assert layer.fields["datum"].type == "datetime"
    assert any(line.startswith("betrag: numbers with a decimal comma, which cannot be read") for line in told)
    assert {"lat", "lon"} & set(layer.fields) == set()
    assert "# lat: seems to hold positions, with decimal commas" in text


def test_the_category_that_tells_most_comes_first_and_says_that_it_colours_the_map(tmp_path: Path) -> None:
    rows = range(6_000)
    layer, text, _ = of(
        tmp_path,
        ZIP=[72201 + row % 3 for row in rows],
        hash=["abcdef0123456789"[row % 4 :] for row in rows],
        description=[f"what happened {row % 187}" for row in rows],
        size=[("small", "large")[row % 2] for row in rows],
        offense_type=[("theft", "arson")[row % 2] for row in rows],
    )
    assert [field.name for field in layer.categories] == ["offense_type", "size", "zip", "description"]
    assert text.index("colours the map") < text.index("offense_type = {") < text.index("size         = {")
    assert text.count("colours the map") == 1


def test_what_has_few_values_on_most_rows_colours_before_what_has_many_or_says_nothing(tmp_path: Path) -> None:
    rows = range(2_000)
    layer, text, told = of(
        tmp_path,
        crime_type=[f"kind of crime {row % 90}" for row in rows],
        status=["closed" if row % 50 else "open" for row in rows],
        source=["phone" if row % 3 == 0 else "" for row in rows],
        code=[f"{row % 5}" for row in rows],
        region=["North", "South", "East"] * 666 + ["West"] * 2,
    )
    assert [field.name for field in layer.categories] == ["region", "code", "crime_type", "status"]
    assert any(line.startswith("colours: by region, the first category; its values colour 100% of the rows") for line in told)
    assert "move another one before it" in text


def test_as_many_values_are_taken_to_have_colours_as_styles_have() -> None:
    assert len(COLORS) == COLORED


@pytest.mark.parametrize(
    ("columns", "told_so"),
    [
        ({"Where": "100 MAIN ST: 38.6270/-90.1994"}, "both numbers in one column, which ingest cannot read: split it"),
        ({"lat": "38°37'38\"N", "lon": "90°11'58\"W"}, "in degrees and minutes, which ingest cannot read: write them as decimal"),
        ({"geom": '{"type": "Point", "coordinates": [-90.2, 38.6]}'}, "as GeoJSON, which ingest cannot read in a column: write"),
    ],
)
def test_positions_that_cannot_be_read_are_not_published_and_how_to_mend_them_is_told(
    tmp_path: Path, columns: dict[str, str], told_so: str
) -> None:
    file = written(tmp_path, {"kind": ["a", "b"] * 9, **{name: [value] * 18 for name, value in columns.items()}})
    layer, text, told = new(tmp_path, file)
    assert list(layer.fields) == ["kind"]
    assert any(line.startswith("not published: ") and told_so in line for line in told)
    assert any(line.startswith("to draw them, mend the columns of positions") for line in told)
    assert tomllib.loads(text)["position"] == "optional"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("({y}, {x})", "latitude first"),
        ("{y}, {x}", "latitude first"),
        ("100 MAIN ST\nST LOUIS, MO\n({y}, {x})", "latitude first"),
        ("{x},{y}", "longitude first"),
    ],
)
def test_both_numbers_in_one_column_are_a_geometry_whose_order_its_values_tell(tmp_path: Path, text: str, order: str) -> None:
    places = [text.format(x=-90.1 - row / 1000, y=38.6 + row / 1000) for row in range(18)]
    layer, _, told = new(tmp_path, written(tmp_path, {"kind": ["a", "b"] * 9, "Location 1": places}))
    assert (layer.ingest.geometry, list(layer.fields)) == ("Location 1", ["kind"])
    assert f"position: two numbers in one column, the {order}" in told
    assert layer.bounds[1] < 38.6 < layer.bounds[3]
    assert ingested(tmp_path, layer).published == 18


def test_other_layers_tell_the_order_of_pairs_that_could_be_either(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "other.toml").write_text('title = "O"\nkind = "places"\nbounds = [9.0, 53.3, 10.5, 53.8]\n')
    layer, _, told = new(tmp_path, written(tmp_path, {"kind": ["a", "b"] * 9, "wo": ["9.99, 53.55", "9.98, 53.56"] * 9}))
    assert "position: two numbers in one column, the longitude first" in told
    assert 53.5 < layer.bounds[1] < layer.bounds[3] < 53.6


@pytest.mark.parametrize(
    ("y", "x"),
    [
        *(("LAT", "LONG"), ("Latitude", "Long"), ("Lat_DD", "Long_DD"), ("GPS_LATITUDE_Y", "GPS_LONG_X")),
        *(("gps latitude", "Longitude_W"), ("Y", "X")),
    ],
)
def test_columns_of_longitude_and_latitude_are_known_by_whatever_name_and_not_published(tmp_path: Path, y: str, x: str) -> None:
    places = {y: [f"{36.1 + row / 1000:.5f}" for row in range(18)], x: [f"{-95.9 + row / 1000:.5f}" for row in range(18)]}
    layer, _, _ = new(tmp_path, written(tmp_path, {"kind": ["a", "b"] * 9, **places}))
    assert (layer.ingest.x, layer.ingest.y) == (x, y)
    assert list(layer.fields) == ["kind"]
    assert ingested(tmp_path, layer).published == 18


def test_columns_that_could_be_degrees_by_their_values_alone_are_proposed_and_not_published(tmp_path: Path) -> None:
    places = {"A": [f"{36.1 + row / 1000:.5f}" for row in range(18)], "B": [f"{-95.9 + row / 1000:.5f}" for row in range(18)]}
    layer, text, told = new(tmp_path, written(tmp_path, {"kind": ["a", "b"] * 9, **places}))
    assert (layer.ingest.x, list(layer.fields)) == (None, ["kind"])
    assert any("take the # from x and y in the layer file: B and A could be" in line for line in told)
    mended = text.replace("# x ", "x ").replace("# y ", "y ")
    (tmp_path / "layers" / "made.toml").write_text(mended)
    layer = catalog.load_layer(tmp_path / "layers" / "made.toml")
    with open_store(str(tmp_path / "data")) as store:
        assert ingest(layer, store, (), folder=tmp_path / "layers", home=tmp_path).without_position == 0


def test_a_column_that_says_a_coordinate_again_is_not_published(tmp_path: Path) -> None:
    layer, text, _ = of(
        tmp_path, depth=[row / 7 for row in range(30)], site_ns=[f"{34.7001 + row / 2000:.4f}" for row in range(30)]
    )
    assert list(layer.fields) == ["depth"]
    assert "# site_ns: says the exact position" in text


def test_the_column_that_nearly_tells_rows_apart_is_named(tmp_path: Path) -> None:
    tickets = ["", "", "SL-3", "SL-3", *(f"SL-{row}" for row in range(4, 100))]
    layer, text, told = of(tmp_path, **{"SL Ticket #": tickets})
    assert layer.id_field is None
    assert any(line.startswith("id: no column tells all rows apart") and "--replace" in line for line in told)
    assert any(line.startswith("id: SL Ticket # tells all rows apart but 1 duplicate and 2 empty") for line in told)
    assert "SL Ticket # tells all rows apart but" in text


def test_a_ticket_number_tells_rows_apart(tmp_path: Path) -> None:
    layer, _, told = of(tmp_path, **{"SL Ticket #": [f"SL-{row}" for row in range(30)]})
    assert layer.id_field is not None
    assert layer.id_field.title == "SL Ticket #"
    (tmp_path / "layers" / "made.toml").unlink()
    assert of(tmp_path, **{"# of lanes": [*range(30)]})[0].id_field is None
    assert not any("tells all rows apart" in line for line in told)


def test_values_in_several_spellings_are_told(tmp_path: Path) -> None:
    _, text, told = of(tmp_path, status=["Closed", "CLOSED", "Closed", "Open"] * 10)
    assert any(line.startswith('status: the same in several spellings: "Closed" 20 and "CLOSED" 10: check') for line in told)
    assert '"Open"' not in text


def test_why_money_with_dashes_stays_text_is_told(tmp_path: Path) -> None:
    layer, _, told = of(tmp_path, **{"Est. Cost": ["$ -" if row % 9 == 0 else f"$1,{row:03d}.50" for row in range(90)]})
    assert layer.fields["est_cost"].type == "text"
    assert any(line.startswith('est_cost: numbers, but for 10 values such as "$ -": it stays text') for line in told)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        *(("SL Ticket #", "SL Ticket #"), ("Est. Cost", "Est. Cost"), ("GPS_LONG_X", "GPS long x"), ("HTTPCode", "HTTP code")),
        *(("ACCOUNT_START_DATE", "Account start date"), ("zip code", "ZIP code"), ("#", "#")),
    ],
)
def test_titles_keep_the_files_own_spelling_and_known_abbreviations(name: str, title: str) -> None:
    assert title_of(name) == title


def test_times_on_an_unknown_clock_are_to_be_mended_before_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    file = written(tmp_path, {"opened": ["2024-05-06", "2024-05-07"]})
    made = infer.new_from_file("made", str(file), tmp_path / "layers")
    assert made.next_step.startswith("write the city's timezone into the layer file (it says UTC")
    file = written(tmp_path, {"lanes": ["1", "2"]})
    assert infer.new_from_file("other", str(file), tmp_path / "layers").next_step == "tileserver ingest other"


def test_exact_positions_within_a_text_are_not_published_beside_those_of_the_map(tmp_path: Path) -> None:
    layer, _, told = of(tmp_path, Where=[f"{100 + row} MAIN ST\n(34.7{row:03d}, -92.3{row:03d})" for row in range(30)])
    assert list(layer.fields) == []
    assert "not published: Where, which seems to hold positions, exact ones" in told


def test_addresses_alone_may_be_joined_to_a_layer_that_has_positions(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "parcels.toml").write_text(
        'title = "P"\nkind = "places"\n[fields]\nid = { role = "id" }\naddress = { role = "address" }\n'
    )
    places = {"id": ["1", "2"], "address": ["100 N MAIN ST", "200 N MAIN ST"], "lon": ["-90.2", "-90.3"], "lat": ["38.6", "38.7"]}
    parcels = catalog.load_layer(tmp_path / "layers" / "parcels.toml")
    columns = {"Type": ["a", "b"] * 9, "Site Address": ["100 North Main Street", "200 N. Main"] * 9}
    layer, text, told = new(tmp_path, written(tmp_path, columns))
    assert any("take positions from another layer that has one for each Site Address: [ingest.join]" in line for line in told)
    assert layer.position == "optional"
    join = "\n".join(line.removeprefix("# ") for line in text[text.index("# [ingest.join]") :].splitlines())
    (tmp_path / "layers" / "made.toml").write_text(text[: text.index("# [ingest.join]")] + join)
    layer = catalog.load_layer(tmp_path / "layers" / "made.toml")
    with open_store(str(tmp_path / "data")) as store:
        ingest(parcels, store, [str(written(tmp_path, places, "parcels.csv"))], folder=tmp_path, home=tmp_path)
        ledger = ingest(layer, store, (), folder=tmp_path / "layers", home=tmp_path / "made", other=parcels)
    assert ledger.joined["matched"] > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Requests of the city,,,\nMay 2024,,,\n,,,\nid,kind,lat,lon\n1,a,38.6,-90.2\n", "a title, and .* stand in line 4; delete"),
        ("Requests of the city\nid;kind;lat;lon\n1;a;38.6;-90.2\n", "a title, and .* stand in line 2; delete"),
        (
            "1,2024-01-01,38.61,-90.2\n2,2024-01-02,38.62,-90.3\n",
            "first line seems to hold values: 1, 2024-01-01, 38.61, -90.2; write",
        ),
        ("<!DOCTYPE html>\n<html><p>Sign in</p></html>\n", "is a web page or XML, and no table; download"),
    ],
)
def test_a_file_that_does_not_begin_with_the_names_of_its_columns_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(IngestError, match=told):
        new(tmp_path, tmp_path / "data.csv")
    assert list((tmp_path / "layers").iterdir()) == []


def test_utf_16_without_a_mark_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,lat,lon\n1,38.6,-90.2\n", "utf-16-le")
    with pytest.raises(IngestError, match="UTF-16 without a mark that says so; save it as UTF-8"):
        new(tmp_path, tmp_path / "data.csv")


def test_a_line_that_tells_excel_the_delimiter_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("sep=;\nn;lat;lon\n1;38.6;-90.2\n2;38.7;-90.3\n")
    layer, _, _ = new(tmp_path, tmp_path / "data.csv")
    assert (layer.ingest.x, list(layer.fields)) == ("lon", ["n"])
    assert ingested(tmp_path, layer).published == 2


@pytest.mark.parametrize(
    ("name", "first", "step", "unit"),
    [
        ("timestamp", 1_704_067_200, 3_600, "seconds since 1970"),
        ("reported_at", 1_704_067_200_000, 3_600_000, "milliseconds since 1970"),
        ("opened", 45_300, 1, "days as spreadsheets count them"),
    ],
)
def test_times_that_are_counted_are_told_and_how_to_write_them(tmp_path: Path, name: str, first: int, step: int, unit: str) -> None:
    _, _, told = of(tmp_path, **{name: [first + step * row for row in range(30)]})
    assert f"{name}: times in {unit}, it seems, which ingest cannot read: check, and write dates like 2024-01-31 10:00" in told
    assert any(line.startswith("kind: places (points, and no column holds dates that ingest can read)") for line in told)


def test_dates_of_eight_digits_are_dates_whatever_their_column_is_called(tmp_path: Path) -> None:
    days = [f"202401{row % 28 + 1:02d}" for row in range(60)]
    layer, _, _ = of(tmp_path, reported=days, number=[f"2024{row:04d}" for row in range(60)])
    assert ingested(tmp_path, layer).rejected == 0
    assert layer.time_field is not None
    assert (layer.time_field.name, layer.fields["number"].role) == ("reported", "id")


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("kind,kind,lat,lon,\na,b,38.6,-90.2,\na,b,38.6,-90.3,\n")
    _, _, told = new(tmp_path, tmp_path / "data.csv")
    assert any(line.startswith("not published: kind, since several columns are called so") for line in told)
    assert any(line.startswith("not published: columns without a name") for line in told)


def test_free_text_is_told_and_not_published(tmp_path: Path) -> None:
    layer, _, told = of(tmp_path, DETAILS=[f"number {row} closed by somebody on that day" for row in range(30)], n=[*range(30)])
    assert list(layer.fields) == ["n"]
    assert any(line.startswith("not published: DETAILS, which seems to hold free text") for line in told)


def test_codes_that_stay_text_lose_nothing_and_say_nothing_of_a_loss(tmp_path: Path) -> None:
    layer, text, told = of(tmp_path, zip=[*range(72_201, 72_400), "unknown"])
    assert layer.fields["zip"].type == "text"
    assert "no numbers" not in text
    assert not any("leave out" in line for line in told)


def test_events_at_an_exact_address_are_moved_off_it(tmp_path: Path) -> None:
    days = [f"2024-05-{row % 28 + 1:02d}" for row in range(30)]
    layer, _, _ = of(tmp_path, Where=[f"{100 + row} MAIN ST" for row in range(30)], reported=days)
    assert (layer.kind, layer.privacy.address, layer.privacy.snap_meters) == ("events", "block", 100)


def test_rows_without_position_or_at_zero_make_it_optional(tmp_path: Path) -> None:
    file = written(tmp_path, {"n": ["1", "2", "3", "4"], "x": ["-92.3", "0", "", "-92.31"], "y": ["34.7", "0", "", "34.71"]})
    layer, _, told = new(tmp_path, file)
    assert layer.position == "optional"
    assert any(line.startswith("2 rows have no position") for line in told)
    assert ingested(tmp_path, layer).rejected == 0


def test_latitudes_in_a_column_called_longitude_are_noticed(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"Longitude": [f"{34.7 + row / 100}" for row in range(9)], "Latitude": [f"{-92.3 + row / 100}" for row in range(9)]},
    )
    layer, text, _ = new(tmp_path, file)
    assert (layer.ingest.x, layer.ingest.y) == ("Latitude", "Longitude")
    assert "names say the opposite" in text
    assert ingested(tmp_path, layer).published == 9


def test_a_column_of_wkt_gives_shapes(tmp_path: Path) -> None:
    boxes = [shapely.box(row / 100, 0, (row + 1) / 100, 0.01).wkt for row in range(5)]
    layer, _, _ = new(tmp_path, written(tmp_path, {"ward_id": [*"12345"], "outline": boxes}))
    assert layer.kind == "areas"
    assert layer.ingest.geometry == "outline"
    assert list(layer.fields) == ["ward_id"]
    assert ingested(tmp_path, layer).published == 5


def test_a_geoparquet_file_brings_its_own_coordinate_system(tmp_path: Path) -> None:
    points = shapely.points(np.column_stack((np.linspace(370_000, 371_000, 40), np.linspace(3_840_000, 3_841_000, 40))))
    table = pa.table({"tree": [f"T{row}" for row in range(40)], "geometry": shapely.to_wkb(points)})
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
    }
    geo["columns"]["geometry"]["crs"] = {"id": {"authority": "EPSG", "code": 26915}}  # type: ignore[index] # nested JSON
    pq.write_table(table.replace_schema_metadata({"geo": orjson.dumps(geo)}), tmp_path / "trees.parquet")
    layer, text, _ = new(tmp_path, tmp_path / "trees.parquet")
    assert layer.ingest.crs is None
    assert "EPSG:26915" in text
    assert -95 < layer.bounds[0] < layer.bounds[2] < -94
    assert ingested(tmp_path, layer).published == 40


def test_a_system_is_found_by_where_it_leads(tmp_path: Path) -> None:
    x, y = Transformer.from_crs("OGC:CRS84", "EPSG:3433", always_xy=True).transform(-92.3, 34.74)
    found = candidates(x, y, [(-92.6, 34.6, -92.1, 34.9)])
    assert "EPSG:3433" in [each.code for each in found]
    assert all(abs(each.longitude + 92.3) < 0.4 for each in found)
    assert candidates(1e12, 1e12, [(-92.6, 34.6, -92.1, 34.9)]) == []


def test_a_place_in_the_city_orders_the_systems_by_where_they_lead(tmp_path: Path) -> None:
    x, y = Transformer.from_crs("OGC:CRS84", "EPSG:32614", always_xy=True).transform(-99.13, 19.43)
    found = nearest(x, y, (-99.2, 19.4))
    assert found[0].code == "EPSG:32614" or "UTM zone 14N" in found[0].name
    assert all(abs(each.longitude + 99.2) < 1 and abs(each.latitude - 19.4) < 0.91 for each in found)
    assert nearest(x, y, (10.0, 50.0)) == []


def test_the_command_takes_a_place_west_of_greenwich(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "layers").mkdir()
    x, y = Transformer.from_crs("OGC:CRS84", "EPSG:3433", always_xy=True).transform(-92.3, 34.74)
    file = written(tmp_path, {"x": [f"{x + row:.1f}" for row in range(9)], "y": [f"{y + row:.1f}" for row in range(9)]})
    command = ["new", "made", str(file), "--layers", str(tmp_path / "layers"), "--store", str(tmp_path / "data"), "--near"]
    with pytest.raises(SystemExit):
        main([*command, "34.7,-92.3"])
    assert "the longitude comes first" in capsys.readouterr().err
    assert main([*command, "-92.3,34.7"]) == 0
    assert catalog.load_layer(tmp_path / "layers" / "made.toml").ingest.crs == "EPSG:3433"
    assert "within 100 km of -92.3,34.7" in capsys.readouterr().out


def test_the_clock_is_that_of_the_layers_beside(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "other.toml").write_text('title = "O"\nkind = "places"\ntimezone = "America/Denver"\n')
    (tmp_path / "layers" / "broken.toml").write_text("title = ")
    assert of(tmp_path, n=[1, 2])[0].timezone == "America/Denver"
    (tmp_path / "layers" / "made.toml").unlink()
    (tmp_path / "layers" / "other.toml").unlink()
    layer, text, told = of(tmp_path, n=[1, 2])
    assert layer.timezone == "America/Chicago"
    assert "a guess from the position, check" in text
    assert any(line.startswith("timezone: America/Chicago: a guess") for line in told)


@pytest.mark.parametrize(
    ("longitude", "latitude", "zone"),
    [
        *((-122.3, 47.6, "America/Los_Angeles"), (-104.9, 39.7, "America/Denver"), (-112.0, 33.4, "America/Phoenix")),
        *((-77.0, 38.9, "America/New_York"), (-100.3, 25.67, "UTC"), (13.4, 52.5, "UTC")),
    ],
)
def test_the_clock_is_guessed_in_the_united_states_alone(tmp_path: Path, longitude: float, latitude: float, zone: str) -> None:
    file = written(tmp_path, {"n": ["1", "2"], "lon": [str(longitude)] * 2, "lat": [str(latitude)] * 2})
    assert new(tmp_path, file)[0].timezone == zone


def test_a_layer_file_that_is_there_is_not_changed(tmp_path: Path) -> None:
    _, text, _ = of(tmp_path, n=[1, 2])
    with pytest.raises(ConfigError, match="remove it first"):
        of(tmp_path, other=[1, 2])
    assert (tmp_path / "layers" / "made.toml").read_text() == text
    with pytest.raises(ConfigError, match="a layer's id is of small letters"):
        infer.new_from_file("Two Words", str(tmp_path / "data.csv"), tmp_path / "layers")
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(IngestError, match="holds no rows"):
        new(tmp_path, tmp_path / "empty.csv", "empty")
    assert not (tmp_path / "layers" / "empty.toml").exists()


def test_only_the_first_rows_of_a_large_file_are_looked_at_and_that_is_said(tmp_path: Path) -> None:
    rows = 100_001
    (tmp_path / "data.csv").write_text("n,lon,lat\n" + "".join(f"{row},-92.3,34.7\n" for row in range(rows)))
    _, text, _ = new(tmp_path, tmp_path / "data.csv")
    assert "100,000 rows, the first ones of more" in text


ODD_NAMES = (
    *("id", "ID", "Id", "geometry", "sum_x", "cluster", "point_count", "xmin", "ctid", "rename", "name", "date", "owner", "1st"),
    *("", " ", "a b", "A_B", "a-b", "a.b", 'say "x"', "it's", "Größe", "名", "#", "[x]", "\x7f", "e=mc", "x", "y", "lon", "lat"),
)
NAMES = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.sampled_from(ODD_NAMES))
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["", "1", "2.5", "2024-05-06", "5/6/2024", "31/12/2024 10:00", "NA", "yes", "-92.3", "34.7", "POINT (1 2)", "0", "1e400"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=7))
    columns = [st.sampled_from(draw(st.lists(VALUES, min_size=1, max_size=4))) for _ in names]
    return names, draw(st.lists(st.tuples(*columns).map(list), min_size=1, max_size=30))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_whatever_the_names_and_values_the_layer_loads_and_only_what_was_told_is_lost(
    table: tuple[list[str], list[list[str]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([table[0], *table[1]])
        try:
            layer, text, told = new(folder, folder / "data.csv")
        except IngestError:  # such as a header of spaces alone: no CSV at all
            assert not (folder / "layers" / "made.toml").exists()
            return
        assert tomllib.loads(text)["title"] == "Made"
        if any(line.startswith("ingest cannot read it so") or "no system" in line or "systems lead" in line for line in told):
            return
        ledger = ingested(folder, layer)
        for reason, count in ledger.reasons.items():
            assert f"ingest will reject {count:,} of {ledger.read:,} rows: {reason}" in told


TREES = """
DROP SCHEMA IF EXISTS infer CASCADE;
CREATE SCHEMA infer;
CREATE TABLE infer.trees (
    tree_id int PRIMARY KEY, species varchar(30), planted date, height numeric, owner_name text, "Zip Code" text, sum_x int,
    street_address text, "odd
name" timestamp DEFAULT now(), geom geometry(Point, 26915)
);
COMMENT ON TABLE infer.trees IS 'Trees of the "city".';
COMMENT ON COLUMN infer.trees.height IS 'Meters, measured in 2024.';
INSERT INTO infer.trees (tree_id, species, planted, height, owner_name, "Zip Code", sum_x, street_address, geom)
SELECT n, (ARRAY['oak', 'elm'])[n % 2 + 1], date '2020-01-01' + n, n / 3.0, 'Ann', '72201', n, n || ' MAIN ST',
       ST_SetSRID(ST_MakePoint(566000 + n, 3845000 + n), 26915)
FROM generate_series(1, 60) AS n;
CREATE TABLE infer.secret (id int PRIMARY KEY, geom geometry(Point, 4326));
ALTER TABLE infer.secret ENABLE ROW LEVEL SECURITY;
"""


async def _execute(address: str, statements: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


def test_a_table_is_described_from_the_catalog_and_served_as_it_is(postgres: str, tmp_path: Path) -> None:
    asyncio.run(_execute(postgres, TREES))
    (tmp_path / "layers").mkdir()
    with PostgisStore(postgres) as store:
        made = infer.new_from_table("trees", "infer.trees", store, tmp_path / "layers")
        layer = catalog.load_layer(made.path)
        assert layer.table_name == ("infer", "trees")
        assert layer.description == 'Trees of the "city".'
        assert layer.id_field is not None
        assert layer.id_field.type == "integer"
        assert [field.name for field in layer.categories] == ["species"]
        assert layer.fields["height"].description == "Meters, measured in 2024."
        assert layer.fields["planted"].type == "datetime"
        assert layer.privacy.address == "block"
        assert {"owner_name", "Zip Code", "sum_x", "odd\nname"} & set(layer.fields) == set()
        settings = load(store=postgres, layers=tmp_path / "layers", snapshots=tmp_path / "snapshots")
        assert sum(batch.num_rows for batch in store.read(layer)) == 60
        indexer.refresh(layer, store, settings)
    assert made.next_step == "tileserver serve"


def test_a_table_that_is_not_for_every_reader_or_not_there_has_no_layer(postgres: str, tmp_path: Path) -> None:
    asyncio.run(_execute(postgres, TREES))
    (tmp_path / "layers").mkdir()
    with PostgisStore(postgres) as store:
        with pytest.raises(StoreError, match="row-level security"):
            infer.new_from_table("secret", "infer.secret", store, tmp_path / "layers")
        with pytest.raises(StoreError, match=r"no table or view infer\.gone"):
            infer.new_from_table("gone", "infer.gone", store, tmp_path / "layers")
    assert list((tmp_path / "layers").iterdir()) == []


def test_the_command_says_what_it_decided_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres: str
) -> None:
    asyncio.run(_execute(postgres, TREES))
    (tmp_path / "layers").mkdir()
    file = written(tmp_path, {"opened": ["2024-05-06"], "lon": ["-92.3"], "lat": ["34.7"]})
    layers = ["--layers", str(tmp_path / "layers")]
    assert main(["new", "potholes", str(file), *layers]) == 0
    assert "Look it over, then: tileserver ingest potholes" in capsys.readouterr().out
    assert main(["new", "trees", "infer.trees", *layers, "--store", postgres]) == 0
    assert "id: tree_id" in capsys.readouterr().out
    assert main(["new", "trees", str(file), *layers]) == 2
    assert "is there already" in capsys.readouterr().err
