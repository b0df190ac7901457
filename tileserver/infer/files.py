"""A layer file from files: sample → facts → place → draft → text, and a rehearsal of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tileserver.catalog import Layer
from tileserver.errors import ConfigError, IngestError
from tileserver.infer import header, sample
from tileserver.infer.draft import Draft, draft_of
from tileserver.infer.facts import Facts, facts_of
from tileserver.infer.layer_files import UNKNOWN, Made, free, hints, others, schema, timezone, told, write
from tileserver.infer.place import place_of
from tileserver.infer.sample import Sample
from tileserver.infer.systems import Point
from tileserver.infer.text import Head, text_of
from tileserver.ingest.advice import advice
from tileserver.ingest.clean import clean
from tileserver.ingest.sources import Source, fetch


def new_from_file(id: str, file: str, layers: Path, part: str | None = None, near: Point | None = None) -> Made:
    """Write `<layers>/<id>.toml` for a file, or for the files of a pattern; `part` is a sheet or layer of it, `near` a place in
    the city, which tells the coordinate system of plain numbers.

    Raises:
        ConfigError: there is such a layer file already, or the id is none; nothing is written.
        IngestError: the file cannot be read.
    """
    path = free(id, layers)
    ingest = {"part": part} if part else {}
    sources = _sources(file)
    for each in sources:
        header.check(each)
    rows = _read(sources, ingest)
    facts = [facts_of(column, rows.format) for column in rows.columns]
    beside = list(others(layers))
    place = place_of(rows, facts, hints(beside), near)
    draft = draft_of(facts, place, doubled=rows.doubled)
    zone = timezone(beside, place)
    source = {"from": [_relative(file, layers)], **ingest}
    head = Head(id, _made_from(file, rows), schema(layers), *zone, "", source)
    text = text_of(head, draft, dates_of([each.facts for each in draft.declared]))
    layer = write(path, text)
    edits, rehearsal = ["choose the coordinate system in the layer file"], list[str]()
    if not place.unsure:
        try:
            edits, rehearsal = [], list(_rehearse(layer, sources))
        except IngestError as error:
            edits, rehearsal = ["mend the layer file"], [f"ingest cannot read it so: {error}"]
    if zone[1] == UNKNOWN and any(each.facts.type == "datetime" for each in draft.declared):
        edits.append("write the city's timezone into the layer file (it says UTC, hours off for most)")
    told_of = (*told(draft), *_ids(draft), *_to_draw(draft), f"timezone: {': '.join(zone)}", *rehearsal)
    return Made(path, told_of, "".join(f"{edit}, then " for edit in edits) + f"tileserver ingest {id}")


def _ids(draft: Draft) -> Iterator[str]:
    """What follows where no column tells rows apart, and which one nearly does."""
    if "id" not in draft.with_role:
        yield (
            "id: no column tells all rows apart, so each row gets a number made from its content: a row that has changed in a "
            "newer file comes in beside its old version; bring newer files in with --replace"
        )
        if draft.near_id:
            yield f"id: {draft.near_id}"


def _to_draw(draft: Draft) -> Iterator[str]:
    """Where positions could come from that `ingest` finds none of."""
    if draft.place.shape != "none":
        return
    if draft.has_unreadable_positions:
        yield "to draw them, mend the columns of positions in the file, remove this layer file, and make it again"
    elif perhaps := draft.place.perhaps:
        yield (
            f"to draw them, take the # from x and y in the layer file: {perhaps[0]} and {perhaps[1]} could be longitude and "
            "latitude, by their values"
        )
    else:
        named = f"each {draft.joinable.facts.name}" if draft.joinable else "what a column here names"
        yield (
            "to draw them, name the columns of their positions as x and y under [ingest] in the layer file; if there are none, "
            f"take positions from another layer that has one for {named}: [ingest.join] in the layer file says how"
        )


def dates_of(facts: Sequence[Facts]) -> tuple[str, ...]:
    """What `dates` has to say for all of these columns: nothing, where ISO 8601 is all there is; else every format of each,
    in the order of how much it reads."""
    dated = [each for each in facts if each.type == "datetime" and not each.milliseconds]
    if all(each.dates.is_iso for each in dated):
        return ()
    weights: Counter[str] = Counter()
    for each in dated:
        for place, format in enumerate(each.dates.formats):
            weights[format] += each.known >> place
    return tuple(format for format, _ in weights.most_common())


def is_file(data: str) -> bool:
    """Whether someone means a file or a pattern of files by it, and no table."""
    return Path(data).exists() or any(sign in data for sign in "/\\*?[")


def _sources(file: str) -> list[Source]:
    if "://" in file:
        raise IngestError(
            "a layer file is inferred from a file on this machine: download it, name it here, and write its address into the layer "
            "file under [ingest] from"
        )
    return fetch([file], Path.cwd(), Layer(id="sample", title="A sample", kind="shapes"))


def _read(sources: Sequence[Source], ingest: Mapping[str, Any]) -> Sample:
    try:
        rows = sample.read(sources, ingest)
    except IngestError as error:
        if "[ingest] part" in str(error):
            raise IngestError(f"{str(error).split('. Say which')[0]}. Say which with --part") from error
        raise
    if not rows.rows:
        raise IngestError(f"{sources[0].name}: holds no rows, so nothing can be told of them")
    return rows


def _relative(file: str, layers: Path) -> str:
    """As the layer file names it: from its own folder on."""
    try:
        found = os.path.relpath(file, layers)
        found.encode()
    except UnicodeEncodeError:
        raise ConfigError("the file's name is not valid UTF-8, and a layer file cannot hold it; rename the file") from None
    except ValueError:  # another drive
        found = str(Path(file).resolve())
    return Path(found).as_posix()


def _made_from(file: str, rows: Sample) -> str:
    looked = "all of them looked at" if rows.is_whole else "the first ones of more"
    return f"{Path(file).name}: {rows.rows:,} rows, {looked}."


def _rehearse(layer: Layer, sources: Sequence[Source]) -> Iterator[str]:
    """What `ingest` will reject or leave out of these rows, by trying."""
    reasons: Counter[str] = Counter()
    blanked: Counter[str] = Counter()
    rows = 0
    for source in sources:
        for part in sample.first(layer, source, max(sample.MOST // len(sources), 1)):
            cleaned = clean(layer, part)
            rows += len(part.lines) + len(part.faults)
            reasons.update(reason for _, reason in cleaned.rejected)
            blanked.update(cleaned.blanked)
    for reason, count in reasons.most_common():
        yield f"ingest will reject {count:,} of {rows:,} rows: {reason}"
        yield f"{reason}: {advice(layer, reason)}"
    for name, count in blanked.most_common():
        yield f"ingest will leave out {count:,} values of {name}, which cannot be read"
