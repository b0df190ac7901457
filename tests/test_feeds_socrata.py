"""Datasets of Socrata, from a server that pages, counts, selects and orders as it is asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feeding import bring, held, known, left, numbers, stops
from web_servers import Answer, Asked, Socrata, cut, says, serving, status

from tileserver.errors import IngestError, StoreError
from tileserver.stores import FolderStore

KINDS = ("json", "geojson", "csv")
GEOMETRY = {"geometry": "place"}


def row(number: int, updated: str = "2024-01-01T00:00:00.000Z", **given: Any) -> dict[str, Any]:
    """Its `:id` is not in the order of numbers."""
    return {
        ":id": f"row-{number * 7 % 10}{number:03d}",
        ":updated_at": updated,
        "number": str(number),
        "at": "2024-01-02T03:04:00.000",
        "outcome": "WARNING",
        "place": {"type": "Point", "coordinates": [-92.3, 34.7 + number / 1000]},
    } | given


@pytest.fixture
def site() -> Iterator[Socrata]:
    site = Socrata([row(number) for number in range(8)])
    with serving(site):
        yield site


def address(site: Socrata, kind: str = "json", query: str = "") -> str:
    return f"{site.origin}/resource/abcd-1234.{kind}{query}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_is_read_in_pages(site: Socrata, tmp_path: Path, kind: str) -> None:
    layer = stops(ingest=GEOMETRY)
    ledger = bring(tmp_path, address(site, kind), layer=layer)
    assert (ledger.read, ledger.published, ledger.files) == (8, 8, {address(site, kind): 8})
    assert [asked.query["$limit"] for asked in site.pages()] == ["3", "3", "3"]
    assert {asked.query["$order"] for asked in site.pages()} == {":id"}
    assert ["$where" in asked.query for asked in site.pages()] == [False, True, True]
    assert all(each["geometry"] and each["at"].isoformat() == "2024-01-02T03:04:00+00:00" for each in held(tmp_path, layer))
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_run_reads_nothing_if_nothing_has_changed(site: Socrata, tmp_path: Path, kind: str) -> None:
    layer = stops(ingest=GEOMETRY)
    bring(tmp_path, address(site, kind), layer=layer)
    site.forget()
    ledger = bring(tmp_path, address(site, kind), layer=layer)
    assert (ledger.read, list(ledger.not_modified), site.pages()) == (0, [address(site, kind)], [])
    assert len(site.asked) == 1


def test_the_next_run_reads_what_has_changed_and_its_ties(site: Socrata, tmp_path: Path) -> None:
    site.rows[7] = row(7, "2024-02-01T00:00:00.000Z")
    bring(tmp_path, address(site))
    assert known(tmp_path) == {address(site): {"updated_at": "2024-02-01T00:00:00.000Z", "ties": 1}}
    site.rows[2] = row(2, "2024-02-01T00:00:00.000Z", outcome="ARREST")
    site.rows.append(row(8, "2024-03-01T00:00:00.000Z"))
    site.forget()
    ledger = bring(tmp_path, address(site))
    assert (ledger.read, ledger.published, ledger.unchanged) == (3, 2, 1)
    assert numbers(tmp_path) == list(range(9))
    assert {row["number"]: row["outcome"] for row in held(tmp_path)}["2"] == "ARREST"
    assert site.pages()[0].query["$where"] == "(:updated_at >= '2024-02-01T00:00:00.000Z')"


def test_a_value_that_goes_is_not_kept(site: Socrata, tmp_path: Path) -> None:
    bring(tmp_path, address(site))
    site.rows[2] = row(2, "2024-02-01T00:00:00.000Z", outcome=None)
    assert bring(tmp_path, address(site)).published == 1
    assert {row["number"]: row["outcome"] for row in held(tmp_path)}["2"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_gives_the_same_rows_for_ever_is_left(site: Socrata, tmp_path: Path, kind: str) -> None:
    def whole(asked: Asked) -> Answer:
        return site.answer(replace(asked, query={name: value for name, value in asked.query.items() if name != "$where"}))

    site.faults = [lambda answer: whole(site.asked[-1]) if site.asked[-1] in site.pages() else answer] * 99
    with pytest.raises(IngestError, match="asked for the rows after an :id, it gives the same ones again, so nothing is changed"):
        bring(tmp_path, address(site, kind))
    assert len(site.pages()) == 2


def test_replacing_reads_all_and_removes_what_is_gone(site: Socrata, tmp_path: Path) -> None:
    bring(tmp_path, address(site))
    del site.rows[3]
    assert (bring(tmp_path, address(site)).removed, numbers(tmp_path)) == (0, list(range(8)))
    ledger = bring(tmp_path, address(site), replace=True)
    assert (ledger.read, ledger.removed, numbers(tmp_path)) == (7, 1, [0, 1, 2, 4, 5, 6, 7])


def test_without_an_id_all_is_read_each_time(site: Socrata, tmp_path: Path) -> None:
    layer = stops(fields={"at": {"role": "time"}, "outcome": {"role": "category"}})
    assert bring(tmp_path, address(site), layer=layer).published == 8
    assert bring(tmp_path, address(site), layer=layer).unchanged == 8


def test_the_rows_that_an_address_chooses_are_read(site: Socrata, tmp_path: Path) -> None:
    site.rows[1]["outcome"] = "ARREST"
    ledger = bring(tmp_path, address(site, query="?$where=outcome='WARNING'"))
    assert (ledger.read, numbers(tmp_path)) == (7, [0, 2, 3, 4, 5, 6, 7])
    assert site.pages()[1].query["$where"].startswith("(outcome='WARNING') AND (:id > 'row-")
    with pytest.raises(IngestError, match=r"leave \$limit out of the address"):
        bring(tmp_path, address(site, query="?$limit=5"))


def test_the_page_of_a_dataset_is_its_address_too(site: Socrata, tmp_path: Path) -> None:
    assert bring(tmp_path, f"{site.origin}/d/abcd-1234").read == 8


@pytest.mark.parametrize(
    "given",
    [
        {"place": {"latitude": "34.7", "longitude": "-92.3", "human_address": "{}"}},
        {"place": None, "Latitude": "34.7", "Longitude": "-92.3"},
        {"place": {"type": "Point", "coordinates": [-92.3, 34.7]}, "x": "1", "y": "2"},
    ],
)
def test_positions_are_found_where_the_layer_file_names_none(tmp_path: Path, given: dict[str, Any]) -> None:
    site = Socrata([row(1, **given)])
    with serving(site):
        bring(tmp_path, address(site), layer=stops(kind="events", position="required"))
    assert len(held(tmp_path)) == 1


def test_named_columns_are_the_position(tmp_path: Path) -> None:
    site = Socrata([row(1, east="-92.3", north="34.7", place={"type": "Point", "coordinates": [0, 0]})])
    with serving(site):
        assert bring(tmp_path, address(site), layer=stops(ingest={"x": "east", "y": "north"}, position="required")).published == 1


def test_the_token_is_sent_and_not_told(tmp_path: Path) -> None:
    site = Socrata([row(1)], token="canary")
    with serving(site):
        with pytest.raises(IngestError, match=r"answers 403 Forbidden\. It wants a token") as failed:
            bring(tmp_path, address(site), token="wrong")
        assert "wrong" not in str(failed.value)
        assert bring(tmp_path, address(site), token="canary").published == 1
        assert bring(tmp_path, address(site, query="?$$app_token=canary")).files == {}
        assert all("$$app_token" not in asked.query for asked in site.asked)
    assert b"canary" not in (tmp_path / "home" / "feed.json").read_bytes()


def test_another_host_does_not_learn_the_token(site: Socrata, tmp_path: Path) -> None:
    class Moved(Socrata):
        def answer(self, asked: Any) -> Answer:
            return Answer(
                301, b"", {"Location": site.origin + asked.path + "?" + "&".join(f"{k}={v}" for k, v in asked.query.items())}
            )

    moved = Moved([])
    with serving(moved):
        assert bring(tmp_path, address(moved), token="canary", page=100).published == 8
    assert {asked.headers.get("X-App-Token") for asked in moved.asked} == {"canary"}
    assert {asked.headers.get("X-App-Token") for asked in site.asked} == {None}


# Dirt


@pytest.mark.parametrize("kind", KINDS)
def test_pages_that_break_off_come_again(site: Socrata, tmp_path: Path, kind: str) -> None:

    def half(answer: Answer) -> Answer:
        return Answer(200, answer.body[: len(answer.body) // 2 + 9], length=False)

    site.faults = [None, cut(9), half, status(503), None, status(429, Retry_After="0")]
    assert bring(tmp_path, address(site, kind), layer=stops(ingest=GEOMETRY)).published == 8
    assert numbers(tmp_path) == list(range(8))


def test_a_failed_run_goes_on_at_the_next_page(site: Socrata, tmp_path: Path) -> None:
    site.faults = [None, None, None, None, *[status(503)] * 6]
    with pytest.raises(IngestError, match="given up after 5 retries"):
        bring(tmp_path, address(site))
    first = site.pages()[0].query.get("$where")
    second = site.pages()[1].query["$where"]
    site.forget()
    assert bring(tmp_path, address(site)).published == 8
    assert first is None
    assert site.pages()[0].query["$where"] == second
    assert (len(site.pages()), numbers(tmp_path)) == (2, list(range(8)))


def test_a_failed_run_begins_anew_if_the_dataset_has_changed(site: Socrata, tmp_path: Path) -> None:
    site.faults = [None, None, None, None, *[status(503)] * 6]
    with pytest.raises(IngestError, match="given up"):
        bring(tmp_path, address(site))
    site.rows[0] = row(0, "2024-02-01T00:00:00.000Z", outcome="ARREST")
    site.forget()
    assert bring(tmp_path, address(site)).published == 8
    assert len(site.pages()) == 3
    assert held(tmp_path)[0]["outcome"] == "ARREST"


def test_rows_that_come_and_go_meanwhile_shift_nothing(site: Socrata, tmp_path: Path) -> None:
    def change() -> None:
        site.rows = [each for each in site.rows if each["number"] != "0"]
        site.rows.append(row(9, "2024-02-01T00:00:00.000Z"))

    site.before_page = [lambda: None, change]
    assert bring(tmp_path, address(site)).read in (8, 9)
    bring(tmp_path, address(site))
    assert set(numbers(tmp_path)) >= set(range(1, 8)) | {9}


@pytest.mark.parametrize("miscounts", [5, -5])
def test_nothing_changes_if_the_rows_are_not_as_many_as_counted(site: Socrata, tmp_path: Path, miscounts: int) -> None:
    bring(tmp_path, address(site))
    site.miscounts = miscounts
    with pytest.raises(IngestError, match=r"8 rows came, but it says that it has (13|3), so nothing is changed"):
        bring(tmp_path, address(site), replace=True)
    assert numbers(tmp_path) == list(range(8))
    assert left(tmp_path) == []


def test_an_empty_dataset_replaces_nothing(site: Socrata, tmp_path: Path) -> None:
    bring(tmp_path, address(site))
    site.rows = []
    with pytest.raises(IngestError, match="holds no rows, so nothing is replaced"):
        bring(tmp_path, address(site), replace=True)
    assert numbers(tmp_path) == list(range(8))


def test_an_error_in_a_good_answer_is_told(site: Socrata, tmp_path: Path) -> None:
    site.faults = [says({"error": True, "code": "query.soql.no-such-column", "message": "<b>x</b>"})]
    with pytest.raises(IngestError, match=r"answers no rows but the error query\.soql\.no-such-column"):
        bring(tmp_path, address(site))
    assert not (tmp_path / "store").exists()


def test_a_publish_that_fails_leaves_the_state(site: Socrata, tmp_path: Path) -> None:
    bring(tmp_path, address(site))
    before = (tmp_path / "home" / "feed.json").read_bytes()
    site.rows[0] = row(0, "2024-02-01T00:00:00.000Z", at=None)
    site.rows.append(row(9, "2024-02-01T00:00:00.000Z"))
    store = FolderStore(tmp_path / "store").state(stops())
    with pytest.raises(StoreError, match="outkome"):
        bring(tmp_path, address(site), layer=stops(fields={"outkome": {"role": "id"}, "at": {"role": "time"}}))
    assert (tmp_path / "home" / "feed.json").read_bytes() == before
    assert FolderStore(tmp_path / "store").state(stops()) == store
    ledger = bring(tmp_path, address(site))
    assert (ledger.published, ledger.rejected, ledger.reasons) == (1, 1, {"no at": 1})
