"""How the letters of a text file are written as bytes."""

from __future__ import annotations

import codecs
from pathlib import Path

from tileserver.errors import IngestError


def encoding_of(path: Path, declared: str | None) -> str:
    """The codec of a text file: as declared, else UTF-32 or UTF-16 if marked so, else UTF-8, else cp1252. A mark is no text.

    Raises:
        IngestError: the file cannot be read.
    """
    if declared is None:
        return _marked(path) or ("utf-8-sig" if _is_utf8(path) else "cp1252")
    codec = codecs.lookup(declared).name
    return "utf-8-sig" if codec == "utf-8" else codec


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; those of UTF-32 come first, as one of UTF-16 begins one of them."""


def _marked(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except OSError as error:
        raise IngestError(f"{path}: {error.strerror}") from error
    return next((codec for mark, codec in _MARKS.items() if beginning.startswith(mark)), None)


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
