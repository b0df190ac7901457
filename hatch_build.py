"""Stops a build of the distribution whose viewer would show no map, or whose maps no names."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ViewerIsComplete(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "editable" for a clone, where the modules may come later, else "standard"."""
        vendor = Path(self.root, "viewer", "vendor")
        if version != "editable" and not (any(vendor.glob("*/*.mjs")) and any(vendor.glob("fonts/*/*.pbf"))):
            raise SystemExit("viewer/vendor is empty: run `make viewer` first, which fetches modules and fonts from npm.")
