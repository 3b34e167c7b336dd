"""What training adds to the stored images and labels of a batch, and the form in which it delivers them."""

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from ...augment.errors import EpochbankError
from ..reading.stored_set import StoredSet
from ..reading.teacher_labels import open_teacher
from ..streaming.batches import TrainingBatches
from ..streaming.choices import Choices
from ..streaming.distill import DEFAULT, Distill, Distillation, check_distill
from ..streaming.final import FinalRecipe, check_final, load_final
from ..streaming.mixing import Batch, Labels, Mixing, SoftLabels, soft
from ..streaming.schedule import Originals, OriginalsSchedule, ScheduledBatches

if TYPE_CHECKING:
    from ..streaming.final_augmentation import FinalAugmentation

Final = str | Path | FinalRecipe
"""Final augmentation: the name of a built-in final recipe, the path of a TOML file, or the result of `load_final`."""


class BatchArguments(TypedDict, total=False):
    """The fields of `BatchOptions` that all iterators accept as keywords."""

    final: Final | None
    mixup: float
    cutmix: float
    label_smoothing: float
    views: int
    split_views: bool
    sparse_targets: bool
    teacher: str | None
    distill: Distillation


class StreamOptions(TypedDict):
    """The arguments of a `Stream` that follow from `BatchOptions`."""

    final: "FinalAugmentation | None"
    mixing: Mixing | None
    distill: Distill | None


_TYPES: tuple[tuple[str, Any, str], ...] = (
    (
        "final",
        str | Path | dict | None,
        "the name of a built-in final recipe, a path, the result of load_final, or None",
    ),
    ("mixup", Real, "an alpha, 0 for none"),
    ("cutmix", Real, "an alpha, 0 for none"),
    ("label_smoothing", Real, "a share of at least 0 and less than 1"),
    ("views", Integral, "an int of at least 1"),
    ("teacher", str | None, "the name of a teacher of the set, or None"),
)
"""The type of each option, and what its message expects."""


@dataclass(frozen=True)
class BatchOptions:
    """Final augmentation, views, MixUp, CutMix, label smoothing, and the form of the batches."""

    final: Final | None = None
    mixup: float = 0.0
    """Alpha of MixUp; 0 for none."""
    cutmix: float = 0.0
    """Alpha of CutMix; 0 for none."""
    label_smoothing: float = 0.0
    """Share of a target that is divided among all classes, 0 to less than 1."""
    views: int = 1
    """Number of views of each image in a batch."""
    split_views: bool = False
    """Deliver the views as a tuple of image arrays."""
    sparse_targets: bool = False
    """Deliver soft targets as class numbers and weights, float32 (B, 2 m), or (B, 2 m + 1) with a teacher."""
    teacher: str | None = None
    """Name of a teacher of the set; None for none."""
    distill: Distillation = DEFAULT
    """Share of the teacher in the loss, and temperature."""

    def __post_init__(self) -> None:
        for name, kind, expected in _TYPES:
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise EpochbankError(f"{name}={value!r}; expected {expected}.", usage=True)
        if isinstance(self.final, dict):
            try:
                check_final(self.final)
            except ValueError as error:
                raise EpochbankError(f"final={self.final!r} is not a final recipe: {error}.", usage=True) from error
        if not 0 <= self.label_smoothing < 1:
            raise EpochbankError(
                f"label_smoothing={self.label_smoothing:g}; expected a share of at least 0 and less than 1.", usage=True
            )
        if self.views < 1:
            raise EpochbankError(f"views={self.views}; expected 1 or more.", usage=True)
        if self.views > 1 and self.final is None:
            raise EpochbankError(
                f"{self.views} views without final augmentation would be {self.views} equal images; expected different "
                'ones. Add --final characters, for example; in Python final="characters".',
                usage=True,
            )
        if self.split_views and (self.mixup or self.cutmix):
            raise EpochbankError(
                "split_views=True with MixUp or CutMix: the views of an image would have different labels; expected "
                "one label for all of them. Use one of the two.",
                usage=True,
            )
        _, temperature = check_distill(self.distill)
        if self.teacher is not None and temperature != 1 and not self.sparse_targets:
            raise EpochbankError(
                f"temperature {temperature:g} with dense targets; expected 1, because the loss softens the student. "
                "Use AugmentedSequence with sparse_targets=True and SparseSoftCrossentropy(temperature="
                f"{temperature:g}).",
                usage=True,
            )

    @property
    def soft(self) -> bool:
        """Whether targets are weights of classes instead of one class per image."""
        return bool(self.mixup or self.cutmix or self.label_smoothing or self.teacher)

    def images_per_batch(self, batch_size: int, num_images: int) -> int:
        """Return the number of different images in a batch of `batch_size`, of which a set has `num_images`.

        Raises `EpochbankError` if the views cannot be divided evenly, or the set has too few images.
        """
        if batch_size % self.views:
            raise EpochbankError(
                f"batch size {batch_size} with {self.views} views of each image; expected a multiple of {self.views}.",
                usage=True,
            )
        size = batch_size // self.views
        if self.views > 1 and num_images < size:
            raise EpochbankError(
                f"{num_images:,} training images; expected at least {size:,}, for a batch of {batch_size:,} with "
                f"{self.views} views of each image. Use a smaller batch or more views.",
                usage=True,
            )
        return size

    def stream_options(self, stored_set: StoredSet, seed: int) -> "StreamOptions":
        """Return what a `Stream` of `stored_set` does to the batches: its arguments of the same names."""
        final = None
        if self.final is not None:
            from ..streaming.final_augmentation import FinalAugmentation

            recipe = self.final if isinstance(self.final, dict) else load_final(self.final)
            final = FinalAugmentation(recipe, stored_set.shape, seed)
        mixing = Mixing(self.mixup, self.cutmix, seed) if self.mixup or self.cutmix else None
        distill = None if self.teacher is None else Distill(open_teacher(stored_set, self.teacher), *self.distill)
        return StreamOptions(final=final, mixing=mixing, distill=distill)

    def deliver(self, batch: Batch, num_classes: int) -> tuple[Any, np.ndarray]:
        """Return (images, targets) of a batch of the stream, in the form of these options."""
        images: Any
        images, labels = batch
        if self.split_views:
            images = tuple(np.split(images, self.views))
            count = len(images[0])
            labels = labels.first(count) if isinstance(labels, SoftLabels) else labels[:count]
        if not self.soft and not isinstance(labels, SoftLabels):
            return images, labels
        if self.sparse_targets:
            return images, sparse_targets(labels)
        return images, dense_targets(labels, num_classes, self.label_smoothing)


def dense_targets(labels: Labels, num_classes: int, smoothing: float) -> np.ndarray:
    """Return the weight of every class, float32 (B, `num_classes`); each row sums to 1.

    `smoothing` is the share of it that is divided evenly among all classes (C. Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", CVPR 2016, section 7). It is that of labels; those of a teacher are not
    smoothed.
    """
    classes, weights, rest = soft(labels)
    targets = np.full((len(classes), num_classes), smoothing / num_classes, np.float32)
    rows = np.arange(len(classes))
    is_label = classes >= 0
    if rest is not None:
        targets *= (weights * is_label).sum(1, keepdims=True)
        targets += rest[:, None] / np.float32(num_classes)
    # The labels of a teacher are smooth already.
    weights = weights * np.where(is_label, np.float32(1 - smoothing), np.float32(1))
    classes = np.where(is_label, classes, -1 - classes)
    for column, weight in zip(classes.T, weights.T, strict=True):
        targets[rows, column] += weight
    return targets


def sparse_targets(labels: Labels) -> np.ndarray:
    """Return the m classes of each image, then their m weights, float32 (B, 2 m): exact below 2^24 classes.

    With a teacher, one more column has the weight that is divided evenly among all classes.
    """
    classes, weights, rest = soft(labels)
    return np.concatenate([classes.astype(np.float32), weights, *([] if rest is None else [rest[:, None]])], 1)


def training_batches(
    stored_set: StoredSet,
    options: BatchOptions,
    batch_size: int,
    originals: Originals,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
    choices: Choices | None = None,
) -> TrainingBatches | ScheduledBatches:
    """Return the training batches of a set. Raises `EpochbankError` if an argument is out of range."""
    if not isinstance(originals, Real | OriginalsSchedule) or isinstance(originals, bool):
        raise EpochbankError(
            f"originals={originals!r}; expected a share from 0 to 1, or an OriginalsSchedule.", usage=True
        )
    num_images = stored_set.num_images["train"]
    size = options.images_per_batch(batch_size, num_images)
    share = originals.share_of_batch(0, size) if isinstance(originals, OriginalsSchedule) else originals
    batches = TrainingBatches(
        num_images, stored_set.epochs, size, share, rank, world_size, drop_last, choices, options.views
    )
    return ScheduledBatches(batches, originals) if isinstance(originals, OriginalsSchedule) else batches
