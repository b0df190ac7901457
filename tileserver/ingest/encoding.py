"""How the letters of a text file are written as bytes."""

from __future__ import annotations

import codecs
from pathlib import Path

from tileserver.errors import IngestError


def encoding_of(path: Path, declared: str | None) -> str:
    """The codec of a text file: as declared, else UTF-8 (a byte order mark is no part of the text), else cp1252.

    Raises:
        IngestError: the file cannot be read.
    """
    if declared is None:
        return "utf-8-sig" if _is_utf8(path) else "cp1252"
    codec = codecs.lookup(declared).name
    return "utf-8-sig" if codec == "utf-8" else codec


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while part := file.read(2**20):
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except OSError as error:
        raise IngestError(f"{path}: {error.strerror}") from error
    return True
