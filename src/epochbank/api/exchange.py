"""Export and copy sets."""

from collections.abc import Iterable
from pathlib import Path

from ..augment.errors import EpochbankError
from ..augment.exchange.copy import Copied
from ..augment.exchange.copy import copy_set as copy_stored
from ..augment.exchange.copy_to_store import copy_to_store
from ..augment.exchange.export import Exported
from ..augment.exchange.export import export_set as export_stored
from ..augment.exchange.formats import FormatName
from ..augment.exchange.selection import Epochs
from ..augment.shared.workers import core_count
from ..augment.store.objects.urls import url_of
from ..train.feeding.augmented_set import AugmentedSet
from .directories import directory_of
from .values import DEFAULT_SETS, check_numbers


def export_set(
    name: str | Path | AugmentedSet,
    dest: str | Path,
    format: FormatName = "webdataset",
    *,
    epochs: Epochs = None,
    originals: bool = False,
    splits: Iterable[str] | None = None,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
) -> Exported:
    """Export images of a set to the new directory `dest`, which appears when it is complete.

    The validation and test splits are undistorted. `generate(dest)` uses the export as a source.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint.
    dest
        A new or an empty directory.
    format
        "webdataset", "tfrecord", "parquet" or "npz".
    epochs
        Stored epochs of the training images: numbers, or a string such as "0,2-4"; None for all, "none" for none.
    originals
        Add the undistorted training split, before the epochs.
    splits
        Export only these splits; None for all.
    sets
        Directory of the sets.
    jobs
        Worker processes; None for one per core.

    Returns
    -------
    Exported
        `num_images` of each split, the number of `files`, and their `bytes`.
    """
    check_numbers(jobs=jobs)
    return export_stored(
        directory_of(name, sets), Path(dest), format, jobs or core_count(), epochs=epochs, originals=originals,
        splits=splits,
    )  # fmt: skip


def copy_set(
    name: str | Path | AugmentedSet,
    dest: str | Path,
    *,
    epochs: Epochs = None,
    with_source: bool = False,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
) -> Copied:
    """Copy what is published of a set to the new directory `dest`, or into it if it exists; verify the copy.

    After an interruption, the same call continues.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint; or its URL in an object store.
    dest
        Directory of the copy, or a URL in an object store, such as "s3://bucket/sets/".
    epochs
        Consecutive stored epochs: numbers, or a string such as "2-4"; None for all.
    with_source
        Also copy the source file, which is needed to generate shards.
    sets
        Directory of the sets.
    jobs
        Worker processes; None for one per core.

    Returns
    -------
    Copied
        `directory` of the copy, its `epochs`, `shards` and `bytes`.
    """
    check_numbers(jobs=jobs)
    directory, url = directory_of(name, sets), url_of(dest)
    if url is None:
        return copy_stored(directory, str(dest), jobs or core_count(), epochs=epochs, with_source=with_source)
    if with_source:
        raise EpochbankError(
            f"--with-source cannot be combined with {url}: source files stay on this machine. Omit it.", usage=True
        )
    return copy_to_store(directory, str(dest), url, epochs=epochs)
