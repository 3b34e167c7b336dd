"""Names of classes in a page, shortened so that all of them together have a bounded number of bytes."""

import json
from bisect import bisect_right
from collections.abc import Sequence

from ...shared.shortened import shortened

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 200)
"""Characters that a name may have."""
_MOST = 20_000
"""Largest number of classes that a page lists."""


def names_for_page(names: Sequence[str], budget: int) -> list[str]:
    """Return the names of the first classes, as many as fit, each shortened if that is necessary.

    `budget` is the number of bytes that they may have as JSON in a page.
    """
    names = names[:_MOST]

    def cut(length: int) -> list[str]:
        return [shortened(name, lambda text: len(text) <= length) for name in names]

    fitting = bisect_right(_LENGTHS, False, key=lambda length: _bytes(cut(length)) > budget)
    if fitting:
        return cut(_LENGTHS[fitting - 1])
    kept, left = [], budget
    for name in cut(_LENGTHS[0]):
        left -= _bytes([name])
        if left < 0:
            break
        kept.append(name)
    return kept


def _bytes(names: list[str]) -> int:
    """Return the bytes of names in the JSON of a page, where <, >, & and ' are escaped, with quotes and commas."""
    text = "".join(names)
    escaped = sum(text.count(character) for character in "<>&'")
    return len(json.dumps(text, ensure_ascii=False).encode(errors="backslashreplace")) + 5 * escaped + 3 * len(names)
