"""The interface described for machines (OpenAPI 3.0): each layer's own addresses with the parameters that it takes.

GDAL reads here which conditions it may leave to the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tileserver import filters
from tileserver.catalog import Field, Layer
from tileserver.errors import PROBLEM_JSON
from tileserver.filters import cql2
from tileserver.snapshot import features

OPENAPI = "application/vnd.oai.openapi+json;version=3.0"

DEFAULT_LIMIT = 100
MOST = 10_000
"""Items on a page; who asks for more gets these and a link to the next."""

Document = dict[str, Any]

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def describe(layers: Iterable[Layer], url: str) -> Document:
    """The document; `url` is that of the landing page."""
    paths = {
        "/": _get("landing", "What there is"),
        "/conformance": _get("conformance", "What this server conforms to"),
        "/api": _get("api", "This description", type=OPENAPI),
        "/collections": _get("collections", "The layers"),
    }
    for layer in layers:
        path = f"/collections/{layer.id}"
        paths[path] = _get(f"{layer.id}.collection", layer.title)
        paths[f"{path}/items"] = _get(f"{layer.id}.items", f"{layer.title}: items", [*_query(layer)], features.MEDIA_TYPE)
        paths[f"{path}/items/{{featureId}}"] = _get(f"{layer.id}.item", f"{layer.title}: one item", [_ITEM], features.MEDIA_TYPE)
    return {
        "openapi": "3.0.3",
        "info": {"title": "tileserver", "version": "1.0.0", "description": "The layers of this server as OGC API – Features."},
        "servers": [{"url": url}],
        "paths": paths,
    }


def _get(operation: str, summary: str, parameters: Sequence[Document] = (), type: str = "application/json") -> Document:
    wrong = {"description": "What is wrong, and what to do", "content": {PROBLEM_JSON: {"schema": {"type": "object"}}}}
    right = {"description": summary, "content": {type: {"schema": {"type": "object"}}}}
    answers = {"200": right, "4XX": wrong, "5XX": wrong}
    return {"get": {"operationId": operation, "summary": summary, "parameters": [*parameters, _FORMAT], "responses": answers}}


def _query(layer: Layer) -> Iterator[Document]:
    """What the items of a layer take."""
    yield _parameter("limit", "Items on a page", {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT})
    yield _parameter("cursor", "Where the page begins, as the link to it says", TEXT)
    yield from (_parameter(name, told, schema) for name, (told, schema) in _FILTERS.items() if filters.takes(layer, name))
    yield from (_category(field) for field in layer.categories if filters.takes(layer, field.name))


def _category(field: Field) -> Document:
    """One that may come several times, for "or"; written in one with commas it would be one value."""
    schema = {"type": "array", "items": TEXT}
    return _parameter(field.name, field.description or field.title or field.name, schema) | {"explode": True}


def _parameter(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": schema, "style": "form", "explode": False}


_ITEM = {"name": "featureId", "in": "path", "required": True, "schema": TEXT}
_FORMAT = _parameter("f", "The format of the answer", {"type": "string", "enum": ["json", "geojson"]})
_FILTERS: dict[str, tuple[str, Document]] = {
    "bbox": (
        "west,south,east,north in degrees; west > east crosses the antimeridian",
        {"type": "array", "minItems": 4, "maxItems": 6, "items": NUMBER},
    ),
    "datetime": ("An instant, a date, or an interval with a slash, where .. leaves a side open", TEXT),
    "last": ("A period that ends where the layer is complete: 24h, 7d, 12w, 6m, 1y, ytd", TEXT),
    "area": ("Where rows lie: the id of a layer of areas, a colon, and the id of one of its rows", TEXT),
    "filter": (
        "CQL2: comparisons of the layer's fields with values, S_INTERSECTS, S_WITHIN and T_ operators, with AND, OR, NOT",
        TEXT,
    ),
    "filter-lang": ("How the filter is written", TEXT | {"enum": [*cql2.LANGUAGES], "default": "cql2-text"}),
    "properties": ("The fields to send", {"type": "array", "items": TEXT}),
}
