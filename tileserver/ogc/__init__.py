"""Layers as a GIS asks for them: OGC API – Features, Part 1 (https://docs.ogc.org/is/17-069r4/17-069r4.html).

`landing.py` says what there is, `items.py` gives the rows page by page, `cursor.py` knows where a page begins, `openapi.py`
describes it all for machines.
"""

from fastapi import APIRouter

from tileserver.ogc import items, landing

router = APIRouter()
router.include_router(landing.router)
router.include_router(items.router)

__all__ = ["router"]
