"""Which classes an evaluation confuses most."""

from collections import Counter

CONFUSED_CLASSES = 20
"""Number of classes of a confusion matrix, if there are more."""
PAIRS = 100
"""Number of pairs (true class, predicted class) that a report lists. A run keeps images of these."""


def matrix_classes(confusions: Counter[tuple[int, int]], classes: int) -> list[int]:
    """Return the classes of the confusion matrix, ascending: all, or the most confused ones."""
    if classes <= CONFUSED_CLASSES:
        return list(range(classes))
    return sorted(most_confused(confused_pairs(confusions), confusions))


def confused_pairs(confusions: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
    """Return the number of mistakes between two classes, the smaller label first, in both directions together."""
    pairs: Counter[tuple[int, int]] = Counter()
    for (true, predicted), count in confusions.items():
        pairs[min(true, predicted), max(true, predicted)] += count
    return pairs


def most_confused(pairs: Counter[tuple[int, int]], confusions: Counter[tuple[int, int]]) -> set[int]:
    """Return up to `CONFUSED_CLASSES` classes, those of the most often confused pairs.

    Of pairs that are equally often confused, those of classes with the most mistakes come first.
    """
    mistakes: Counter[int] = Counter()
    for (true, _), count in confusions.items():
        mistakes[true] += count
    shown: set[int] = set()
    order = sorted(pairs, key=lambda pair: (-pairs[pair], -mistakes[pair[0]] - mistakes[pair[1]], pair))
    for pair in order:
        if len(shown | set(pair)) <= CONFUSED_CLASSES:
            shown.update(pair)
    return shown


def ordered(confusions: Counter[tuple[int, int]]) -> list[tuple[tuple[int, int], int]]:
    """Return the pairs (true class, predicted class) with their counts: the most frequent first, then by class."""
    return sorted(confusions.items(), key=lambda item: (-item[1], item[0]))
