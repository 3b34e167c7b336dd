"""Write a damaged or missing `split.h5` again, from the source file. Its checksum is in `set.json`."""

from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..generation.new_set import rows_of_splits, split_input
from ..generation.stored_spec import stored_source
from ..shared.atomic import move, remove, temporary_beside
from ..split.holdout import HeldOut
from ..store.description import Description
from ..store.digest import file_checksum
from ..store.split_file import NAME, write_split


def restore_split(directory: Path, description: Description) -> None:
    """Compute the splits of the set in `directory` again, and publish `split.h5` if it has the checksum of `set.json`.

    The caller holds the lock of the set. Raises `EpochbankError` if the source file is missing, damaged or a different
    file, or the result has a different checksum.
    """
    source = stored_source(directory, description)
    held_out = _held_out(description.identity["split"])
    workspace = temporary_beside(directory / "split")
    workspace.mkdir()
    try:
        # `set.json` does not say whether the splits of the source were ignored if it has none of the held-out ones.
        for use_source_splits in (True, False):
            splits = rows_of_splits(split_input(source, use_source_splits), held_out, source.digest)
            write_split(workspace, splits, source.group_names, by_class=description.per_class is not None)
            if file_checksum(workspace / NAME) == description.split_checksum:
                move(workspace / NAME, directory / NAME)
                return
    finally:
        remove(workspace)
    raise EpochbankError(
        f"{directory / NAME} was computed again from {source.path}, with a different checksum than set.json records: "
        "the set was made by an earlier version, or with another version of HDF5. Restore the file from a copy, or "
        "generate the set again in another --sets directory."
    )


def _held_out(split: dict[str, Any]) -> HeldOut:
    """Return the fractions of a split in the identity of a set; 0 where the source defines the split."""
    fractions = {name: split[name] for name in ("validation", "test")}
    return HeldOut(**{name: 0.0 if one == "source" else float(one) for name, one in fractions.items()})
