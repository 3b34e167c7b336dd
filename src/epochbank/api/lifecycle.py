"""Tag and remove sets, and remove what no set needs."""

from pathlib import Path

from ..augment.errors import EpochbankError
from ..augment.lifecycle.garbage import Garbage, find_garbage
from ..augment.lifecycle.gc import collect
from ..augment.lifecycle.remove import finish_removals, remove_set
from ..augment.lifecycle.store_gc import StoreGarbage, collect_store_garbage, find_store_garbage
from ..augment.lifecycle.tag import add_tag, remove_tag
from ..augment.store.catalog import sets_path
from ..augment.store.objects.urls import url_of
from ..train.feeding.augmented_set import AugmentedSet
from .directories import directory_of, local_directory
from .values import DEFAULT_SETS


def tag(
    name: str | Path | AugmentedSet, tag: str, *, remove: bool = False, sets: str | Path = DEFAULT_SETS
) -> list[str]:
    """Give a set the tag `tag`, or remove it with `remove`; return all its tags."""
    directory = local_directory(directory_of(name, sets), "be tagged here; `augment run --name` tags it")
    return remove_tag(directory, tag) if remove else add_tag(directory, tag)


def remove(name: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS) -> int:
    """Remove a set and return its bytes; its source file stays. Raises `EpochbankError` while it is written or read.

    An open `AugmentedSet` reads the set until it is dropped.
    """
    if url_of(sets) is None:
        finish_removals(sets_path(sets))
    return remove_set(
        local_directory(directory_of(name, sets), "be removed by epochbank; delete its objects with the store's tools")
    )


def gc(
    sets: str | Path = DEFAULT_SETS, *, unused_for: float | None = None, dry_run: bool = False
) -> tuple[list[Garbage] | list[StoreGarbage], list[str]]:
    """Remove what no set needs in `sets`, and return it with notes on what was kept, one sentence each.

    These are orphaned shards, temporary files of runs that were stopped, and source files that no set was made from.
    What a run writes or a training reads is kept. If `sets` is a URL, these are shards that no manifest lists and that
    were uploaded more than a day ago.

    Parameters
    ----------
    sets
        Directory of the sets, or its URL in an object store.
    unused_for
        Also remove sets that were neither trained on nor written to for this number of days; None for a URL.
    dry_run
        Only return what would be removed.
    """
    if (url := url_of(sets)) is not None:
        if unused_for is not None:
            raise EpochbankError(
                f"--unused-for cannot be combined with {url}: training runs on a set in an object store are not "
                "recorded there. Omit it.",
                usage=True,
            )
        objects, notes = find_store_garbage(url)
        if dry_run:
            return objects, notes
        removed, kept = collect_store_garbage(objects)
        return removed, [*notes, *kept]
    found, notes = find_garbage(sets_path(sets), unused_for)
    if dry_run:
        return found, notes
    done = collect(sets_path(sets), found)
    return done.removed, [*notes, *done.kept]
