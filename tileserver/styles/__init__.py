"""How a map is drawn: MapLibre styles of the layers, with the glyphs of their labels and the icons of their places.

`classes.py` says what colors and icons mean, `marks.py` makes a layer's style layers, `document.py` the whole style, `glyphs.py`
and `sprites.py` what it refers to; `route.py` answers.
"""

from tileserver.styles.classes import Drawn
from tileserver.styles.document import check, read_override, strays, style
from tileserver.styles.glyphs import glyph_range
from tileserver.styles.palette import COLORS, NONE, OTHER, PAPER, RAMP
from tileserver.styles.route import basemap_url, drawn_of, glyphs_answer, router, sprite_answer
from tileserver.styles.sprites import sheet

__all__ = [
    "COLORS",
    "NONE",
    "OTHER",
    "PAPER",
    "RAMP",
    "Drawn",
    "basemap_url",
    "check",
    "drawn_of",
    "glyph_range",
    "glyphs_answer",
    "read_override",
    "router",
    "sheet",
    "sprite_answer",
    "strays",
    "style",
]
