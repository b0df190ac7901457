"""Delimited text: encodings, delimiters, quotes, the line of every record, and which column is which field."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import bring, held, layer_of, rejects

from tileserver.errors import IngestError
from tileserver.ingest import csv_block, csv_file, ingest
from tileserver.ingest.csv_block import Form, Part
from tileserver.ingest.csv_file import Text
from tileserver.stores import FolderStore

CAFES: dict[str, Any] = {"kind": "places", "fields": {"name": {"role": "id"}, "seats": {"type": "integer"}, "zip_code": {}}}
HEADER = "name,seats,zip_code,lon,lat\n"


def read(folder: Path, content: bytes, name: str = "cafes.csv", **changes: Any) -> list[dict[str, Any]]:
    """The rows of one file, as stored."""
    (folder / name).write_bytes(content)
    layer = layer_of(CAFES, **changes)
    ingest(layer, FolderStore(folder / "store"), [name], folder=folder, home=folder, replace=True)
    return held(folder, layer)


# Encodings


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("Café Ω".encode(), "Café Ω"),
        (b"\xef\xbb\xbf" + HEADER.encode() + "Café Ω".encode(), "Café Ω"),
        ("Café – “Élan”".encode("cp1252"), "Café – “Élan”"),
        (b"Caf\xe9 \x81", "Café \ufffd"),  # cp1252 does not define 81
    ],
)
def test_text_is_utf_8_or_else_cp1252(content: bytes, name: str, tmp_path: Path) -> None:
    head = b"" if content.startswith(b"\xef\xbb\xbf") else HEADER.encode()
    [row] = read(tmp_path, head + content + b",4,72201,-92.3,34.7\n")
    assert (row["name"], row["seats"]) == (name, 4)


def test_a_declared_encoding_counts(tmp_path: Path) -> None:
    text = HEADER + "Кафе,4,72201,-92.3,34.7\n"
    [row] = read(tmp_path, text.encode("koi8-r"), ingest={"encoding": "koi8-r"})
    assert row["name"] == "Кафе"
    [row] = read(tmp_path, text.encode("utf-16"), ingest={"encoding": "utf-16"})
    assert row["name"] == "Кафе"
    [row] = read(tmp_path, b"\xef\xbb\xbf" + text.encode() + b"\xff", ingest={"encoding": "utf8"})
    assert row["name"] == "Кафе"


# Records


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found(delimiter: str, ending: str, tmp_path: Path) -> None:
    lines = [
        HEADER.strip().replace(",", delimiter),
        delimiter.join(["Blue, Café", "4", "72201", "-92.3", "34.7"]).replace("Blue, Café", '"Blue, Café"'),
    ]
    [row] = read(tmp_path, ending.join(lines).encode(), "cafes.TSV")
    assert (row["name"], row["seats"], row["zip_code"], row["geometry"]) == ("Blue, Café", 4, "72201", "POINT (-92.3 34.7)")


def test_every_reject_has_the_line_where_its_record_begins(tmp_path: Path) -> None:
    layer = layer_of(CAFES)
    ledger = bring(
        tmp_path,
        layer,
        "\n" + HEADER  # lines 1 and 2
        + '"Two\nlines",4,72201,-92.3,34.7\n'  # 3 and 4
        + ",4,72201,-92.3,34.7\n"  # 5
        + '"Three\r\nmore\nlines",4,72201,,\n'  # 6 to 8
        + "\n"  # 9
        + "Short,4,72201\n"  # 10
        + 'Long,4,72201,-92.3,34.7,"a\nb"\n'  # 11 and 12
        + "Long,4,72201,-92.3,34.7,\n"  # 13
        + "Last,4,72201,-92.3,34.7",
    )  # fmt: skip
    assert rejects(tmp_path) == [
        ("1.csv", 5, "no name"),
        ("1.csv", 6, "no position"),
        ("1.csv", 10, "fewer columns than the header has"),
        ("1.csv", 11, "more columns than the header has, over several lines: a quote may be missing"),
        ("1.csv", 13, "more columns than the header has"),
    ]
    assert (ledger.read, ledger.published, ledger.rejected) == (7, 2, 5)
    assert [row["name"] for row in held(tmp_path, layer)] == ["Last", "Two\nlines"]


def test_lines_are_right_in_every_part_of_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "BATCH", 3)
    text = HEADER + "".join(f'"Café\n{number}",4,72201,{"" if number % 4 else "-92.3"},34.7\n' for number in range(10))
    ledger = bring(tmp_path, layer_of(CAFES), text)
    assert (ledger.read, ledger.published) == (10, 3)
    assert [line for _, line, _ in rejects(tmp_path)] == [2 + 2 * number for number in range(10) if number % 4]


@pytest.mark.parametrize("rest", ["", "\nAfter,4,72201,-92.3,34.7\n"])
def test_a_quote_that_never_closes_swallows_nothing(rest: str, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"1\.csv, line 3: a quoted text in the record that begins here is never closed"):
        bring(tmp_path, layer_of(CAFES), HEADER + 'Fine,4,72201,-92.3,34.7\nOpen,4,"72201,-92.3,34.7' + rest)
    assert not (tmp_path / "store" / "stops" / "current.json").exists()


def test_a_value_longer_than_the_reader_takes_is_an_unclosed_quote(tmp_path: Path) -> None:
    limit = csv.field_size_limit(1_000)
    try:
        with pytest.raises(IngestError, match="line 2: a quoted text"):
            bring(tmp_path, layer_of(CAFES), HEADER + f'"{"x" * 2_000}",4,72201,-92.3,34.7\n')
    finally:
        csv.field_size_limit(limit)


def test_an_outline_as_text_may_be_long(tmp_path: Path) -> None:
    [row] = read(tmp_path, (HEADER.strip() + ",the_geom\n" + f"Park,4,72201,-92.3,34.7,{'1 2 ' * 100_000}\n").encode())
    assert row["name"] == "Park"


def test_a_file_with_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    ledger = bring(tmp_path, layer_of(CAFES), HEADER)
    assert (ledger.read, ledger.files) == (0, {"1.csv": 0})
    assert ledger.in_words() == "0 rows read from 1.csv: 0 published, 0 unchanged."


# Columns


def test_columns_are_found_by_name_whatever_their_case_and_punctuation(tmp_path: Path) -> None:
    [row] = read(tmp_path, b" NAME , Seats,Zip Code,LONGITUDE,Latitude\nBlue,4,72201,-92.3,34.7\n")
    assert (row["name"], row["seats"], row["zip_code"], row["geometry"]) == ("Blue", 4, "72201", "POINT (-92.3 34.7)")


def test_renaming_counts_before_the_same_name_and_that_before_a_similar_one(tmp_path: Path) -> None:
    header, line = b"title,Name,name,seats,lon,lat\n", b"1,2,3,4,-92.3,34.7\n"
    assert [row["name"] for row in read(tmp_path, header + line)] == ["3"]
    assert [row["name"] for row in read(tmp_path, header + line, ingest={"rename": {"title": "name"}})] == ["1"]
    assert [row["name"] for row in read(tmp_path, header.replace(b",name", b",else") + line)] == ["2"]


def test_a_column_that_became_another_field_is_not_read_twice(tmp_path: Path) -> None:
    [row] = read(tmp_path, b"name,seats,lon,lat\nBlue,4,-92.3,34.7\n", ingest={"rename": {"seats": "zip_code"}})
    assert (row["seats"], row["zip_code"]) == (None, "4")


def test_files_of_several_schemas_come_in_together(tmp_path: Path) -> None:
    layer = layer_of(CAFES, ingest={"rename": {"Title": "name", "Caption": "name"}})
    bring(tmp_path, layer, "Title,seats,lon,lat\nBlue,4,-92.3,34.7\n", "lat;lon;Caption;zip_code\n34.8;-92.4;Red;72201\n")
    assert [tuple(row.values()) for row in held(tmp_path, layer)] == [
        ("Blue", 4, None, "POINT (-92.3 34.7)"),
        ("Red", None, "72201", "POINT (-92.4 34.8)"),
    ]


@pytest.mark.parametrize(
    ("header", "changes", "message"),
    [
        ("title,lon,lat", {}, "no column for name, the layer's id. Its columns are title, lon, lat"),
        ("name,Seats,SEATS,lon,lat", {}, "more than one column for seats: Seats and SEATS. Say which under [ingest] rename"),
        ("name,a,b,lon,lat", {"rename": {"a": "seats", "b": "seats"}}, "more than one column for seats: a and b"),
        ("name,easting,northing", {}, "no columns of a position; name them in the layer file under [ingest] x and y"),
        ("name,lon,lat", {"crs": "EPSG:26951"}, "no columns of a position; name them"),
        (
            "name,lon,lat",
            {"x": "XCoord", "y": "YCoord"},
            "no column XCoord, which the layer file names as a position. Its columns are name, lon, lat",
        ),
        ("name,x coord,X_COORD,y", {"x": "XCoord", "y": "y"}, "no column XCoord"),
        ("name,x coord,X_COORD,y", {"x": "X-Coord", "y": "y"}, "more than one column for X-Coord: x coord and X_COORD"),
    ],
)
def test_columns_that_are_missing_or_doubtful_are_named(header: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IngestError) as raised:
        bring(tmp_path, layer_of(CAFES, ingest=changes), header + "\n")
    assert str(raised.value).startswith("1.csv: ")
    assert message in str(raised.value)


# The fast reader and the csv module

VALUES = st.one_of(
    st.sampled_from(
        ["", "a", " b ", '""', '"c"', '"d,e"', '"f\ng"', '"h""i"', '"j\r\nk"', 'l"m', '"n"o', 'p""q', ' "r"', "ä", "\ufeff"]
    ),
    st.text(st.sampled_from('ab,;"\n\r\0 é'), max_size=4),
)
RECORDS = st.lists(st.lists(VALUES, min_size=1, max_size=4).map(",".join) | st.just(""), max_size=8)


def records_of(read: Iterator[Part]) -> tuple[Any, ...]:
    """(lines, columns, faults) of all parts, or the error."""
    try:
        parts = list(read)
    except IngestError as error:
        return (str(error),)
    lines = [line for part in parts for line in part.lines.tolist()]
    columns = [[text for part in parts for text in part.columns[index].to_pylist()] for index in (0, 2)]
    return lines, columns, [fault for part in parts for fault in part.faults]


@settings(max_examples=500)
@given(RECORDS, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.integers(1, 40), st.integers(1, 3))
def test_blocks_are_read_as_the_csv_module_reads_their_records(
    records: list[str], ending: str, ended: bool, size: int, most: int
) -> None:
    content = (ending.join(records) + (ending if ended else "")).encode()
    form = Form(",", 3, (0, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK", size)
        patch.setattr(csv_file, "BATCH", most)
        fast = records_of(csv_file.parts(Text(io.BytesIO(content), "utf-8"), form, "x.csv"))
    text = Text(io.BytesIO(content), "utf-8")
    slow = records_of(csv_file.slowly(text, form, "x.csv", 1_000) for _ in range(1))
    assert fast == slow


def test_a_plain_file_is_read_in_blocks(tmp_path: Path) -> None:
    content = "".join(f'{number},"Two, ""words""\nand more",{number % 7}\r\n' for number in range(1_000)).encode()
    taken = csv_block.take(content, Form(",", 3, (1, 2)), line=2, ended=True, most=600)
    assert taken is not None
    assert (taken.lines, len(taken.part.lines), taken.part.lines[-1]) == (1_200, 600, 1_200)
    assert taken.part.columns[1][0].as_py() == 'Two, "words"\nand more'
    assert content[taken.length :].startswith(b"600,")


def test_a_stray_quote_makes_only_the_records_around_it_slow() -> None:
    content = b"1,a,b\n" * 10 + b'2,6" pipe,b\n' + b"3,a,b\n"
    taken = csv_block.take(content, Form(",", 3, (1,)), line=1, ended=True, most=100)
    assert taken is not None
    assert (taken.length, len(taken.part.lines)) == (60, 10)
    assert csv_block.take(content[60:], Form(",", 3, (1,)), line=11, ended=True, most=100) is None
