"""What was measured, as tables of Markdown, beside what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and its bound."""

    what: str
    measured: float
    bound: float
    at_most: bool = False
    unit: str = "×"

    @property
    def is_met(self) -> bool:
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound

    def row(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "aim": f"{'≤' if self.at_most else '≥'} {self.bound:g} {self.unit}",
            "measured": f"{self.measured:,.1f} {self.unit}",
            "met": "yes" if self.is_met else "no",
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What a part of the benchmarks found: tables by their titles, and the figures that have an aim."""

    tables: Mapping[str, Rows]
    aims: Sequence[Aim] = ()
    notes: Sequence[str] = field(default=())
    """Sentences: what was left out, and why."""


def table(rows: Rows) -> str:
    """One line a row; the first column is words, the others are numbers."""
    names = list(rows[0])
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *([_told(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
