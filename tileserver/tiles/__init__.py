"""Give me tile z/x/y: `route.py` from the address to the answer, `cache.py` in between, `tilejson.py` for who asks first."""

from tileserver.tiles.route import answer, router

__all__ = ["answer", "router"]
