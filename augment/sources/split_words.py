"""Words for splits in names: `seg_train`, `test_set`, `Images_Training` and `Gnt1.0TrainPart1` name a split."""

import re
from collections.abc import Mapping

from .base import SPLIT_NAMES

SPLIT_WORDS: Mapping[str, int] = {
    **{word: number for word, number in SPLIT_NAMES.items() if word},
    "eval": 2,
    "evaluation": 2,
    "holdout": 2,
}
"""Words for splits, in lower case: the index into `SPLITS`."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words_in(name: str) -> list[str]:
    """Return the words of a name, in lower case. Anything but a letter ends a word, and so does a capital."""
    return [word.lower() for word in _WORD.findall(name)]


def split_in(name: str, words: Mapping[str, int] = SPLIT_WORDS) -> int | None:
    """Return the split that the words of `name` name, an index into `SPLITS`; None if they name none or several."""
    found = {words[word] for word in words_in(name) if word in words}
    return found.pop() if len(found) == 1 else None
