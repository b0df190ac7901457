"""An ingest as a whole: real files, the ledger to the row, the rejects, and nothing published when it fails."""

import csv
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
import shapely

from tileserver import catalog
from tileserver.catalog import Layer
from tileserver.errors import IngestError, StoreError
from tileserver.ingest import Ledger, ingest
from tileserver.stores import FolderStore

LAYERS = {id: layer for id, layer in catalog.load(Path(__file__).parent / "layers").items() if id.startswith("little_rock")}

STOPS = {
    "kind": "events",
    "timezone": "America/Chicago",
    "bounds": (-93, 34, -92, 35),
    "fields": {"number": {"role": "id"}, "at": {"role": "time"}, "outcome": {"role": "category"}, "officers": {"type": "integer"}},
}
HEADER = "number,at,outcome,officers,lon,lat\n"
STOP = "{number},2020-01-02 03:04,WARNING,2,-92.3,34.7\n"


def layer_of(base: dict[str, Any], **changes: Any) -> Layer:
    return Layer.model_validate({"id": "stops", "title": "Stops", **base, **changes})


def bring(folder: Path, layer: Layer, *texts: str, replace: bool = False) -> Ledger:
    """Ingest texts as files 1.csv, 2.csv, … of a folder into the store beside them."""
    for number, text in enumerate(texts, 1):
        (folder / f"{number}.csv").write_text(text, "utf-8")
    names = [f"{number}.csv" for number in range(1, len(texts) + 1)]
    return ingest(layer, FolderStore(folder / "store"), names, folder=folder, home=folder, replace=replace)


def held(folder: Path, layer: Layer) -> list[dict[str, Any]]:
    """The rows of the store, by id, with their geometries as text."""
    rows = [row for batch in FolderStore(folder / "store").read(layer) for row in batch.to_pylist()]
    for row in rows:
        row["geometry"] = row["geometry"] and shapely.from_wkb(row["geometry"]).wkt
    return sorted(rows, key=lambda row: str(row[layer.id_name]))


def rejects(folder: Path) -> list[tuple[str, int, str]]:
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return [(row["file"], int(row["line"]), row["reason"]) for row in csv.DictReader(file)]


# The city's own files


def within(row: dict[str, str], x: str, y: str) -> bool:
    return -92.6 <= float(row[x]) <= -92.1 and 34.6 <= float(row[y]) <= 34.9


class City:
    """The city's layers, each brought in twice into a folder of its own, the first time that it is asked for."""

    def __init__(self, files: Path, folder: Path) -> None:
        self.files = files
        self._folder = folder
        self._ledgers: dict[str, tuple[Ledger, Ledger]] = {}

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.files / name).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def ledgers(self, id: str) -> tuple[Ledger, Ledger]:
        if id not in self._ledgers:
            self._ledgers[id] = self._ingest(id), self._ingest(id)
        return self._ledgers[id]

    def folder(self, id: str) -> Path:
        self.ledgers(id)
        return self._folder / id

    def _ingest(self, id: str) -> Ledger:
        folder = self._folder / id
        return ingest(LAYERS[id], FolderStore(folder / "store"), [], folder=self.files, home=folder)


@pytest.fixture(scope="module")
def city(city_files: Path, tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(city_files / "little_rock", tmp_path_factory.mktemp("city"))


def told(ledger: Ledger) -> dict[str, Any]:
    """The ledger as JSON, but for when it was made, and what made its ids."""
    return {name: value for name, value in ledger.as_json().items() if name not in ("at", "ids_made_by")}


def expected(read: int, file: str | None = None, **counts: Any) -> dict[str, Any]:
    zero = dict.fromkeys(("unchanged", "superseded", "excluded", "rejected", "removed", "repaired", "forgotten"), 0)
    empty: dict[str, Any] = {
        "without_position": 0,
        "blanked": {},
        "reasons": {},
        "withheld": {},
        "lacking": {},
        "kept": 0,
        "joined": {},
        "not_modified": {},
    }
    return {"read": read, "published": read, **zero, **empty, "files": {file: read} if file else {}, **counts}


def test_incidents_come_in_without_the_kinds_that_are_withheld(city: City) -> None:
    rows = city.rows("vcrime2017_2020.csv")
    shown = [row for row in rows if row["Offense"] != "RAPE"]
    outside = [row for row in rows if row["Latitude"] and not within(row, "Longitude", "Latitude")]
    assert (len(rows), len(shown), len(outside)) == (20_375, 19_661, 4)
    assert all(row["Offense"] != "RAPE" for row in outside)
    assert told(city.ledgers("little_rock_incidents")[0]) == expected(
        20_375,
        "vcrime2017_2020.csv",
        published=19_657,
        excluded=714,
        rejected=4,
        without_position=119,
        reasons={"outside the bounds": 4},
        withheld={"offense": {"RAPE": 714}},
    )
    stored = held(city.folder("little_rock_incidents"), LAYERS["little_rock_incidents"])
    kept = [row for row in shown if row not in outside]
    assert Counter(row["offense"] for row in stored) == Counter(row["Offense"] for row in kept)
    assert sum(row["geometry"] is None for row in stored) == sum(not row["Latitude"] for row in kept) == 119


def test_an_incident_is_stored_at_its_block(city: City) -> None:
    stored = held(city.folder("little_rock_incidents"), LAYERS["little_rock_incidents"])
    # 12/19/20 7:11, 4318  WOODLAWN DR, -92.321467 34.756564: in winter the clock is six hours behind UTC.
    [row] = [
        row for row in stored if row["occurred_at"].isoformat() == "2020-12-19T13:11:00+00:00" and row["offense"] == "BURGLARY/B&E"
    ]
    assert (row["address"], row["zip"]) == ("4300 block of WOODLAWN DR", "72205")
    place = shapely.from_wkt(row["geometry"])
    assert (place.x, place.y) != (-92.321467, 34.756564)
    assert place.distance(shapely.Point(-92.321467, 34.756564)) < 0.0008


def test_points_at_zero_are_rejected(city: City) -> None:
    rows = city.rows("lrpd_points_2017_2023_from_heatmap.csv")
    zero = [float(row["longitude"]) == float(row["latitude"]) == 0 for row in rows]
    outside = [not at_zero and not within(row, "longitude", "latitude") for row, at_zero in zip(rows, zero, strict=True)]
    assert (len(rows), sum(zero), sum(outside)) == (87_021, 3_140, 634)
    assert told(city.ledgers("little_rock_points")[0]) == expected(
        87_021,
        "lrpd_points_2017_2023_from_heatmap.csv",
        published=83_247,
        rejected=3_774,
        reasons={"position 0,0": 3_140, "outside the bounds": 634},
    )
    listed = rejects(city.folder("little_rock_points"))
    assert len(listed) == 3_774
    assert all(zero[line - 2] if reason == "position 0,0" else outside[line - 2] for _, line, reason in listed)


PLACES = {
    "little_rock_historic_sites": ("Historic.csv", 227, {}),
    "little_rock_schools": ("LRSchools.csv", 73, {"no position": 2, "outside the bounds": 2}),
    "little_rock_public_wifi": ("PublicWifi.csv", 18, {}),
    "little_rock_police_facilities": ("Police_Facilities.csv", 10, {}),
    "little_rock_libraries": ("CALS.csv", 9, {}),
    "little_rock_business_licenses": ("Business_Licenses.csv", 14_573, {}),
}


@pytest.mark.parametrize("id", PLACES)
def test_places_come_in_whole(id: str, city: City) -> None:
    file, read, reasons = PLACES[id]
    assert len(city.rows(file)) == read
    rejected = sum(reasons.values())
    nowhere = read if file == "Business_Licenses.csv" else 0
    assert told(city.ledgers(id)[0]) == expected(
        read, file, published=read - rejected, rejected=rejected, reasons=reasons, without_position=nowhere
    )
    assert len(held(city.folder(id), LAYERS[id])) == read - rejected


def test_a_text_over_several_lines_is_one_value(city: City) -> None:
    stored = held(city.folder("little_rock_historic_sites"), LAYERS["little_rock_historic_sites"])
    assert Counter(row["description"] for row in stored) == Counter(
        row["Description"].strip() or None for row in city.rows("Historic.csv")
    )


def test_city_limits_come_in_as_areas(city: City) -> None:
    files = {f"boundaries/city_{name}little-rock.geojson": 1 for name in ("", "north-")}
    assert told(city.ledgers("little_rock_city_limits")[0]) == expected(2, files=files)
    stored = held(city.folder("little_rock_city_limits"), LAYERS["little_rock_city_limits"])
    assert [(row["geoid"], row["name"], row["land_area"]) for row in stored] == [
        ("0541000", "Little Rock", 310_777_032),
        ("0550450", "North Little Rock", 135_547_115),
    ]
    [feature] = orjson.loads((city.files / "boundaries" / "city_little-rock.geojson").read_bytes())["features"]
    assert shapely.from_wkt(stored[0]["geometry"]).equals(shapely.from_geojson(orjson.dumps(feature["geometry"]).decode()))


@pytest.mark.parametrize("id", list(LAYERS))
def test_the_same_file_twice_changes_nothing(id: str, city: City) -> None:
    first, again = city.ledgers(id)
    assert (again.published, again.unchanged, again.superseded) == (0, first.published, first.superseded)
    assert told(again) == {**told(first), "published": 0, "unchanged": first.published}
    state = FolderStore(city.folder(id) / "store").state(LAYERS[id])
    assert state is not None
    assert state.revision == 1


# The ledger


def test_every_row_that_is_read_is_in_the_ledger(tmp_path: Path) -> None:
    layer = layer_of(STOPS, privacy={"include": {"outcome": ["WARNING"]}})
    ledger = bring(
        tmp_path,
        layer,
        HEADER
        + STOP.format(number=1)
        + STOP.format(number=2)
        + "3,2020-01-02 03:04,ARREST,2,-92.3,34.7\n"  # withheld
        + "4,2020-01-02 03:04,,2,-92.3,34.7\n"  # withheld
        + "2,2020-01-02 03:04,WARNING,many,-92.3,34.7\n"  # the same id again, and no number
        + "5,yesterday,WARNING,2,-92.3,34.7\n"
        + "6,,WARNING,2,-92.3,34.7\n"
        + ",2020-01-02 03:04,WARNING,2,-92.3,34.7\n"
        + "7,2020-01-02 03:04,WARNING,2,-92.3\n",
    )
    assert told(ledger) == expected(
        9,
        "1.csv",
        published=2,
        superseded=1,
        excluded=2,
        rejected=4,
        blanked={"officers": 1},
        reasons={"at cannot be read": 1, "no at": 1, "no number": 1, "fewer columns than the header has": 1},
        withheld={"outcome": {"ARREST": 1, "": 1}},
    )
    assert ledger.in_words() == (
        "9 rows read from 1.csv: 2 published, 0 unchanged, 1 superseded, 2 excluded, 4 rejected.\n"
        "Rejected: at cannot be read (1), fewer columns than the header has (1), no at (1), no number (1).\n"
        "At cannot be read: add how it is written, such as %d/%m/%Y, to [ingest] dates in the layer file.\n"
        'No at: fill it in the file; or change the layer file: kind = "places" needs no time.\n'
        "No number: fill it in the file; or change the layer file: without a field of role id, rows get one.\n"
        "Fewer columns than the header has: mend these lines in the file.\n"
        "Left out, since they could not be read: values of officers (1).\n"
        "Withheld by outcome: no value (1), ARREST (1)."
    )
    assert rejects(tmp_path) == [
        ("1.csv", 7, "at cannot be read"),
        ("1.csv", 8, "no at"),
        ("1.csv", 9, "no number"),
        ("1.csv", 10, "fewer columns than the header has"),
    ]


def test_a_long_ledger_is_told_with_separators_and_in_short(tmp_path: Path) -> None:
    layer = layer_of(STOPS, privacy={"include": {"outcome": ["WARNING"]}})
    kinds = "".join(f"x{number},2020-01-02,KIND {number:02d},2,-92.3,34.7\n" for number in range(12))
    ledger = bring(tmp_path, layer, HEADER + "".join(STOP.format(number=number) for number in range(1_234)) + kinds)
    assert ledger.in_words().startswith(
        "1,246 rows read from 1.csv: 1,234 published, 0 unchanged, 12 excluded.\nWithheld by outcome: KIND 00 (1), "
    )
    assert ledger.in_words().endswith(", KIND 09 (1), and 2 more.")
    assert orjson.loads(orjson.dumps(ledger.as_json()))["withheld"]["outcome"]["KIND 11"] == 1


class LosingStore(FolderStore):
    """A store that does not tell of its last batch."""

    def publish(self, layer: Layer, batches: Any, *, replace: bool = False) -> Any:
        return super().publish(layer, list(batches)[:-1], replace=replace)


def test_a_row_that_the_store_loses_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(HEADER + STOP.format(number=1))
    with pytest.raises(IngestError, match="does not add up: 1 rows read, but 0 stored"):
        ingest(layer_of(STOPS), LosingStore(tmp_path / "store"), ["1.csv"], folder=tmp_path, home=tmp_path)


def test_with_replace_rows_that_are_gone_are_removed(tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, layer, HEADER + STOP.format(number=1) + STOP.format(number=2))
    appended = bring(tmp_path, layer, HEADER + STOP.format(number=3))
    assert (appended.published, appended.removed, len(held(tmp_path, layer))) == (1, 0, 3)
    replaced = bring(tmp_path, layer, HEADER + STOP.format(number=3) + STOP.format(number=4), replace=True)
    assert (replaced.published, replaced.unchanged, replaced.removed) == (1, 1, 2)
    assert "Removed, since no published row of the files has their ids: 2 rows." in replaced.in_words()
    assert [row["number"] for row in held(tmp_path, layer)] == ["3", "4"]


def test_a_field_without_a_column_is_told(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("number,at,lon,lat\n1,2024-05-01,-92.3,34.7\n")
    layer = layer_of(STOPS)
    ledger = ingest(layer, FolderStore(tmp_path / "store"), ["short.csv"], folder=tmp_path, home=tmp_path)
    assert set(ledger.lacking["short.csv"]) >= {"outcome", "officers"}
    assert "No column in short.csv, so no values: outcome, officers" in ledger.in_words()


def test_nothing_is_replaced_by_nothing_but_rejects(tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, layer, HEADER + STOP.format(number=1))
    with pytest.raises(IngestError, match=r"2 of 2 rows were rejected, so nothing is replaced: outside the bounds \(2\)"):
        bring(tmp_path, layer, HEADER + "2,2020-01-02,WARNING,2,34.7,-92.3\n3,2020-01-02,WARNING,2,34.7,-92.3\n", replace=True)
    assert [row["number"] for row in held(tmp_path, layer)] == ["1"]


# The rejects


def test_rejects_are_for_their_owner_only_and_replaced_each_time(tmp_path: Path) -> None:
    (tmp_path / "rejects.csv").write_text("old")
    (tmp_path / ".rejects.csv.0123abcd.new").write_text("left by an ingest that was killed")
    bring(tmp_path, layer_of(STOPS), HEADER + "1,never,WARNING,2,-92.3,34.7\n")
    assert rejects(tmp_path) == [("1.csv", 2, "at cannot be read")]
    assert stat.S_IMODE((tmp_path / "rejects.csv").stat().st_mode) == 0o600
    bring(tmp_path, layer_of(STOPS), HEADER + STOP.format(number=1))
    assert rejects(tmp_path) == []
    assert not list(tmp_path.glob(".rejects.csv.*"))


def test_rejects_are_never_readable_by_others_while_they_are_written(tmp_path: Path) -> None:
    class WatchingStore(FolderStore):
        def publish(self, layer: Layer, batches: Any, *, replace: bool = False) -> Any:
            for batch in batches:
                seen.extend(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(".rejects.csv.*.new"))
                assert isinstance(batch, pa.RecordBatch)
            return super().publish(layer, [], replace=replace)

    seen: list[int] = []
    (tmp_path / "1.csv").write_text(HEADER + STOP.format(number=1))
    with pytest.raises(IngestError, match="does not add up"):
        ingest(layer_of(STOPS), WatchingStore(tmp_path / "store"), ["1.csv"], folder=tmp_path, home=tmp_path)
    assert seen == [0o600]


def test_rejects_that_cannot_be_written_stop_the_ingest(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "1.csv").write_text(HEADER + STOP.format(number=1))
    with pytest.raises(IngestError, match=r"a_file/rejects\.csv: the list of rejects cannot be written there"):
        ingest(
            layer_of(STOPS),
            FolderStore(tmp_path / "store"),
            ["1.csv"],
            folder=tmp_path,
            home=tmp_path / "a_file",
        )
    assert not (tmp_path / "store").exists()


# When it fails


def test_a_broken_file_among_good_ones_publishes_nothing(tmp_path: Path) -> None:
    layer = layer_of(STOPS)
    bring(tmp_path, layer, HEADER + "1,never,WARNING,2,-92.3,34.7\n" + STOP.format(number=1))
    before, listed = held(tmp_path, layer), rejects(tmp_path)
    with pytest.raises(IngestError, match=r"2\.csv: no column for at, the layer's time"):
        bring(tmp_path, layer, HEADER + STOP.format(number=2), "number,when,lon,lat\n3,2020-01-02,-92.3,34.7\n")
    assert held(tmp_path, layer) == before
    assert rejects(tmp_path) == listed
    assert not list(tmp_path.glob(".rejects.csv.*"))


def test_a_store_that_fails_leaves_the_old_rejects(tmp_path: Path) -> None:
    class FailingStore(FolderStore):
        def publish(self, layer: Layer, batches: Any, *, replace: bool = False) -> Any:
            next(iter(batches))
            raise StoreError("the disk is full")

    layer = layer_of(STOPS)
    bring(tmp_path, layer, HEADER + "1,never,WARNING,2,-92.3,34.7\n")
    (tmp_path / "1.csv").write_text(HEADER + STOP.format(number=1))
    with pytest.raises(StoreError, match="the disk is full"):
        ingest(layer, FailingStore(tmp_path / "store"), ["1.csv"], folder=tmp_path, home=tmp_path)
    assert len(rejects(tmp_path)) == 1
    assert not list(tmp_path.glob(".rejects.csv.*"))


# Sources


def sources(folder: Path, names: Sequence[str], **changes: Any) -> list[str]:
    """The files that an ingest reads, in their order."""
    layer = layer_of(STOPS, **changes)
    ledger = ingest(layer, FolderStore(folder / "store"), names, folder=folder, home=folder)
    return list(ledger.files)


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    for number, name in enumerate(("b.csv", "a.csv", "more/c.csv", "d[1].csv", ".hidden.csv"), 1):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HEADER + STOP.format(number=number))
    (tmp_path / "notes.pdf").write_text("")
    (tmp_path / "empty.csv").write_text("")
    return tmp_path


def test_files_and_patterns_are_read_each_file_once(feed: Path) -> None:
    assert sources(feed, ["[ab].csv"]) == ["a.csv", "b.csv"]
    assert sources(feed, ["b.csv", "more/../[ab].csv", str(feed / "more" / "*.csv")]) == ["b.csv", "more/../a.csv", "more/c.csv"]
    assert sources(feed, ["d[1].csv", "**/c.csv"]) == ["d[1].csv", "more/c.csv"]
    assert sources(feed, [], ingest={"from": ["more/*"]}) == ["more/c.csv"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.csv", r"gone\.csv: there is no such file"),
        ("*.tsv", r"\*\.tsv: no file matches this pattern"),
        ("more", r'more: is a folder; name the files in it, such as "more/\*\.csv"'),
        (
            "notes.pdf",
            r"notes\.pdf: this kind of file cannot be read; what can be is CSV .*, GeoJSON .*, and any of these in a \.zip",
        ),
        ("empty.csv", r"empty\.csv: is empty"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(feed: Path, name: str, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        sources(feed, ["a.csv", name])
    assert not (feed / "store" / "stops" / "current.json").exists()


def test_an_ingest_without_any_source_says_where_to_name_one(feed: Path) -> None:
    with pytest.raises(
        IngestError, match=r"stops: nothing to read; name files, or list them in the layer file under \[ingest\] from"
    ):
        sources(feed, [])


def test_progress_is_told_in_bytes_of_all_files(feed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(feed / "store")
    ingest(layer_of(STOPS), store, ["a.csv", "b.csv"], folder=feed, home=feed, progress=True)
    bar = capsys.readouterr().err
    assert "b.csv: 100%" in bar
    assert f"{2 * (len(HEADER) + len(STOP.format(number=1)))}/" in bar
    ingest(layer_of(STOPS), store, ["a.csv", "b.csv"], folder=feed, home=feed)
    assert capsys.readouterr().err == ""
