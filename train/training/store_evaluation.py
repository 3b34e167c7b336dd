"""Evaluate the best model of a run on the held-out splits, and store the predictions in its directory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np

from ...augment.shared.atomic import new_file
from ...augment.shared.hdf5_output import hdf5_output
from ...augment.shared.lock import writing
from ...augment.store.digest import add, to_hex
from ..reading.stored_set import StoredSet
from .evaluate import Evaluation, evaluate_split, load_best, model_of_run
from .evaluation_file import EVALUATION, FORMAT, recorder, rows_of, write_shown
from .kept_images import keep_images

Origins = Callable[[Path, str, np.ndarray], list[str]]
"""Returns where the images at these positions (int64 (n,)) of a split of the set at a path come from; '' if unknown."""

SPLITS = ("test", "validation")
"""The splits that are evaluated. Reports show the first one that the set has."""


def unknown_origins(path: Path, split: str, positions: np.ndarray) -> list[str]:
    """Return that the origins are unknown."""
    return [""] * len(positions)


def store_evaluations(
    model: keras.Model, stored_set: StoredSet, run: Path, batch_size: int, origins: Origins
) -> dict[str, Evaluation]:
    """Evaluate the model of the best epoch on the splits that the set has, and write `evaluation.h5`.

    `model` gets the weights of the best epoch. `origins` finds the origins of the images that the file keeps. Without a
    held-out split, no file is written.
    """
    load_best(model, run)
    splits = [split for split in SPLITS if stored_set.num_images[split]]
    if not splits:
        return {}
    evaluations = {}
    with new_file(run / EVALUATION) as temporary, hdf5_output(temporary, "x") as (file, check):
        file.attrs["format"] = FORMAT
        for split in splits:
            group = file.create_group(split)
            group.attrs["digest"] = split_digest(stored_set, split)
            record = recorder(group, stored_set.num_images[split], check)
            evaluations[split] = evaluate_split(model, stored_set, split, batch_size, record)
        shown, result = splits[0], evaluations[splits[0]]
        rows = rows_of(file[shown], result.num_images)
        find = partial(origins, stored_set.path, shown)
        write_shown(file[shown], keep_images(stored_set, shown, batch_size, result, rows, find))
    return evaluations


def evaluate_again(run: Path, batch_size: int, trust: bool, origins: Origins) -> None:
    """Evaluate the best model of a run, and write its `evaluation.h5`.

    Raises `EpochbankError` if another process writes the run directory, the run has no model yet, its model is a
    function and `trust` is False, or its set is missing or has been replaced.
    """
    with writing(run):
        model, stored_set = model_of_run(run, trust)
        store_evaluations(model, stored_set, run, batch_size, origins)


def split_digest(stored_set: StoredSet, split: str) -> str:
    """Return the digest of the images, labels and rows of an undistorted split, in order, hexadecimal."""
    return to_hex(add(*(int(entry.digest, 16) for entry in stored_set.entries if entry.split == split)))
