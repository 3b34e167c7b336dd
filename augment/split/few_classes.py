"""Labels that cannot be learned: one class, or a class for nearly every image. Pure functions."""

import numpy as np

from ..errors import EpochbankError
from ..shared.progress import counted
from .holdout import HeldOut

_SINGLE_SHARE, _CLASS_SHARE = 0.5, 0.1
"""Labels look like names of images if more than half of the classes have one image, and there are more classes than a
tenth of the images."""


def label_problem(labels: np.ndarray, class_names: list[str]) -> str | None:
    """Return why `labels` (int (n,), n > 0, indices into `class_names`) cannot be learned; None if they can."""
    sizes = np.bincount(labels, minlength=len(class_names))
    present, single = int(np.count_nonzero(sizes)), int(np.sum(sizes == 1))
    if present == 1:
        return f"the only class is {class_names[int(sizes.argmax())]!r}, with {counted(len(labels), 'image')}"
    if single > _SINGLE_SHARE * present and present > _CLASS_SHARE * len(labels):
        return f"{single:,} of {present:,} classes have one image only, as if each image had a name instead of a class"
    return None


def check_labels(labels: np.ndarray, class_names: list[str], held_out: HeldOut) -> None:
    """Raise `EpochbankError` if `label_problem` finds one, unless nothing is held out, so that nothing is evaluated."""
    problem = label_problem(labels, class_names)
    if problem and (held_out.validation or held_out.test):
        raise EpochbankError(
            f"{problem}; expected several classes of several images. Use a folder per class, --label-pattern REGEX for "
            "classes in file names, or a list of paths and labels; --validation 0 --test 0 keeps these labels."
        )
