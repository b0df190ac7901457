"""The areas that filters name: rows of layers of areas, at the revision that is live."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

import shapely

from tileserver.errors import BadRequest
from tileserver.filters import Area, AreaOf
from tileserver.snapshot import Live, Snapshot
from tileserver.snapshot.ids import rows_of
from tileserver.snapshot.inside import Region

MOST_KEPT = 256
"""Areas of one snapshot whose grid is kept once it is made."""


def of(live: Live) -> AreaOf:
    """What finds the area of an id of a layer of areas.

    It raises:
        BadRequest: there is no such layer of areas, or no such area in it; the ids are not told back.
        Unavailable: the layer has no snapshot yet.
    """
    return partial(_area, live)


def _area(live: Live, layer_id: str, id: str) -> Area:
    layer = live.catalog.get(layer_id)
    if layer is None or layer.kind != "areas" or not layer.shows_rows:
        raise BadRequest(
            "area names no layer of areas. /layers lists those; it takes the id of one, a colon, and a row's id, such as wards:3."
        )
    snapshot = live.snapshot(layer)
    kept = _kept.setdefault(snapshot, {})
    if id not in kept:
        made = Area(layer_id, id, snapshot.revision, _region(snapshot, id))
        if len(kept) >= MOST_KEPT:
            kept.clear()
        kept[id] = made
    return kept[id]


_kept: WeakKeyDictionary[Snapshot, dict[str, Area]] = WeakKeyDictionary()
"""Areas go with their snapshot."""


def _region(snapshot: Snapshot, id: str) -> Region:
    rows = rows_of(snapshot, id)
    if not len(rows):
        raise BadRequest("area names no area of its layer: there is no row of this id.")
    placed = rows[rows < snapshot.positioned]
    shapes = shapely.from_wkb(snapshot.wkb(placed).to_numpy(zero_copy_only=False))
    return Region(shapes[0] if len(shapes) else shapely.Polygon())
