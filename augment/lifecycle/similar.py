"""The existing set that is most similar to a new one, for a note when a run begins a set."""

from pathlib import Path

from ..errors import EpochbankError
from ..store.catalog import all_sets
from .content import SetContent, stored_content
from .diff import Difference, differences
from .diff_text import change_text, where_text

_NAMED = 3
"""Number of differences that the note names."""


def similar_set_note(content: SetContent, sets: Path) -> str:
    """Return one sentence on the set in `sets` that is most similar to the new set `content`; '' if none is similar.

    A set is similar if it has the same source, or a source of the same name.
    """
    found = most_similar(content, [one for one in map(_readable, all_sets(sets)) if one is not None])
    if found is None:
        return ""
    other, changes = found
    named = "; ".join(f"{where_text(one)} {change_text(one)}" for one in changes[:_NAMED])
    rest = len(changes) - _NAMED
    more = f"; and {rest} more: `augment diff` lists them" if rest > 0 else ""
    return f"this run begins a new set beside {other.label}; the new set differs from it in {named}{more}"


def most_similar(content: SetContent, others: list[SetContent]) -> tuple[SetContent, list[Difference]] | None:
    """Return the one of `others` with the fewest differences from it to `content`, and these; the newest of several.

    `others` are in order of age, the newest last. None if no other has the same source or a source of the same name.
    """
    related = [
        (other, differences(other, content))
        for other in reversed(others)
        if other.source == content.source or other.identity["source"] == content.identity["source"]
    ]
    return min(related, key=lambda one: len(one[1]), default=None)


def _readable(directory: Path) -> SetContent | None:
    try:
        return stored_content(directory)
    except EpochbankError:  # A damaged set has no content to compare; `augment list` reports it.
        return None
