"""Rows without an id get one from what they show: always the same, never shared."""

from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ingest import bring, held, layer_of

from tileserver.ingest import row_ids
from tileserver.ingest.row_ids import MOST, RowIds, contents
from tileserver.revisions import LEDGER

LAYER = layer_of(
    {
        "kind": "places",
        "fields": {
            "name": {},
            "note": {},
            "count": {"type": "integer"},
            "size": {"type": "number"},
            "open": {"type": "boolean"},
            "at": {"type": "datetime"},
        },
    }
)
TEXTS = st.sampled_from(["", "a", "1:a", "-", "b"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.none() | TEXTS,
            "note": st.none() | TEXTS,
            "count": st.none() | st.integers(-1, 1),
            "size": st.sampled_from([None, 0.5, 1.0]),
            "open": st.none() | st.booleans(),
            "at": st.sampled_from([None, 0, 1]),
            "geometry": st.sampled_from([None, b"", b"1:a"]),
        }
    ),
    max_size=12,
)


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, LAYER.schema)


def ids_of(row_ids: RowIds, rows: list[dict[str, Any]]) -> list[int]:
    ids: list[int] = row_ids.give(batch_of(rows)).column("id").to_pylist()
    return ids


def slowly(rows: list[dict[str, Any]]) -> list[int]:
    """One row after another: the hash of the row, and where that is taken, of the row and the next ordinal."""
    ids: dict[int, None] = {}
    for text in contents(batch_of(rows)):
        ids[next(tried for tried in (row_ids.hashed(text, ordinal) for ordinal in range(len(rows))) if tried not in ids)] = None
    return list(ids)


@given(ROWS, st.integers(1, 5))
def test_ids_are_those_of_the_slow_way_however_rows_are_batched(rows: list[dict[str, Any]], size: int) -> None:
    numbered = RowIds()
    found = [id for begin in range(0, len(rows), size) for id in ids_of(numbered, rows[begin : begin + size])]
    assert found == slowly(rows)
    assert len(set(found)) == len(rows)
    assert all(1 <= id <= MOST for id in found)


@given(ROWS)
def test_rows_have_the_same_text_only_if_they_are_equal(rows: list[dict[str, Any]]) -> None:
    texts = contents(batch_of(rows))
    for row, text in zip(rows, texts, strict=True):
        assert [other == text for other in texts] == [other == row for other in rows]


def test_an_id_is_the_same_in_every_version_of_the_program() -> None:
    rows = [{"name": "Blue", "size": 0.5, "open": True, "at": 1}, {}]
    texts = [b"1:1--4:Blue-1:119:4602678819172646912", b"-------"]
    assert contents(batch_of(rows)) == texts
    assert ids_of(RowIds(), rows) == [int.from_bytes(blake2b(text, digest_size=8).digest(), "little") % MOST + 1 for text in texts]


def test_hashes_that_clash_by_chance_go_to_the_next_ordinal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_ids, "hashed", lambda text, ordinal=0: (len(text) + 7 * ordinal) % 31 + 1)
    rows = [{"name": text} for text in ["a", "b", "aa", "a", "b", "c", "bb", "a"]]
    assert ids_of(RowIds(), rows) == slowly(rows)
    numbered = RowIds()
    assert [*ids_of(numbered, rows[:3]), *ids_of(numbered, rows[3:])] == slowly(rows)


def test_equal_rows_stay_rows_of_their_own_and_come_back_unchanged(tmp_path: Path) -> None:
    text = "name,lon,lat\n" + "Blue,-92.3,34.7\n" * 3 + "Red,-92.3,34.7\n"
    first = bring(tmp_path, LAYER, text)
    ids = [row["id"] for row in held(tmp_path, LAYER)]
    again = bring(tmp_path, LAYER, text)
    assert (first.published, again.published, again.unchanged) == (4, 0, 4)
    assert [row["id"] for row in held(tmp_path, LAYER)] == ids
    more = bring(tmp_path, LAYER, text + "Blue,-92.3,34.7\n")
    assert (more.published, more.unchanged) == (1, 4)
    assert Counter(row["name"] for row in held(tmp_path, LAYER)) == {"Blue": 4, "Red": 1}


def test_an_id_tells_nothing_that_the_row_does_not(tmp_path: Path) -> None:
    layer = LAYER.model_copy(update={"privacy": LAYER.privacy.model_copy(update={"snap_meters": 1000.0})})
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    bring(tmp_path / "one", layer, "name,secret,lon,lat\nBlue,1,-92.305,34.7025\n")
    bring(tmp_path / "other", layer, "name,secret,lon,lat\nBlue,2,-92.306,34.7030\n")
    assert held(tmp_path / "one", layer) == held(tmp_path / "other", layer)


def test_rows_that_may_now_be_there_twice_are_told_with_what_to_do(tmp_path: Path) -> None:
    first = bring(tmp_path, LAYER, "name,note,lon,lat\nBlue,a,-92.3,34.7\nRed,a,-92.3,34.7\n")
    (tmp_path / LEDGER).write_bytes(orjson.dumps(first.as_json()))
    assert first.beside == bring(tmp_path, LAYER, "name,note,lon,lat\nBlue,a,-92.3,34.7\n").beside == ""
    text = "name,note,lon,lat\nBlue,b,-92.3,34.7\nRed,a,-92.3,34.7\n"
    assert "a row that has changed since the last ingest is there twice" in bring(tmp_path, LAYER, text).in_words()
    renamed = LAYER.model_copy(update={"ingest": LAYER.ingest.model_copy(update={"rename": {"name": "note"}})})
    told = bring(tmp_path, renamed, "name,lon,lat\nBlue,-92.3,34.7\n").in_words()
    assert told.splitlines()[1].startswith("Warning: the layer file has changed, and with it the ids that are made from rows.")
    assert "Warning" not in bring(tmp_path, renamed, "name,lon,lat\nRed,-92.3,34.7\n", replace=True).in_words()
