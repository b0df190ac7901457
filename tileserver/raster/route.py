"""`/raster/{id}/…`: strict addresses in front of titiler's factory, which draws in threads of its own.

The factory finds its numbers by the layer's id alone. It never sees a query: what `asked` does not know is refused, and what it
knows reaches the factory as values.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import numpy as np
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from morecantile import TileMatrixSet
from rasterio.errors import RasterioError
from rio_tiler.constants import WEB_MERCATOR_TMS
from rio_tiler.errors import PointOutsideBounds, RioTilerError, TileOutsideBounds
from rio_tiler.io import BaseReader
from rio_tiler.models import BandStatistics, ImageData
from rio_tiler.types import ColorMapType
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from titiler.core.algorithm.base import BaseAlgorithm
from titiler.core.dependencies import DefaultDependency
from titiler.core.factory import TilerFactory

from tileserver.answers import json_answer, not_modified, origin
from tileserver.errors import BadRequest, NotFound, Unavailable
from tileserver.flights import Flights
from tileserver.raster.asked import OF_NUMBERS, OF_PICTURES, Asked, parse
from tileserver.raster.density import TILE, Density, Points
from tileserver.raster.geotiff import DEEPEST_ZOOM, ENVIRONMENT, GeoTiff, GeoTiffReader
from tileserver.raster.look import Range
from tileserver.raster.tilejson import tilejson

POOL_THREADS = 2
"""Pictures drawn at a time in one process; vector tiles have threads of their own."""

FORMATS = ("png", "webp")

log = logging.getLogger("tileserver.raster")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_DEGREES = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,15})?")
_NO_TILE = (
    "There is no picture at this address. Pictures are at /raster/{layer}/tiles/{z}/{x}/{y}.png, inside the grid; also .webp."
)


# What the factory asks for, answered from what the address said.


def _asked(request: Request) -> Asked:
    asked: Asked = request.state.asked
    return asked


def source(request: Request) -> GeoTiff | Points:
    """The factory's path dependency: the layer's id has led to it, and nothing else can."""
    return _asked(request).source


def reader(source: GeoTiff | Points, tms: TileMatrixSet = WEB_MERCATOR_TMS) -> BaseReader:
    return Density(source, tms) if isinstance(source, Points) else GeoTiffReader(source.path, tms)


class Bands(DefaultDependency):
    def __init__(self, request: Request) -> None:
        self.indexes = _asked(request).bands


class Resampling(DefaultDependency):
    """For pictures; points and statistics tell the file's values as they are."""

    def __init__(self, request: Request) -> None:
        of_picture = "z" in request.path_params
        self.resampling_method = self.reproject_method = _asked(request).resampling if of_picture else None


class Rendering(DefaultDependency):
    def __init__(self, request: Request) -> None:
        self.rescale = _asked(request).ranges()


class Shading(BaseAlgorithm):
    """Densities go by their square root, so that a city's middle does not outshine the rest of it."""

    range: Range | None

    def __call__(self, img: ImageData) -> ImageData:
        low, high = self.range or (img.dataset_statistics or [(0.0, 1.0)])[0]
        img.array = np.ma.sqrt(img.array)
        return img.rescale(in_range=[(low**0.5, high**0.5)])


def shading(request: Request) -> Shading | None:
    asked = _asked(request)
    return Shading(range=next(iter(asked.look.ranges), None)) if isinstance(asked.source, Points) else None


def colors(request: Request) -> ColorMapType | None:
    return _asked(request).colors()


def environment() -> dict[str, Any]:
    return dict(ENVIRONMENT)


FACTORY = TilerFactory(
    path_dependency=source,
    reader=cast("type[BaseReader]", reader),  # the factory does no more with it than call it
    layer_dependency=Bands,
    dataset_dependency=Resampling,
    tile_dependency=DefaultDependency,
    process_dependency=shading,
    colormap_dependency=colors,
    render_dependency=Rendering,
    environment_dependency=environment,
    add_preview=False,
    add_part=False,
    add_viewer=False,
)

SERVED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "/tiles/{tileMatrixSetId}/{z}/{x}/{y}.{format}": {
        "/raster/{id}/tiles/{z}/{x}/{y}@2x.{format}": {"tileMatrixSetId": "WebMercatorQuad", "tilesize": 2 * TILE},
        "/raster/{id}/tiles/{z}/{x}/{y}.{format}": {"tileMatrixSetId": "WebMercatorQuad", "tilesize": TILE},
    },
    "/statistics": {"/raster/{id}/statistics": {}},
    "/point/{lon},{lat}": {"/raster/{id}/point/{lon},{lat}": {"coord_crs": None}},
}
"""What is served of the factory: its addresses, ours, and what is not for clients to choose."""


class PictureRoute(APIRoute):
    """One of the factory's addresses, answered as all of ours are: what is wrong is 400 or 404, what the client has is 304."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        is_of_tiles = "{z}" in self.path

        async def handler(request: Request) -> Response:
            address = request.path_params
            zoom = _zoom(address) if is_of_tiles else None
            _refuse_position(address)
            asked = request.state.asked = await parse(request, address["id"], OF_NUMBERS if zoom is None else OF_PICTURES)
            if zoom is not None:
                _refuse_picture(asked, zoom)
            headers = {"ETag": asked.tag, "Cache-Control": asked.kept_for}
            if not_modified(request, asked.tag):
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
            try:
                made = await answer(request)
            except TileOutsideBounds:
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
            except PointOutsideBounds as error:
                raise NotFound("This point is outside the raster; its TileJSON tells the bounds.") from error
            except (RasterioError, RioTilerError) as error:
                log.warning("raster %s: %s", address["id"], error)
                raise Unavailable("The raster cannot be read at the moment. Try again later.") from error
            made.headers.update(headers)
            return made

        return handler


def _zoom(address: Mapping[str, str]) -> int:
    """Raises NotFound for what is no tile of the grid. Nothing is coerced: what is not written as we write it is not there."""
    numbers = [address[name] for name in ("z", "x", "y")]
    if address["format"] not in FORMATS or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise NotFound(_NO_TILE)
    z, x, y = map(int, numbers)
    if z > DEEPEST_ZOOM or max(x, y) >= 1 << z:
        raise NotFound(_NO_TILE)
    return z


def _refuse_position(address: Mapping[str, str]) -> None:
    """Raises BadRequest if the address has a position and that is none."""
    for name, most in (("lon", 180), ("lat", 90)):
        if name in address and not (_DEGREES.fullmatch(address[name]) and abs(float(address[name])) <= most):
            raise BadRequest("A point is given in degrees: /raster/{layer}/point/{longitude},{latitude}.")


def _refuse_picture(asked: Asked, zoom: int) -> None:
    """Raises NotFound for a zoom that the layer does not have, BadRequest for bands that make no colors."""
    if not asked.source.minzoom <= zoom <= asked.source.maxzoom:
        raise NotFound("This zoom is outside those of the layer; its TileJSON tells them.")
    if len(asked.bands) not in (1, 3):
        raise BadRequest("bidx takes one band for a picture, or three: red, green and blue.")
    if asked.look.colormap and len(asked.bands) != 1:
        raise BadRequest("colormap_name colors a single band; name one with bidx.")
    if len(asked.look.ranges) not in (0, 1, len(asked.bands)):
        raise BadRequest("rescale takes one range, or one for each band.")


def _in_the_pool(endpoint: Callable[..., Any], fixed: Mapping[str, Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The factory's endpoint on a thread of the pictures' own, once for all who wait for the same, some arguments fixed."""

    async def drawn(request: Request, **given: Any) -> Any:
        pictures: Flights[Any] = request.app.state.pictures
        asked = _asked(request)
        make = partial(_told, asked, partial(endpoint, **given, **fixed))
        return await pictures.get(f"{asked.tag}{request.url.path}", make, _not_kept, request)

    # FastAPI reads from the signature what to hand over.
    parameters = inspect.signature(endpoint).parameters.values()
    left = [each.replace(kind=each.KEYWORD_ONLY) for each in parameters if each.name not in fixed]
    asking = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    vars(drawn)["__signature__"] = inspect.Signature([asking, *left])
    return drawn


def _not_kept(_: Any) -> None:
    """Clients keep pictures, by their ETags; the server does not."""


def _told(asked: Asked, make: Callable[[], Any]) -> Any:
    """What the factory makes; numbers with their unit."""
    made = make()
    if not isinstance(made, dict) or isinstance(asked.source, Points):
        return made
    unit = asked.source.raster.unit
    if all(isinstance(each, BandStatistics) for each in made.values()):
        return {band: {**each.model_dump(), "unit": unit} for band, each in made.items()}
    return {**made, "unit": unit}


router = APIRouter()


@router.api_route("/raster/{id}/tilejson.json", methods=["GET", "HEAD"])
async def tilejson_of(request: Request, id: str) -> Response:
    asked = await parse(request, id)
    document = await run_in_threadpool(tilejson, asked, request.query_params.multi_items(), origin(request))
    return json_answer(request, document)


def _serve(route: APIRoute, addresses: Mapping[str, Mapping[str, Any]]) -> None:
    for address, fixed in addresses.items():
        router.add_api_route(
            address,
            _in_the_pool(route.endpoint, fixed),
            methods=["GET", "HEAD"],
            response_class=route.response_class,
            response_model=None,
            route_class_override=PictureRoute,
        )


for _route in FACTORY.router.routes:
    if isinstance(_route, APIRoute) and "GET" in (_route.methods or ()):
        _serve(_route, SERVED.get(_route.path, {}))
