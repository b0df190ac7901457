"""What tiles of points hold, counted by an independent decoder, against a slow, obvious twin that loops over the rows."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from crowds import BOXES, FIRST_DAY, KIND, MADE, REGIONS, SPOTS, Crowd, at, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from town import batch
from twin import Feature, Twin, address_of, decoded, tiles_around, world

from tileserver.catalog import GEOMETRY, Layer
from tileserver.errors import BadRequest
from tileserver.filters import Area, Filter
from tileserver.snapshot import Snapshot, prerender, select, tile
from tileserver.snapshot.cells import no_runs
from tileserver.snapshot.detail import GRIDS, MOST_MEMBERS
from tileserver.snapshot.inside import Region
from tileserver.snapshot.rendered import Rendered
from tileserver.snapshot.tile import LEAST_FEATURE, Address, Options, draw

OPTIONS = st.builds(Options, grid=st.sampled_from(GRIDS), aggregate=st.sampled_from(["auto", "always", "never"]))
DEFAULT = Options()


@pytest.fixture(scope="module", params=list(KIND))
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    return Crowd(request.param, tmp_path_factory.mktemp("crowd"))


def address(crowd: Crowd, data: st.DataObject) -> Address:
    """A tile that holds one of the rows."""
    place = data.draw(st.sampled_from([place for place in crowd.twin.places if place]))
    return address_of(place, data.draw(zooms(crowd.layer)))


def zooms(layer: Layer) -> st.SearchStrategy[int]:
    """The middle ones first, since Hypothesis likes to draw what comes first."""
    return st.sampled_from(sorted(range(layer.tiles.minzoom, layer.tiles.maxzoom + 1), key=lambda zoom: abs(zoom - 11)))


def same(found: list[Feature], expected: list[Feature]) -> bool:
    """Feature for feature; each goes by one of the ids that it may go by, and none by another one's."""
    pairs = list(zip(sorted(found, key=lambda each: each.key), sorted(expected, key=lambda each: each.key), strict=True))
    assert [one.key for one, _ in pairs] == [other.key for _, other in pairs]
    assert all(one.ids <= other.ids for one, other in pairs)
    return len({id for one in found for id in one.ids}) == len(found)


@settings(max_examples=50)
@given(data=st.data(), options=OPTIONS)
def test_a_tile_is_what_the_twin_draws(crowd: Crowd, data: st.DataObject, options: Options) -> None:
    filter, where = data.draw(crowd.filters), address(crowd, data)
    drawn = draw(crowd.snapshot, filter, where, options)
    expected = crowd.twin.tile(filter, where, options, crowd.snapshot.members_shown(where.z))
    assert same(decoded(drawn.data, crowd.layer.id), expected)
    assert drawn.shown == drawn.total == rows_of(expected)
    assert len(drawn.data) >= LEAST_FEATURE * len(expected)


@settings(max_examples=100)
@given(data=st.data(), options=OPTIONS)
def test_runs_and_rows_read_one_by_one_give_the_same_bytes(crowd: Crowd, data: st.DataObject, options: Options) -> None:
    filter, where = data.draw(crowd.filters), address(crowd, data)
    drawn = draw(crowd.snapshot, filter, where, options)
    for way in WAYS:
        crowd.snapshot.counts.clear()
        with way():
            assert draw(crowd.snapshot, filter, where, options) == drawn


@contextmanager
def everything_read() -> Iterator[None]:
    """No leaf and no run tells anything: every row of the snapshot is asked."""

    def asked(snapshot: Snapshot, filter: Filter, leaves: slice, places: list[select.Place]) -> select.Selection:
        bounds = snapshot.leaves.bounds[leaves]
        rows = select.rows(snapshot, filter, int(bounds[0, 0]), int(bounds[-1, -1])) if len(bounds) else np.zeros(0, np.int64)
        for place in places:
            rows = rows[place.contains(snapshot.x[rows], snapshot.y[rows])]
        return select.Selection(no_runs(), rows)

    def within(snapshot: Snapshot, filter: Filter, first: int, last: int) -> select.Selection:
        rows = asked(snapshot, filter, slice(0, len(snapshot.leaves)), []).rows
        codes = snapshot.codes(rows)
        return select.Selection(no_runs(), rows[(codes >= np.uint64(first)) & (codes <= np.uint64(last))])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "_select", asked)
        patch.setattr(select, "within", within)
        yield


@contextmanager
def runs_read(span: float) -> Iterator[None]:
    """Runs are found, and then read: row after row, or as a span of rows from a mean length of `span` on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "_must_read", lambda *_: True)
        patch.setattr(select, "SPAN", span)
        yield


WAYS = (everything_read, lambda: runs_read(0), lambda: runs_read(float("inf")))


@settings(max_examples=60)
@given(data=st.data())
def test_what_is_counted_is_what_matches(crowd: Crowd, data: st.DataObject) -> None:
    filter = data.draw(crowd.filters)
    matching = crowd.twin.matching(filter)
    without = sum(crowd.twin.places[number] is None for number in matching)
    placed = len(matching) - without
    crowd.snapshot.counts.clear()
    for most in (0, 40, placed - 1, placed, placed + 1):
        assert select.exceeds(crowd.snapshot, filter, most) == (placed > most)
    assert select.count(crowd.snapshot, filter) == select.Count(len(matching), without)


@settings(max_examples=8)
@given(data=st.data(), options=OPTIONS)
def test_the_rows_of_all_tiles_of_a_zoom_are_those_counted(crowd: Crowd, data: st.DataObject, options: Options) -> None:
    filter, zoom = data.draw(crowd.filters), data.draw(zooms(crowd.layer))
    features: list[Feature] = []
    for where in {address_of(place, zoom) for place in crowd.twin.places if place}:
        drawn = draw(crowd.snapshot, filter, where, options)
        found = decoded(drawn.data, crowd.layer.id)
        assert drawn.total == drawn.shown == rows_of(found)
        features += found
    assert rows_of(features) == select.count(crowd.snapshot, filter).positioned
    assert len({id for each in features for id in each.ids}) == len(features)


def rows_of(features: list[Feature]) -> int:
    """How many rows features stand for: a row counts one."""
    return sum(each.properties.get("point_count", 1) for each in features)


class Corner:
    """Points on, and next to, the sides of tiles of every zoom that meet at one corner, where a city may well stand."""

    def __init__(self, folder: Path) -> None:
        layer = Layer.model_validate(KIND["licenses"] | {"id": "corner", "title": "Corner", "tiles": {"maxzoom": 22, "budget": 40}})
        beside = [sign * 2**level + step for level in range(0, 31, 2) for sign in (-1, 1) for step in (-1, 0, 1)]
        pairs = [(x, y) for x in (0, -1) for y in (0, *beside)] + [(x, y) for x in beside for y in (0, -1, beside[-x % 96])]
        self.places = [(2**31 + x, 2**31 + y) for x, y in pairs]
        points = [at(*place) for place in self.places]
        rows = [{"number": f"{number}", GEOMETRY: point} for number, point in enumerate(points)]
        assert Twin(layer, [dict.fromkeys(layer.schema.names) | row for row in rows], {}).places == self.places
        self.snapshot = snapshot_of(layer, folder, batch(layer, rows))


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Corner:
    return Corner(tmp_path_factory.mktemp("corner"))


@pytest.mark.parametrize("zoom", range(23))
def test_neighbouring_tiles_share_no_row_and_lose_none(corner: Corner, zoom: int) -> None:
    tiles = list(tiles_around(corner.places, zoom))
    ids = Counter(
        str(feature.properties["id"])
        for where in tiles
        for feature in decoded(draw(corner.snapshot, Filter(), where, Options(aggregate="never")).data, "corner")
    )
    assert ids == Counter(map(str, range(len(corner.places))))


@settings(max_examples=30)
@given(zoom=st.integers(0, 21), grid=st.sampled_from(GRIDS), data=st.data())
def test_a_tile_holds_the_rows_of_its_quarters(corner: Corner, zoom: int, grid: int, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(list(tiles_around(corner.places, zoom))))
    filter = Filter(bbox=data.draw(st.none() | st.sampled_from([(-1.0, -1.0, 0.0, 0.0), (-90.0, 0.0, 180.0, 80.0)])))
    quarters = [Address(zoom + 1, 2 * where.x + x, 2 * where.y + y) for x in (0, 1) for y in (0, 1)]
    one, *four = (
        rows_of(decoded(draw(corner.snapshot, filter, each, Options(grid=grid)).data, "corner")) for each in (where, *quarters)
    )
    assert one == sum(four)


@pytest.fixture(scope="module")
def drawn_before(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """A crowd with tiles that were drawn when the snapshot was built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prerender, "MANY", 10)
        return Crowd("incidents", tmp_path_factory.mktemp("drawn"))


def without_rendered(snapshot: Snapshot) -> Snapshot:
    one = copy(snapshot)
    one.rendered = None
    return one


def test_tiles_drawn_when_the_snapshot_was_built_are_those_drawn_on_demand(drawn_before: Crowd) -> None:
    snapshot, fresh = drawn_before.snapshot, without_rendered(drawn_before.snapshot)
    assert snapshot.rendered is not None
    found = 0
    for zoom in range(17):
        held = Counter(address_of(place, zoom) for place in drawn_before.twin.places if place)
        for where in (where for where, rows in held.items() if rows > 5):
            kept = snapshot.rendered.get(where.z, where.x, where.y)
            drawn = draw(fresh, Filter(), where, DEFAULT)
            assert draw(snapshot, Filter(), where, DEFAULT) == drawn
            assert kept in (None, (drawn.data, drawn.total))
            assert kept is None or drawn.total >= 10
            found += kept is not None
    assert found == len(snapshot.rendered.keys) > 40
    assert snapshot.rendered.get(0, 0, 0) is not None


@pytest.mark.parametrize(
    ("filter", "options"),
    [
        (Filter(), Options(grid=32)),
        (Filter(), Options(aggregate="always")),
        (Filter(), Options(aggregate="never")),
        (Filter(properties=()), DEFAULT),
        (Filter(properties=tuple(KIND["incidents"]["fields"])), DEFAULT),
        (Filter(categories=(("ward", ("North",)),)), DEFAULT),
        (Filter(interval=(None, FIRST_DAY)), DEFAULT),
        (Filter(bbox=BOXES[0]), DEFAULT),
        (Filter(area=Area("areas", "city", "0", REGIONS["city"])), DEFAULT),
    ],
)
def test_a_tile_that_asks_for_more_is_not_taken_from_those_drawn_before(
    drawn_before: Crowd, filter: Filter, options: Options
) -> None:
    other, kept = copy(drawn_before.snapshot), drawn_before.snapshot.rendered
    assert kept is not None
    other.rendered = replace(kept, data=kept.data[::-1])
    where = Address(3, 1, 3)
    assert draw(other, Filter(), where, DEFAULT).data == kept.data[::-1][slice(*_span(kept, where))].tobytes()
    assert draw(other, filter, where, options) == draw(without_rendered(other), filter, where, options)


def _span(rendered: Rendered, where: Address) -> tuple[int, int]:
    place = int(np.searchsorted(rendered.keys, np.uint64(where.z << 58 | where.y << 29 | where.x)))
    return int(rendered.ends[place]), int(rendered.ends[place + 1])


@pytest.mark.parametrize("limit", [5, 40, 200])
def test_cells_show_as_many_members_as_no_tile_from_there_on_grows_too_large(tmp_path: Path, limit: int) -> None:
    crowd = Crowd("licenses", tmp_path, features=limit)
    fits = {zoom: {most for most in MOST_MEMBERS if fullest(crowd, zoom, most) <= limit} for zoom in range(2, 19)}
    expected = [max({1, *set.intersection(*(fits[closer] for closer in range(zoom, 19)))}) for zoom in range(2, 19)]
    assert [crowd.snapshot.members_shown(zoom) for zoom in range(2, 19)] == expected
    assert crowd.snapshot.detail_zoom == next((zoom for zoom in range(2, 19) if expected[zoom - 2] == MOST_MEMBERS[0]), 18)


def fullest(crowd: Crowd, zoom: int, most: int) -> int:
    """The features of the fullest tile of a zoom whose cells show up to `most` members."""
    cells = Counter((place[0] >> (26 - zoom), place[1] >> (26 - zoom)) for place in crowd.twin.places if place)
    tiles: Counter[tuple[int, int]] = Counter()
    for (x, y), members in cells.items():
        tiles[x >> 6, y >> 6] += members if members <= most else 1
    return max(tiles.values())


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """Rows that say so much that tiles do not hold all of it, most of them alone in their cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MADE, "number", lambda number, _: f"{number:0100}")
        patch.setitem(MADE, "note", lambda number, _: f"{number}" * 100)
        patch.setitem(MADE, GEOMETRY, lambda _, chance: shapely.Point(*chance.uniform([-180, -85], [180, 85])))
        patch.setitem(KIND["licenses"], "tiles", {"budget": 20_000})
        return Crowd("licenses", tmp_path_factory.mktemp("notes"), 9_000)


def test_a_tile_over_the_limit_loses_attributes_before_features(notes: Crowd) -> None:
    some = Filter(area=Area("areas", "a third", "0", Region(shapely.box(-180, -60, -60, 70))))
    drawn = draw(notes.snapshot, some, Address(0, 0, 0), DEFAULT)
    found = decoded(drawn.data, "licenses")
    assert (drawn.dropped, drawn.shown) == ("attributes", drawn.total)
    assert len(drawn.data) <= 500_000
    assert len(found) == drawn.total
    assert {name for feature in found for name in feature.properties} == {"id", "street", "ward"}
    bare = draw(notes.snapshot, replace(some, properties=()), Address(0, 0, 0), DEFAULT)
    assert bare.dropped == ""


def test_the_last_features_go_only_where_nothing_else_is_left_and_are_counted(notes: Crowd) -> None:
    drawn = draw(notes.snapshot, Filter(), Address(0, 0, 0), DEFAULT)
    found = decoded(drawn.data, "licenses")
    assert drawn.dropped == "features"
    assert rows_of(found) == drawn.shown < drawn.total == notes.snapshot.positioned
    assert 400_000 < len(drawn.data) <= 500_000
    assert {name for feature in found for name in feature.properties} == {"id"}


def test_never_aggregated_a_tile_over_the_limit_is_refused(notes: Crowd) -> None:
    for filter in (Filter(), Filter(properties=())):
        with pytest.raises(BadRequest, match="500 kB"):
            draw(notes.snapshot, filter, Address(0, 0, 0), Options(aggregate="never"))
    whole = draw(notes.snapshot, Filter(), Address(6, 12, 20), Options(aggregate="never"))
    assert whole.dropped == ""


def test_many_rows_are_refused_before_any_is_written(notes: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "_write", pytest.fail)
    with pytest.raises(BadRequest, match="500 kB"):
        draw(notes.snapshot, Filter(), Address(0, 0, 0), Options(aggregate="never"), 20_000)


def test_a_tile_carries_the_chosen_properties_alone(crowd: Crowd) -> None:
    where = address_of(world(shapely.Point(SPOTS[0])), 9)
    for name, field in crowd.layer.fields.items():
        found = decoded(draw(crowd.snapshot, Filter(properties=(name,)), where, DEFAULT).data, crowd.layer.id)
        named = {name} if field.role in ("id", "category") or not field.measure else {name, f"sum_{name}"}
        assert {name for feature in found for name in feature.properties} == {"id", "cluster", "point_count", *named}


def test_few_matching_rows_are_drawn_as_they_are_at_every_zoom(crowd: Crowd) -> None:
    few = Filter(bbox=(-92.32, 34.715, -92.305, 34.7199))
    ids = {crowd.rows[number][crowd.layer.id_name] for number in crowd.twin.matching(few)}
    assert 0 < len(ids) <= crowd.layer.tiles.budget
    for zoom in range(crowd.layer.tiles.minzoom, 11):
        found = decoded(
            draw(crowd.snapshot, few, address_of(world(shapely.Point(-92.31, 34.718)), zoom), DEFAULT).data, crowd.layer.id
        )
        assert {feature.properties["id"] for feature in found} == ids
