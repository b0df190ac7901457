"""Where the records live: PostGIS (`postgis.py`) or a folder of GeoParquet files (`folder.py`); one contract (`store.py`)."""

from pathlib import Path

from tileserver.stores.folder import FolderStore
from tileserver.stores.postgis import PostgisStore
from tileserver.stores.store import Published, State, Store

__all__ = ["FolderStore", "PostgisStore", "Published", "State", "Store", "open_store"]


def open_store(address: str) -> Store:
    """The store at `postgresql://…` or in a folder, which is made on the first publish.

    Raises:
        StoreError: there is no store at this address; a password in it is not shown.
    """
    if address.startswith(("postgresql://", "postgres://")):
        return PostgisStore(address)
    return FolderStore(Path(address))
