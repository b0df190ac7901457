"""Names and texts of files as messages show them: short, and without signs that a terminal obeys."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMES, MOST_SIGNS = 20, 200


def shown(text: str) -> str:
    """The text in at most `MOST_SIGNS` signs and an ellipsis; what cannot be printed is `?`."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in text[:MOST_SIGNS])
    return plain + "…" * (len(text) > MOST_SIGNS)


def listed(names: Sequence[str]) -> str:
    """The first `MOST_NAMES` names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(shown, names[:MOST_NAMES])) + more
