"""A place of one's own: the folder that `tileserver init` makes, in which every command needs no options."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from tileserver.catalog.schema import schema
from tileserver.errors import ConfigError
from tileserver.settings import shipped

SCHEMA = "layer.schema.json"
"""Beside the layer files, for editors that complete and check TOML."""

_ENV = """\
# The settings of this place; tileserver reads them in the folder that it is started in. A line without # counts.
# Keep this file to yourself: an address of PostGIS holds a password.

# Where the records live: a folder, or PostGIS.
TILESERVER_STORE=data
# TILESERVER_STORE=postgresql://reader:password@localhost/city

# The same database with a role that may write, for `tileserver ingest`, when serving uses one that may only read.
# TILESERVER_WRITE_STORE=postgresql://writer:password@localhost/city

# The layer files, the map styles, and the copies that requests read.
TILESERVER_LAYERS=layers
TILESERVER_STYLES=styles
TILESERVER_SNAPSHOTS=snapshots

# The folder of rasters that do not lie beside their layer file.
# TILESERVER_RASTERS=rasters

# Where to listen: 0.0.0.0 for everyone who can reach this machine.
TILESERVER_HOST=127.0.0.1
TILESERVER_PORT=8000

# A map to draw under the city's layers: the URL of a style, or a PMTiles file or URL. Without one they lie on empty ground.
# TILESERVER_BASEMAP=https://tiles.example.org/styles/plain/style.json

# The origin in generated links, when the server stands behind a proxy.
# TILESERVER_PUBLIC_URL=https://maps.example.org

# Who may show the map in a frame of their pages: origins with spaces between, or *.
# TILESERVER_EMBED_ORIGINS=https://www.example.org

# Processes that answer, and the memory for tiles that they share, in bytes.
# TILESERVER_WORKERS=2
# TILESERVER_CACHE_BYTES=268435456

# The app token that feeds of Socrata are asked with.
# TILESERVER_SOCRATA_TOKEN=
"""

_GITIGNORE = """\
# Passwords, the records, and what is made from them.
/.env
/data/
/snapshots/
"""


def init(folder: Path) -> list[Path]:
    """Make the folder with settings, `layers/` and `styles/`; what was made.

    Raises:
        ConfigError: the folder holds one of these already, stands inside a file, or cannot be made; nothing is changed.
    """
    try:
        if there := [name for name in (".env", ".gitignore", "layers", "styles") if (folder / name).exists()]:
            raise ConfigError(f"{folder}: holds {' and '.join(there)} already, and nothing of it is changed; name a new folder")
        return [
            _write(folder / ".env", _ENV.encode(), mode=0o600),
            _write(folder / ".gitignore", _GITIGNORE.encode()),
            _write(folder / "layers" / "README.md", (shipped("layers") / "README.md").read_bytes()),
            _write(folder / "layers" / SCHEMA, orjson.dumps(schema(), option=orjson.OPT_INDENT_2) + b"\n"),
            _write(folder / "styles" / ".gitkeep", b""),
        ]
    except FileExistsError as error:
        raise ConfigError(f"{error.filename}: is a file; name a folder that can be made") from error
    except NotADirectoryError as error:
        raise ConfigError(f"{folder}: lies inside a file; name a folder that can be made") from error
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from error


def _write(path: Path, content: bytes, mode: int = 0o644) -> Path:
    """A new file, never an old one's end; nobody else can read it in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
    return path
