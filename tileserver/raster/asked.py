"""What a request asks for: which numbers, in which colors. Decided from the address; whatever is not listed here is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rio_tiler.types import ColorMapType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from tileserver import filters
from tileserver.answers import REVALIDATE, YEAR, etag, immutable
from tileserver.catalog import Layer, Raster
from tileserver.catalog.values import length
from tileserver.errors import BadRequest, NotFound
from tileserver.raster import geotiff, look
from tileserver.raster.density import Points
from tileserver.raster.geotiff import GeoTiff
from tileserver.raster.look import Look, Range
from tileserver.snapshot import Live, areas

RENDERER = 1
"""Part of every ETag: moves when the same numbers are drawn to other bytes."""

OF_PICTURES = ("bidx", "rescale", "colormap_name", "resampling", "rev")
OF_NUMBERS = ("bidx",)
OF_DENSITIES = ("rescale", "colormap_name", "rev")
"""Parameters of pictures of files, of the files' numbers, and of densities, which take those of filters too."""

DENSITY_COLORMAP = "ylorrd"

Items = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    source: GeoTiff | Points
    look: Look
    revision: str
    """Of the layer: moves with its numbers and with its layer file."""
    rev: str = ""
    """The revision that the client believes to be live."""

    @property
    def tag(self) -> str:
        """The ETag of every answer from these numbers in these colors."""
        filter = self.source.filter.text if isinstance(self.source, Points) else ""
        return etag(str(RENDERER), self.layer.id, self.revision, filter, repr(self.look))

    @property
    def layer(self) -> Layer | Raster:
        return self.source.snapshot.layer if isinstance(self.source, Points) else self.source.raster

    @property
    def kept_for(self) -> str:
        """At an address that names the live revision a year, or the layer's `max_age`; else until asked again."""
        if self.rev != self.revision or (isinstance(self.source, Points) and self.source.filter.moves):
            return REVALIDATE
        return immutable(min(YEAR, length(self.layer.max_age).total_seconds()) if self.layer.max_age else YEAR)

    @property
    def bands(self) -> tuple[int, ...]:
        if isinstance(self.source, Points):
            return (1,)
        return self.look.bands or self.source.facts.shown

    @property
    def resampling(self) -> str:
        palette = isinstance(self.source, GeoTiff) and self.source.facts.has_palette
        return self.look.resampling or ("nearest" if palette else "bilinear")

    @property
    def colormap(self) -> str | None:
        """Its name; None where the numbers are colors already."""
        if isinstance(self.source, Points):
            return self.look.colormap or DENSITY_COLORMAP
        is_colors = self.source.facts.has_palette or len(self.bands) != 1
        return self.look.colormap or (None if is_colors else self.source.raster.colormap)

    def colors(self) -> ColorMapType | None:
        if self.colormap is None:
            return None
        return look.fading(self.colormap) if isinstance(self.source, Points) else look.colors(self.colormap)

    def ranges(self) -> list[Range] | None:
        """The values of each band's first and last color; None where the numbers are colors already. May read the file.

        None for densities too, which have a range of their own at each zoom.
        """
        if isinstance(self.source, Points):
            return None
        if self.look.ranges:
            return list(self.look.ranges)
        facts = self.source.facts
        if self.source.raster.range is None and (facts.has_palette or (facts.is_bytes and len(self.bands) == 3)):
            return None
        return [self.source.range_of(band) for band in self.bands]


async def parse(request: Request, id: str, of_files: Sequence[str] = OF_PICTURES) -> Asked:
    """The layer's numbers, and how the query wants them shown.

    Raises:
        NotFound: there is no such raster, and no such layer of points whose rows are published.
        BadRequest: a parameter that this address does not take, or a value that is none.
        Unavailable: file or snapshot cannot be read at the moment.
    """
    live: Live = request.app.state.live
    items = request.query_params.multi_items()
    if raster := live.catalog.rasters.get(id):
        return await _of_file(request, raster, items, of_files)
    return _of_points(live, items, id)


async def _of_file(request: Request, raster: Raster, items: Items, known: Sequence[str]) -> Asked:
    look = _look(items, known)
    tiff = await run_in_threadpool(geotiff.current, raster, request.app.state.settings)
    if any(band > tiff.facts.count for band in look.bands):
        raise BadRequest(f"bidx is at most {tiff.facts.count} for this raster.")
    return Asked(tiff, look, tiff.revision, _rev(items))


def _of_points(live: Live, items: Items, id: str) -> Asked:
    layer = live.published(id)
    if not layer.is_points:
        raise NotFound("This layer is neither a raster nor one of points, whose density could be drawn.")
    own = [(name, value) for name, value in items if name in OF_DENSITIES]
    conditions = [(name, value) for name, value in items if name not in OF_DENSITIES]
    _refuse_unknown(layer, conditions)
    look = _look(own, OF_DENSITIES)
    if len(look.ranges) > 1 or any(low < 0 for low, _ in look.ranges):
        raise BadRequest("rescale takes one range of densities here, from 0 on.")
    filter = filters.parse([layer], conditions, live.complete_through, areas.of(live))[layer.id]
    current = live.current(layer)
    return Asked(Points(live.snapshot(layer, current), filter), look, current.revision, _rev(items))


def _refuse_unknown(layer: Layer, conditions: Items) -> None:
    """`properties` chooses what tiles carry, and a picture carries none; other strangers `filters.parse` would tell less well."""
    known = [name for name in filters.PARAMETERS if name != "properties" and filters.takes(layer, name)]
    known += [field.name for field in layer.categories if field.name not in known]
    for name, _ in conditions:
        if name.removeprefix(f"{layer.id}.") not in known:
            raise BadRequest(f"Unknown parameter. This address takes: {', '.join([*known, *OF_DENSITIES])}.")


def _rev(items: Items) -> str:
    return dict(items).get("rev", "")


def _look(items: Items, known: Sequence[str]) -> Look:
    given: dict[str, list[str]] = defaultdict(list)
    for name, value in items:
        if name not in known:
            raise BadRequest(f"Unknown parameter. This address takes: {', '.join(known)}.")
        given[name].append(value)
    return look.parse(given)
