"""Glyphs: the letters of the map's labels, 256 characters a file, as `make viewer` drew them (viewer/glyphs.mjs)."""

from __future__ import annotations

import re

from tileserver.errors import NotFound
from tileserver.settings import shipped

FOLDER = shipped("viewer") / "vendor" / "fonts"

REGULAR, BOLD = "Noto Sans Regular", "Noto Sans Bold"

MOST_NAMES = 8
"""Fonts of one stack that are looked for."""

_RANGE = re.compile(r"(0|[1-9][0-9]{0,4})-([1-9][0-9]{2,4})")
_WHOLE = 256
_LAST = 65_535


def glyph_range(fontstack: str, range: str) -> bytes:
    """The glyphs of 256 characters, of the first font of a stack that there is: a protocol buffer `glyphs`.

    Without any glyph for characters that the font was not built for: MapLibre Native shows no label at all after a 404.

    Args:
        fontstack: names of fonts, separated by commas.
        range: such as `0-255`.

    Raises:
        NotFound: no such font, or no such range.
    """
    asked = [name.strip() for name in fontstack.split(",", maxsplit=MOST_NAMES)]
    known = fonts()
    name = next((name for name in asked if name in known), None)
    if name is None:
        raise NotFound(f"There is no such font. There are: {', '.join(known) or 'none; `make viewer` builds them'}.")
    if not _is_range(range):
        raise NotFound("There is no such range of characters. Ranges are 0-255, 256-511 and so on, up to 65280-65535.")
    file = FOLDER / name / f"{range}.pbf"
    return file.read_bytes() if file.is_file() else _empty(name, range)


def fonts() -> list[str]:
    """The names of the fonts that there are."""
    return sorted(path.name for path in FOLDER.glob("*/")) if FOLDER.is_dir() else []


def _is_range(text: str) -> bool:
    found = _RANGE.fullmatch(text)
    if found is None:
        return False
    first, last = int(found[1]), int(found[2])
    return first % _WHOLE == 0 and last == first + _WHOLE - 1 and last <= _LAST


def _empty(name: str, range: str) -> bytes:
    """A stack (field 1) with its name (1) and its range (2); every length fits one byte."""
    stack = _text(1, name) + _text(2, range)
    return bytes([1 << 3 | 2, len(stack)]) + stack


def _text(field: int, text: str) -> bytes:
    encoded = text.encode()
    return bytes([field << 3 | 2, len(encoded)]) + encoded
