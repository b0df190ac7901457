"""A draft as the text of a layer file: TOML with comments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tileserver.catalog.load import FIELD_NAME
from tileserver.infer.draft import Draft, Drafted, Setting, title_of
from tileserver.infer.place import Place
from tileserver.ingest.columns import letters

WIDTH = 128
_CANDIDATES = 12
"""Coordinate systems that are listed."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a layer file says beside its fields."""

    id: str
    made_from: str
    """A sentence: from what, and how much of it was looked at."""
    schema: str | None
    """The name of the JSON Schema beside the layer file; None if there is none."""
    timezone: str
    timezone_note: str
    description: str
    source: Mapping[str, Sequence[str] | str]
    """`table` of a table; `from`, and what else `[ingest]` needs, of files."""


def text_of(head: Head, draft: Draft, dates: Sequence[str]) -> str:
    """The whole file."""
    blocks = [_top(head, draft), _fields(draft), _privacy(draft)]
    if "from" in head.source:
        blocks.append(_ingest(head, draft, dates))
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def plain(text: str) -> str:
    """Without signs that end a line, hide, or move a terminal's cursor."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def comment(text: str, indent: str = "") -> Iterator[str]:
    """Lines of a comment: what could end a line or hide is taken out, long ones are broken."""
    line = ""
    for word in plain(text).split():
        if line and len(line) + len(word) + 1 > WIDTH - len(indent) - 2:
            yield f"{indent}# {line}"
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield f"{indent}# {line}"


def _top(head: Head, draft: Draft) -> Iterator[str]:
    if head.schema:
        yield f"#:schema ./{head.schema}"
    yield from comment(f"Made by `tileserver new` from {head.made_from} It is a draft: look it over, and change what is not right.")
    yield ""
    yield f"title       = {quoted(title_of(head.id))}"
    yield f"description = {quoted(head.description)}  # what readers should know: where the data come from, what is missing"
    yield 'attribution = ""  # whose data it is'
    yield 'license     = ""  # under which terms, such as "CC0-1.0"'
    yield f'kind        = "{draft.kind}"  # {plain(draft.kind_note)}'
    if "table" in head.source:
        yield f"table       = {quoted(str(head.source['table']))}"
    yield f"timezone    = {quoted(head.timezone)}  # {head.timezone_note}"
    yield from _bounds(draft.place)
    yield from _position(draft)


def _bounds(place: Place) -> Iterator[str]:
    if place.bounds is None:
        return
    left_out = f"; {place.outside:,} rows far off are outside and will be rejected" if place.outside else ""
    yield f"bounds      = {list(place.bounds)}  # of the data, with a margin{left_out}"


def _position(draft: Draft) -> Iterator[str]:
    place = draft.place
    if place.shape == "none":
        yield 'position    = "optional"  # there is none that ingest can read: rows are counted and downloaded, not drawn'
    elif place.lacking:
        yield f'position    = "optional"  # {place.lacking:,} rows have none, or 0,0: they are counted and downloaded, not drawn'


def _fields(draft: Draft) -> Iterator[str]:
    yield "[fields]  # what is not declared here is never published"
    declared = draft.declared
    if "id" not in draft.with_role:
        yield from comment(
            "No column tells all rows apart, so each gets a number made from its content. If one should, give it role = id."
        )
        yield from comment(draft.near_id)
    width = max((len(each.name) for each in declared), default=0)
    for each in declared:
        for note in each.notes:
            yield from comment(note)
        yield f"{each.name:<{width}} = {_table(each.keys)}"
    yield from _undeclared(draft)


def _undeclared(draft: Draft) -> Iterator[str]:
    if draft.doubled:
        yield from comment(
            f"Columns that cannot be told apart by their names are left out: {', '.join(map(quoted, draft.doubled))}."
        )
    fields = [each for each in draft.fields if each.withheld]
    if not fields:
        return
    yield ""
    yield "# Not declared, and so not published. To publish one, take away its #."
    for each in fields:
        yield from comment(f"{each.facts.name}: {each.withheld}")
        rename = f"  # and rename = {{ {quoted(each.facts.name)} = {quoted(each.name)} }}" if _needs_rename(each, draft) else ""
        key = each.name if FIELD_NAME.fullmatch(each.name) else quoted(each.name)
        yield f"# {key} = {_table(each.keys)}{rename}"


def _table(keys: Mapping[str, Setting]) -> str:
    order = ("role", "type", "title", "description")
    told = [f"{key} = {_value(keys[key])}" for key in order if key in keys and not (key == "type" and keys.get("role") == "time")]
    return f"{{ {', '.join(told)} }}"


def _value(value: Setting) -> str:
    return quoted(value) if isinstance(value, str) else str(value).lower()


def _privacy(draft: Draft) -> list[str]:
    if not any(each.role == "address" for each in draft.declared):
        return []
    lines = ["[privacy]", 'address = "block"  # house numbers become their block']
    if draft.kind in ("events", "places"):
        # Where an event happened is often somebody's home; a place with an address, such as a school, is to be found. Positions
        # that another layer gives tell it too.
        sign = "" if draft.kind == "events" else "# "
        lines.append(f"{sign}snap_meters = 100  # points move to the middle of a square: exact ones tell the house too")
    return lines


def _ingest(head: Head, draft: Draft, dates: Sequence[str]) -> Iterator[str]:
    yield "[ingest]"
    width = 8
    for key, value in head.source.items():
        yield f"{key:<{width}} = {quoted(value) if isinstance(value, str) else _list(value)}"
    place = draft.place
    yield from comment(". ".join(_sentence(note) for note in place.notes))
    for key, name in place.ingest.items():
        yield f"{key:<{width}} = {quoted(name)}"
    for key, column in zip("xy", place.perhaps or (), strict=False):
        yield f"# {key:<{width - 2}} = {quoted(column)}  # by its values: if that is right, take away this #"
    yield from _candidates(place)
    renamed = {each.facts.name: each.name for each in draft.declared if _needs_rename(each, draft)}
    if renamed:
        yield f"{'rename':<{width}} = {{ {', '.join(f'{quoted(column)} = {quoted(name)}' for column, name in renamed.items())} }}"
    if dates:
        yield f"{'dates':<{width}} = {_list(dates)}  # tried in this order"
    if place.shape == "none" and not draft.has_unreadable_positions:
        yield ""
        yield from _join(draft)


def _join(draft: Draft) -> Iterator[str]:
    """How rows without positions could come by them, as a comment."""
    yield from comment(
        "If two columns hold positions, name them here as x and y. Else positions may come from another layer that has one for "
        "each address, or for whatever else a column here names: ingest that one first, then take away these #. Addresses that it "
        "shows by block match no house."
    )
    column = draft.joinable
    by = column.facts.name if column else "a column of the file"
    to = "address" if column and column.role == "address" else "id"
    yield "# [ingest.join]"
    yield '# layer = "parcels"  # the id of the other layer'
    yield f"# by    = {quoted(by)}"
    yield f'# to    = "{to}"  # the field of the other layer that by names'
    if to == "address":
        yield '# match = "address"'


def _candidates(place: Place) -> Iterator[str]:
    for index, each in enumerate(place.candidates[:_CANDIDATES]):
        if place.unsure or index:
            yield f"# crs = {quoted(each.code)}  # {each.name}: {each.latitude:.3f}, {each.longitude:.3f}"
    if (more := len(place.candidates) - _CANDIDATES) > 0:
        yield f"# and {more} more"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, values))}]"


def _needs_rename(drafted: Drafted, draft: Draft) -> bool:
    """Whether `ingest` would not find the column by the field's name alone: the same letters, and of one column only."""
    alike = [name for name in (*(each.facts.name for each in draft.fields), *draft.doubled) if letters(name) == drafted.name]
    return drafted.facts.name not in (drafted.name, *alike) or (drafted.facts.name != drafted.name and len(alike) > 1)
