"""Words for splits in names: `seg_train`, `test_set`, `trainset` and `Gnt1.0TrainPart1` name a split."""

import re
from collections.abc import Mapping

from .base import SPLIT_NAMES

_WORDS = {
    **{word: number for word, number in SPLIT_NAMES.items() if word},
    "eval": 2,
    "evaluation": 2,
    "holdout": 2,
    "trn": 0,
    "tst": 2,
}
SPLIT_WORDS: Mapping[str, int] = {
    word + suffix: number for word, number in _WORDS.items() for suffix in ("", "set", "data", "images")
}
"""Words for splits, in lower case, also run together as in `trainset`: the index into `SPLITS`."""

_BETWEEN = " _-.,+()[]"
"""Characters that separate a word for a split from the rest of a name."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words_in(name: str) -> list[str]:
    """Return the words of a name, in lower case. Anything but a letter ends a word, and so does a capital."""
    return [word.lower() for word in _WORD.findall(name)]


def without_split(name: str) -> str:
    """Return `name` without its words for splits, and without what separates these: `cat` for `cat_train`."""
    kept, end = list[str](), 0
    for word in [found for found in _WORD.finditer(name) if found[0].lower() in SPLIT_WORDS]:
        kept.append(name[end : word.start()].strip(_BETWEEN))
        end = word.end()
    return "_".join(filter(None, [*kept, name[end:].strip(_BETWEEN) if kept else name]))


def split_in(name: str, words: Mapping[str, int] = SPLIT_WORDS) -> int | None:
    """Return the split that the words of `name` name, an index into `SPLITS`; None if they name none or several."""
    found = {words[word] for word in words_in(name) if word in words}
    return found.pop() if len(found) == 1 else None
