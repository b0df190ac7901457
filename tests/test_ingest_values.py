"""Text becomes typed values, dates and positions; what cannot be read is told and never guessed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from test_ingest import bring, held, layer_of, rejects

from tileserver.errors import IngestError
from tileserver.ingest import values
from tileserver.ingest.dates import FIRST_YEAR, LAST_YEAR, instants
from tileserver.ingest.values import MISSING, values_of


def read(type: str, *texts: str | None) -> list[Any]:
    """The values of one column of a type; "?" where a text cannot be read."""
    layer = layer_of({"kind": "places", "fields": {"value": {"type": type}}})
    values = values_of(layer, layer.fields["value"], pa.array(texts, pa.string()))
    assert values.column.type == layer.fields["value"].arrow_type
    return ["?" if bad else value for value, bad in zip(values.column.to_pylist(), values.unreadable.tolist(), strict=True)]


# Values


@pytest.mark.parametrize("type", ["text", "integer", "number", "boolean", "datetime"])
def test_what_stands_for_no_value_is_null_in_any_column(type: str) -> None:
    assert read(type, None, " ", *MISSING, *(f"\t{text} \u00a0" for text in MISSING)) == [None] * (2 + 2 * len(MISSING))


def test_text_is_trimmed_and_kept_as_it_is_inside() -> None:
    assert read("text", "  4318  WOODLAWN DR ", "n/a", "none", "0", "a\nb") == ["4318  WOODLAWN DR", "n/a", "none", "0", "a\nb"]


def test_integers_may_have_a_point_a_sign_and_separators() -> None:
    assert read("integer", "5", " 5.0 ", "5.", "+5", "-05", "1,234", "-1,234,567.00", "999999999999999999") == [
        *(5, 5, 5, 5, -5, 1234, -1_234_567, 999_999_999_999_999_999),
    ]
    unreadable = ["5.5", "1,23", "12,345,6", ",123", "5e3", "five", "0x5", "5-", "--5", "9999999999999999999", "٥"]
    assert read("integer", *unreadable) == ["?"] * len(unreadable)


def test_numbers_are_finite_decimals() -> None:
    assert read("number", "5", ".5", "-5.", "+1e3", "1,234.5", "2.5E-2", "-0", "0.1") == [5, 0.5, -5, 1000, 1234.5, 0.025, 0, 0.1]
    assert str(read("number", "-0")[0]) == "0.0"
    assert read("number", "$4,737.50", "-$5", "$ 12") == [4737.5, -5, 12]
    unreadable = ["$", "5$", "5%", "1e400", "NaN", "inf", "1,5", ".", "1.2.3", "5 000"]
    assert read("number", *unreadable) == ["?"] * len(unreadable)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17).map(float))
def test_a_number_reads_back_as_it_was_written(value: float) -> None:
    assert read("number", repr(value), str(value)) == [value, value]


def test_booleans_are_the_usual_words() -> None:
    assert (
        read("boolean", "yes", "TRUE", "1", "Y", "t", "no", "False", "0", "n", "maybe", "2") == [True] * 5 + [False] * 4 + ["?"] * 2
    )


NUMBER_LIKE = st.text(st.sampled_from("0123456789+-.,e$ "), max_size=8) | st.from_regex(
    r"-?[0-9]{1,20}(\\.[0-9]{0,20})?", fullmatch=True
)


@given(st.lists(st.none() | NUMBER_LIKE, max_size=8))
def test_plain_numbers_are_read_as_all_others_are(texts: list[str | None]) -> None:
    column = values.trimmed(pa.array(texts, pa.string()))
    assert values.integers(column).to_pylist() == values.any_integers(column).to_pylist()
    assert values.numbers(column).to_pylist() == values.any_numbers(column).to_pylist()


# Dates


def moments(texts: list[str], *formats: str, zone: str = "UTC") -> list[datetime | None]:
    found: list[datetime | None] = instants(pa.array(texts, pa.string()), formats, ZoneInfo(zone)).to_pylist()
    return found


def told(*texts: str | None) -> list[datetime | None]:
    return [None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def test_dates_are_read_with_and_without_padding() -> None:
    assert moments(
        ["1/2/20 3:04", "01/02/2020 03:04", "1/2/2020 3:04", "12/31/68 23:59", "1/1/69 0:00"], "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M"
    ) == told("2020-01-02T03:04", "2020-01-02T03:04", "2020-01-02T03:04", "2068-12-31T23:59", "1969-01-01T00:00")


def test_formats_are_tried_in_their_order() -> None:
    assert moments(["3/4/2020", "13/4/2020"], "%m/%d/%Y", "%d/%m/%Y") == told("2020-03-04", "2020-04-13")
    assert moments(["3/4/2020", "13/4/2020"], "%d/%m/%Y", "%m/%d/%Y") == told("2020-04-03", "2020-04-13")
    assert moments(["Mar 4, 2020", "20200305", "3/6/2020"], "%b %d, %Y", "%Y%m%d", "%m/%d/%Y") == told(
        "2020-03-04", "2020-03-05", "2020-03-06"
    )


def test_what_is_no_date_is_not_guessed() -> None:
    assert moments(["2/30/2020", "2/29/2019", "13/1/2020", "1/1/2020 24:00", "1/1/20", "2020-01-01", " "], "%m/%d/%Y") == [None] * 7
    assert moments(["1/1/2020", "2020", "soon", "2020-02-30", "0001-01-01", "9999-12-31"]) == [None] * 6


def test_without_formats_dates_are_iso_8601() -> None:
    assert moments(
        ["2020-07-01", "2020-07-01T12:30", "2020-07-01 12:30:15.5", "2020-07-01T12:30Z"], zone="America/Chicago"
    ) == told("2020-07-01T05:00", "2020-07-01T17:30", "2020-07-01T17:30:15.500000", "2020-07-01T12:30")


ISO = st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.000", "%Y-%m-%dT%H:%M:%S.5"])


@given(st.lists(st.tuples(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)), ISO, st.sampled_from("0149")), max_size=8))
def test_iso_dates_are_read_as_datetime_reads_them(written: list[tuple[datetime, str, str]]) -> None:
    def slow(text: str) -> datetime | None:
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            return None
        return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None

    # Some are no dates: a digit is another.
    texts = [moment.strftime(form).rjust(len(form), "0").replace("2", digit) for moment, form, digit in written]
    assert moments(texts) == [slow(text) for text in texts]


def test_an_offset_is_respected_beside_any_format() -> None:
    texts = ["7/1/2020 12:00", "2020-07-01T12:00+02:00", "2020-07-01T12:00", "7/1/2020 12:00 +0200"]
    found = moments(texts, "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M %z", zone="America/Chicago")
    assert found == told("2020-07-01T17:00", "2020-07-01T10:00", None, "2020-07-01T10:00")


def test_an_hour_that_the_clock_shows_twice_is_the_first() -> None:
    assert moments(["11/1/2020 1:30", "3/8/2020 2:30"], "%m/%d/%Y %H:%M", zone="America/Chicago") == told(
        "2020-11-01T06:30", "2020-03-08T08:30"
    )


FORMATS = [
    "%m/%d/%Y %H:%M",
    "%m/%d/%y",
    "%Y-%m-%d %H:%M:%S",
    "%d.%m.%Y",
    "%d %m  %Y at %H h",
    "%Y%m%d",
    "%b %d %Y",
    "%H:%M",
    "%m/%d/%Y %H:%M",
]
NUMBERS = st.tuples(
    st.integers(1960, 2039), st.integers(0, 14), st.integers(0, 33), st.integers(0, 25), st.integers(0, 61), st.integers(0, 61)
)


@st.composite
def texts_of_dates(draw: st.DrawFn) -> str:
    """Numbers set into one of the formats, padded in one of three ways, right or wrong."""
    text = draw(st.sampled_from(FORMATS))
    year, *others = draw(NUMBERS)
    for directive, number in zip("mdHMS", others, strict=True):
        text = text.replace(f"%{directive}", draw(st.sampled_from(["{}", "{:02d}", "{:2d}"])).format(number))
    return text.replace("%Y", str(year)).replace("%y", f"{year % 100:02d}").replace("%b", "Mar")


@settings(deadline=None)
@given(st.lists(texts_of_dates(), max_size=8), st.lists(st.sampled_from(FORMATS), min_size=1, max_size=3))
def test_dates_are_read_as_strptime_reads_them(texts: list[str], formats: list[str]) -> None:
    def slow(text: str) -> datetime | None:
        for each in formats:
            try:
                return datetime.strptime(text, each).replace(tzinfo=UTC)
            except ValueError:
                continue
        return None

    assert moments(texts, *formats) == [slow(text) for text in texts]


# Positions in columns

WELLS: dict[str, Any] = {"kind": "places", "bounds": (-93, 34, -92, 35), "fields": {"name": {"role": "id"}}}
POSITIONS = """name,lon,lat
a,-92.3,34.7
b,,
c,NA,34.7
d,0,0
e,0.0,-0
f,west,34.7
g,34.7,-92.3
h,-93,35
i,-92.3,1e999
j,0,34.7
k,-452.3,34.7
"""


def test_positions_are_required_unless_the_layer_says_otherwise(tmp_path: Path) -> None:
    layer = layer_of(WELLS)
    bring(tmp_path, layer, POSITIONS)
    assert [(row["name"], row["geometry"]) for row in held(tmp_path, layer)] == [
        ("a", "POINT (-92.3 34.7)"),
        ("h", "POINT (-93 35)"),
    ]
    assert [(line, reason) for _, line, reason in rejects(tmp_path)] == [
        (3, "no position"),
        (4, "no position"),
        (5, "position 0,0"),
        (6, "position 0,0"),
        (7, "a position that cannot be read"),
        (8, "outside the bounds"),
        (10, "a position that cannot be read"),
        (11, "outside the bounds"),
        (12, "outside the bounds"),
    ]


def test_where_positions_are_optional_only_those_outside_are_rejected(tmp_path: Path) -> None:
    layer = layer_of(WELLS, position="optional")
    ledger = bring(tmp_path, layer, POSITIONS)
    assert [row["name"] for row in held(tmp_path, layer) if row["geometry"] is None] == list("bcdefi")
    assert ledger.reasons == {"outside the bounds": 3}
    assert ledger.blanked == {"position": 2}


def test_a_table_may_have_no_positions_at_all(tmp_path: Path) -> None:
    layer = layer_of(WELLS, position="optional")
    ledger = bring(tmp_path, layer, "name\na\n")
    assert (ledger.published, held(tmp_path, layer)[0]["geometry"]) == (1, None)


@pytest.mark.parametrize("crs", ["ESRI:102696", "+proj=utm +zone=15 +datum=NAD83 +units=us-ft", "EPSG:3857"])
def test_any_coordinate_system_that_proj_knows_becomes_degrees(crs: str, tmp_path: Path) -> None:
    x, y = Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(-92.3, 34.7)
    layer = layer_of(WELLS, ingest={"crs": crs, "x": "XCoord", "y": "YCoord"})
    bring(tmp_path, layer, f"name,XCoord,YCoord\nhere,{x},{y}\nfar,1e9,1e9\nzero,0,0\n")
    [row] = held(tmp_path, layer)
    found = tuple(float(text) for text in row["geometry"].removeprefix("POINT (").removesuffix(")").split())
    assert found == pytest.approx((-92.3, 34.7), abs=1e-9)
    assert rejects(tmp_path)[0][2] in ("outside the coordinate system", "outside the bounds")
    assert rejects(tmp_path)[1][2] == "position 0,0"


@pytest.mark.parametrize("crs", ["ESRI:1", "moon", "+proj=nothing", 'LOCAL_CS["site"]'])
def test_a_coordinate_system_that_cannot_be_used_is_named(crs: str, tmp_path: Path) -> None:
    layer = layer_of(WELLS, ingest={"crs": crs, "x": "x", "y": "y"})
    with pytest.raises(
        IngestError, match=r"1\.csv: .* is not a coordinate system that PROJ can turn into degrees; name one, such as"
    ):
        bring(tmp_path, layer, "name,x,y\na,1,2\n")
