"""Layers as pictures: a raster's numbers in colors, and the density of a layer of points, both through titiler's factory.

`route.py` takes an address apart and answers, `geotiff.py` knows the files, `density.py` counts rows around each pixel, `look.py`
says how numbers become colors, `tilejson.py` tells clients where all of it is.
"""

from tileserver.raster.geotiff import check
from tileserver.raster.route import POOL_THREADS, router
from tileserver.raster.tilejson import describe

__all__ = ["POOL_THREADS", "check", "describe", "router"]
