"""Stops a build of the distribution whose viewer would show no map."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ViewerIsComplete(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "editable" for a clone, where the modules may come later, else "standard"."""
        if version != "editable" and not any(Path(self.root, "viewer", "vendor").glob("*/*.mjs")):
            raise SystemExit("viewer/vendor is empty: run `make viewer` first, which fetches the viewer's modules from npm.")
