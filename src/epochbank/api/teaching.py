"""Labels of a teacher from Python: `augment teach`."""

from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..augment.console import notify
from ..augment.errors import EpochbankError
from ..augment.store.teachers import teacher_path
from ..train.feeding.augmented_set import AugmentedSet, open_set
from ..train.training.teacher_model import find_teacher_model
from ..train.training.trainable import check_classes
from .values import DEFAULT_SETS, check_numbers

if TYPE_CHECKING:
    from ..train.training.teach import TeachResult


def teach(
    name: str | Path | AugmentedSet,
    model: str | Path,
    *,
    teacher: str | None = None,
    top: int | None = None,
    batch_size: int = 256,
    trust: bool = False,
    sets: str | Path = DEFAULT_SETS,
) -> "TeachResult":
    """Write the most probable classes that a trained model sees in every stored image of a set, for distillation.

    This covers the published epochs and the undistorted training split. The same call continues after an interruption,
    and adds the labels of epochs that were generated since. An `AugmentedSequence` with `teacher=` trains on them.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint.
    model
        A run directory, the name of a run in `runs/`, or a `.keras` file, which is loaded in Keras' safe mode.
    teacher
        Name of the teacher; None for the name of the run or file.
    top
        Number of classes to store for each image; None for 10, or as before. Each takes 4 bytes, or 6 with more than
        65,536 classes.
    batch_size
        Number of images that are read and classified at a time. The model is called with 64 of them, so that the labels
        do not depend on this number.
    trust
        Import the module of the run's model, if that is a function.
    sets
        Directory of the sets.

    Raises
    ------
    EpochbankError
        If the classes of the model are not those of the set, the teacher is that of another model, a shard is damaged,
        the disk is too small, or another process writes the set.
    """
    check_numbers(top=top, batch_size=batch_size)
    stored_set = open_set(name, sets)
    if stored_set.remote is not None:
        raise EpochbankError(
            f"{stored_set.name} is in an object store, where labels of teachers are not stored; expected a local set. "
            "Copy it to a local directory with `augment copy` first.",
            usage=True,
        )
    check_classes(stored_set)
    found = find_teacher_model(Path(model), stored_set, trust)
    chosen = found.name if teacher is None else teacher
    try:
        teacher_path(stored_set.path, chosen)
    except EpochbankError as error:
        if teacher is not None:
            raise
        raise EpochbankError(f"{error} Choose one with --name.", usage=True) from error
    from ..train.training.backend import start_backend

    notify(start_backend())
    from ..train.training.teach import teach as write_labels

    return write_labels(stored_set, found, chosen, top, batch_size, __version__)
