"""What may be done about rows that are rejected."""

from __future__ import annotations

from tileserver.catalog import Layer
from tileserver.ingest import positions

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def advice(layer: Layer, reason: str, *, few: bool = False) -> str:
    """What to change, in the layer file by its key or in the data, so that rows rejected for a reason come in.

    Where it is `few` of all rows, the layer file suits the others, and the data are to be looked at first.
    """
    optional = 'position = "optional" in the layer file keeps such rows, counted and downloaded, not drawn'
    match reason:
        case positions.NO_POSITION if layer.ingest.join:
            return f"no row of {layer.ingest.join.layer} has their {layer.ingest.join.by}, or several have; {optional}"
        case positions.NO_POSITION | positions.AT_ZERO:
            return optional
        case positions.UNREADABLE:
            return f"mend them in the file, or name other columns under [ingest] x and y, or geometry; {optional}"
        case positions.OUTSIDE_CRS:
            return f"{layer.ingest.crs or 'what the file says'} does not reach there; check [ingest] crs in the layer file"
        case positions.OUTSIDE_BOUNDS if tuple(layer.bounds) == EVERYWHERE and few:
            return "these few are no longitudes and latitudes, perhaps swapped; mend these lines in the file"
        case positions.OUTSIDE_BOUNDS if tuple(layer.bounds) == EVERYWHERE:
            return "they are no longitudes and latitudes; name their coordinate system under [ingest] crs in the layer file"
        case positions.OUTSIDE_BOUNDS:
            west, south, east, north = layer.bounds
            widen = f"widen bounds = [{west}, {south}, {east}, {north}] in the layer file if they are right"
            return f"{widen}, else mend these lines, perhaps swapped" if few else f"{widen}, else check [ingest] crs"
        case positions.WRONG_KIND:
            takes = "takes polygons alone" if layer.kind == "areas" else "takes single points alone"
            return f'kind = "{layer.kind}" in the layer file {takes}; "shapes" takes lines and polygons too'
        case positions.BEYOND_REPAIR:
            return "mend them in the program that they come from"
    return _of_a_field(layer, reason) or "mend these lines in the file"


def _of_a_field(layer: Layer, reason: str) -> str:
    """The same, where the id or the time is what a row lacks; empty for other reasons."""
    for field in (layer.id_field, layer.time_field):
        if field and reason == f"no {field.name}":
            other = "without a field of role id, rows get one" if field.role == "id" else 'kind = "places" needs no time'
            return f"fill it in the file; or change the layer file: {other}"
        if field and reason == f"{field.name} cannot be read":
            if field.type == "datetime":
                return "add how it is written, such as %d/%m/%Y, to [ingest] dates in the layer file"
            return f'it is no {field.type}; type = "text" in the layer file takes any'
    return ""
