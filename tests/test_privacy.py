"""What a row may show: each rule against a slow twin, and twice is the same as once."""

import csv
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tileserver.catalog import Layer
from tileserver.privacy import admit, block, blocks, snap

FIELDS = {
    "occurred_at": {"role": "time"},
    "offense": {"role": "category"},
    "address": {"role": "address"},
    "closed_at": {"type": "datetime"},
}


def incidents(privacy: dict[str, Any], timezone: str = "America/Chicago") -> Layer:
    return Layer.model_validate(
        {"id": "incidents", "title": "Incidents", "kind": "events", "timezone": timezone, "fields": FIELDS, "privacy": privacy}
    )


def rows(layer: Layer, *given: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"id": number, **row} for number, row in enumerate(given, 1)], layer.schema)


def points(*places: tuple[float, float] | None) -> Any:
    return pa.array(
        [None if place is None else shapely.to_wkb(shapely.Point(*place), byte_order=1) for place in places], pa.binary()
    )


def places(column: Any) -> list[tuple[float, float] | None]:
    shapes = [None if wkb is None else shapely.from_wkb(wkb) for wkb in column.to_pylist()]
    return [None if shape is None else (shape.x, shape.y) for shape in shapes]


# Values that are listed


def test_a_value_that_is_not_listed_is_withheld_and_so_is_none_at_all() -> None:
    layer = incidents({"include": {"offense": ["THEFT", "ARSON"]}})
    admitted = admit(
        layer, rows(layer, {"offense": "THEFT"}, {"offense": "RAPE"}, {"offense": None}, {"offense": "ARSON"}, {"offense": "theft"})
    )
    assert admitted.withheld.tolist() == [False, True, True, False, True]
    assert admitted.batch.column("id").to_pylist() == [1, 4]


def test_without_rules_everything_passes_unchanged() -> None:
    layer = incidents({})
    batch = rows(layer, {"offense": "RAPE", "address": "4318 WOODLAWN DR", "geometry": shapely.Point(1, 2).wkb}, {})
    admitted = admit(layer, batch)
    assert admitted.batch.equals(batch)
    assert not admitted.withheld.any()


# Positions


PLACES = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
METERS = st.floats(1, 100_000)


@settings(deadline=None)
@given(st.lists(st.none() | PLACES, max_size=6), METERS)
def test_snapping_again_changes_nothing(given: list[tuple[float, float] | None], meters: float) -> None:
    once = snap(points(*given), meters)
    assert snap(once, meters).equals(once)
    assert [place is None for place in places(once)] == [place is None for place in given]


@settings(deadline=None)
@given(PLACES, METERS)
def test_a_point_moves_to_the_centre_of_its_cell(place: tuple[float, float], meters: float) -> None:
    [found] = places(snap(points(place), meters))
    assert found is not None
    # The twin counts cells from the south pole and from the antimeridian, in plain arithmetic.
    rows = max(math.floor(180 * 111_320 / meters), 1)
    row = min(math.floor((place[1] + 90) / (180 / rows)), rows - 1)
    latitude = -90 + (row + 0.5) * 180 / rows
    cells = max(math.floor(360 * 111_320 * math.cos(math.radians(latitude)) / meters), 1)
    cell = min(math.floor((place[0] + 180) / (360 / cells)), cells - 1)
    assert found == pytest.approx((-180 + (cell + 0.5) * 360 / cells, latitude), abs=1e-6)
    assert -180 <= found[0] <= 180
    assert -90 <= found[1] <= 90


@settings(deadline=None)
@given(st.floats(-92.6, -92.1), st.floats(34.6, 34.9))
def test_in_a_city_no_point_moves_further_than_half_a_diagonal(longitude: float, latitude: float) -> None:
    [found] = places(snap(points((longitude, latitude)), 100))
    assert found is not None
    east = (found[0] - longitude) * 111_320 * math.cos(math.radians(latitude))
    assert math.hypot(east, (found[1] - latitude) * 111_320) < 100 * math.sqrt(2) / 2 + 0.2
    assert found == (round(found[0], 7), round(found[1], 7))


def test_what_is_not_a_point_has_no_cell_and_loses_its_position() -> None:
    line, tall, empty = shapely.LineString([(0, 0), (1, 1)]), shapely.Point(-92.3, 34.7, 120), shapely.Point()
    column = pa.array([line.wkb, tall.wkb, empty.wkb, b"\x01", None], pa.binary())
    flat = places(snap(points((-92.3, 34.7)), 100))
    assert places(snap(column, 100)) == [None, *flat, None, None, None]
    assert places(snap(column.slice(1, 2), 100)) == [*flat, None]


# Addresses

SHOWN = {
    "4318  WOODLAWN DR": "4300 block of WOODLAWN DR",
    "1 EATON DR": "0 block of EATON DR",
    "00123 MAIN ST": "100 block of MAIN ST",
    "14600 Hinson RD": "14600 block of Hinson RD",
    "4300 block of WOODLAWN DR": "4300 block of WOODLAWN DR",
    # streets that are numbers
    "2318 W 18TH ST": "2300 block of W 18TH ST",
    "1 1ST TEE WAY": "0 block of 1ST TEE WAY",
    "4725 W 21 ST": "4700 block of W 21 ST",
    "3511 NE 22 AVE": "3500 block of NE 22 AVE",
    "8109 INTERSTATE 30": "8100 block of INTERSTATE 30",
    "7123 I-30 STE 9": "7100 block of I-30",
    "10618 US HWY 160 E": "10600 block of US HWY 160 E",
    "1229 COUNTY RD 1005": "1200 block of COUNTY RD 1005",
    "123 A ST": "100 block of A ST",
    "100 AVENUE A": "100 block of AVENUE A",
    # intersections, which have no house number
    "W 12TH ST / S MAIN ST": "W 12TH ST / S MAIN ST",
    "W 11TH ST & DENNISON ST": "W 11TH ST & DENNISON ST",
    "6TH/LOUISIANA": "6TH/LOUISIANA",
    "AREA OF EAST 22ND": "AREA OF EAST 22ND",
    "123 MAIN ST & 456 ELM ST": "100 block of MAIN ST & ELM ST",
    # numbers with letters, fractions, ranges
    "5306B SOUTHBORO CT": "5300 block of SOUTHBORO CT",
    "16105-B CHENAL PKWY": "16100 block of CHENAL PKWY",
    "1507 1/2 W 12TH ST": "1500 block of W 12TH ST",
    "1507½ MAIN ST": "1500 block of MAIN ST",
    "12-14 ELM ST": "0 block of ELM ST",
    "10600-10620 COLONEL GLENN RD": "10600 block of COLONEL GLENN RD",
    "1020 & 1023 W 4TH ST": "1000 block of W 4TH ST",
    "800 - 899 BLOCK OF H STREET NW": "800 block of H STREET NW",
    "2800 BLK I-30 FRONTAGE RD.": "2800 block of I-30 FRONTAGE RD.",
    "１２３ MAIN ST": "100 block of MAIN ST",
    # apartments, suites, floors
    "1102 S WOODROW ST APT A": "1100 block of S WOODROW ST",
    "5315  STANLEY DR #75": "5300 block of STANLEY DR",
    "5606 PATTERSON RD, UNIT 919": "5600 block of PATTERSON RD",
    "5224  STANLEY DR APT28": "5200 block of STANLEY DR",
    "1801  LABETTE MANOR DR 7": "1800 block of LABETTE MANOR DR",
    "2123  LABETTE MANOR DR E21": "2100 block of LABETTE MANOR DR",
    "4801 W 13TH ST A": "4800 block of W 13TH ST",
    "9709  INTERSTATE 30  232": "9700 block of INTERSTATE 30",
    "4318 MAIN ST FLAT TWO": "4300 block of MAIN ST",
    "MAIN ST NO. FOUR": "MAIN ST",
    "MAIN ST REAR": "MAIN ST",
    "四三一八 MAIN ST": "MAIN ST",
    "SR4318 OAK ST": "OAK ST",
    "CR 4318 MAIN ST": "CR MAIN ST",
    "CR 4318": "CR 4318",
    "1200 FLAT ROCK RD": "1200 block of FLAT ROCK RD",
    "212 CENTER ST 6TH FL": "200 block of CENTER ST",
    "4205 S SHACKLEFORD RD #2A/B": "4200 block of S SHACKLEFORD RD",
    "17711 CHENAL PKY I-114": "17700 block of CHENAL PKY",
    "2600 w markham st, little rock, ar 72205, usa": "2600 block of w markham st, little rock, ar, usa",
    # numbers elsewhere
    "WPRKEXEC 7101 W 12TH ST #303": "WPRKEXEC W 12TH ST",
    "W126 N8585 WESTBROOK CROSSING": "WESTBROOK CROSSING",
    "APT 4, 123 MAIN ST": "MAIN ST",
    "ONE ALLIED DR": "ALLIED DR",
    "5015551234 MAIN": "MAIN",
}


@pytest.mark.parametrize(("given", "shown"), SHOWN.items())
def test_an_address_is_shown_as_its_block(given: str, shown: str) -> None:
    assert block(given) == shown
    assert block(shown) == shown


@pytest.mark.parametrize(
    "given",
    ["4318", "#12", "123 APT 4", "", "  ", "PO BOX 12", "P.O. Box 77, Little Rock", "ROUTE 1 BOX 188", "C/O J DOE, 12 OAK ST"],
)
def test_an_address_without_a_street_is_withheld(given: str) -> None:
    assert block(given) is None


STREETS = [
    "WOODLAWN DR",
    "MAIN",
    "W 12TH ST",
    "W 12 ST",
    "INTERSTATE 30",
    "HWY 10",
    "COUNTY RD 12",
    "N LOOP 1604 W",
    "ST CHARLES AVE",
    "AVENUE A",
    "S MAIN ST / W 12TH ST",
    "3RD & MAIN",
]
FORMS = """
{n} {s}|{n}  {s}|{n:05d} {s}|({n}) {s}|-{n} {s}|#{n} {s}|NO. {n} {s}|{n}B {s}|{n}-B {s}|{n}.5 {s}|{n} 1/2 {s}|{n}½ {s}|{n}'{m} {s}
{n}-{m} {s}|{n} - {m} {s}|{n} & {m} {s}|{n}/{m} {s}|{n} TO {m} {s}|{n}, {m} {s}|{n}; {s}|{n} {m} {s}|{n}E{m} {s}
{n} {s} {m}|{s} {n}|{s}, {n}|{s} #{n}|{s} NO {n}|{s} APT {n}|{s} UNIT {n}-{m}|{s} BLDG {n} STE {m}|{s} LOT {n}|{s} A-{n}
APT {m}, {n} {s}|LOT {n} {s}|THE OAKS, {n} {s}|THE OAKS {n} {s}|A{n} {s}|BLOCK {n} {s}|{n} BLK {s}|{n} BLOCK OF {m} {s}
{s} & {n} {s}|PO BOX {n}, {m} {s}
""".replace("\n", "|").strip("|")


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 99_999), st.integers(1, 99_999), st.sampled_from(STREETS), st.sampled_from(FORMS.split("|")))
def test_no_house_number_survives(number: int, other: int, street: str, form: str) -> None:
    shown = block(form.format(n=number, m=other, s=street)) or ""
    named = [int(text) for text in re.findall("[0-9]+", street)]
    told = [int(text) for text in re.findall("[0-9]+", shown)]
    assert all(value in named or (value % 100 == 0 and shown.startswith(f"{value} block of ")) for value in told)


WORDS = st.sampled_from(
    re.split(
        r"\s",
        """12 4318 1/2 ½ 12TH 1ST 3RD 12-14 123A ١٢ Ⅻ X12 A B N W NW ST DR AVE RD HWY I I-30 INTERSTATE US COUNTY LOOP MAIN OAK
APT UNIT # #7 STE3 FL FLOOR LOT BLDG BLOCK BLK OF , ; / & @ - AND AT TO NO ONE TWENTY-ONE PO P O BOX RR C/O . ( )""",
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=9).map(" ".join) | st.text(max_size=12))
def test_a_block_is_shown_as_itself(text: str) -> None:
    shown = block(text)
    assert shown is None or (shown and block(shown) == shown)


@given(st.lists(st.none() | st.lists(WORDS, max_size=6).map(" ".join) | st.text(max_size=12), max_size=8))
def test_a_column_of_addresses_is_shown_as_each_of_them(texts: list[str | None]) -> None:
    texts += [f"{number} {text}" for number, text in zip((0, 42, 4318, 999_999, 1_000_000), texts, strict=False)]
    assert blocks(pa.array(texts, pa.string())).to_pylist() == [None if text is None else block(text) for text in texts]


def test_no_address_of_the_city_keeps_its_house_number(city_files: Path) -> None:
    with (city_files / "little_rock" / "vcrime2017_2020.csv").open(encoding="utf-8-sig", newline="") as file:
        addresses = [row["Address"] for row in csv.DictReader(file)]
    assert len(addresses) == 20_375
    shown = {address: block(address) for address in set(addresses)}
    leading = [found for text in shown.values() if text and (found := re.match(r"\W*([0-9]+)(?!ST|ND|RD|TH|[0-9])", text))]
    assert len(leading) > 8_000
    assert all(int(found[1]) % 100 == 0 for found in leading)
    # Every number after that is a street's name.
    rest = [re.sub("^[0-9]+ block of ", "", text) for text in shown.values() if text]
    numbers = {word for text in rest for word in re.findall(r"\S*[0-9]\S*", text)}
    assert {word for word in numbers if not re.fullmatch("[0-9]{1,3}(ST|ND|RD|TH)", word, re.IGNORECASE)} == {
        "30",
        "630",
        "I-30",
        "21",
        "6TH/LOUISIANA",
    }


# Times


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_time_goes_back_to_the_begin_of_its_hour_or_day_on_the_wall_clock() -> None:
    given = {"occurred_at": instant("2020-07-01T04:59:59Z"), "closed_at": instant("2020-07-01T05:30:00Z")}
    hour, day = incidents({"time": "hour"}), incidents({"time": "day"})
    [by_hour] = admit(hour, rows(hour, given)).batch.to_pylist()
    [by_day] = admit(day, rows(day, given)).batch.to_pylist()
    assert (by_hour["occurred_at"], by_hour["closed_at"]) == (instant("2020-07-01T04:00:00Z"), instant("2020-07-01T05:00:00Z"))
    assert (by_day["occurred_at"], by_day["closed_at"]) == (instant("2020-06-30T05:00:00Z"), instant("2020-07-01T05:00:00Z"))


ZONES = st.sampled_from(["America/Chicago", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"])
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2029, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(max_examples=50, deadline=None)
@given(MOMENTS, ZONES)
def test_a_day_begins_when_the_clock_first_shows_its_date(moment: datetime, zone: str) -> None:
    layer = incidents({"time": "day"}, zone)
    [row] = admit(layer, rows(layer, {"occurred_at": moment})).batch.to_pylist()
    local = moment.astimezone(ZoneInfo(zone))
    assert row["occurred_at"] == local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)
    assert row["closed_at"] is None


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "offense": st.sampled_from(["THEFT", "RAPE", None]),
            "occurred_at": MOMENTS,
            "closed_at": st.none() | MOMENTS,
            "address": st.none() | st.lists(WORDS, max_size=6).map(" ".join),
            "geometry": st.none() | PLACES.map(lambda place: shapely.to_wkb(shapely.Point(*place), byte_order=1)),
        }
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(ROWS, ZONES, st.sampled_from(["hour", "day"]))
def test_what_has_passed_the_door_passes_it_unchanged(given: list[dict[str, Any]], zone: str, time: str) -> None:
    layer = incidents({"include": {"offense": ["THEFT"]}, "snap_meters": 250, "address": "block", "time": time}, zone)
    once = admit(layer, rows(layer, *given))
    again = admit(layer, once.batch)
    assert again.batch.equals(once.batch)
    assert not again.withheld.any()
    assert once.batch.schema.equals(layer.schema)
    assert np.count_nonzero(~once.withheld) == once.batch.num_rows
