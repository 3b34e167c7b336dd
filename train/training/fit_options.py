"""The options of a training run, and how to read them back from the config.json of a run."""

import reprlib
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean
from ...augment.shared.renamed import rename_keys
from ...augment.store.teachers import teacher_path
from ..feeding.batch_options import BatchOptions, training_batches
from ..reading.stored_set import StoredSet
from ..streaming.batches import suitable_batch_size
from ..streaming.distill import DEFAULT, parse_distill
from ..streaming.final import FinalRecipe, check_final
from ..streaming.follow import check_follow
from ..streaming.order import Shuffle
from ..streaming.schedule import Originals, parse_originals
from .model_names import check_model_name
from .tracker_names import check_installed, parse_log
from .trainable import check_classes

WITHOUT_EFFECT = ("threads", "checkpoint_steps", "checkpoint_minutes", "log")
"""Options that change no result."""


@dataclass(frozen=True)
class FitOptions:
    """The options of a training run; config.json stores them under the same names."""

    model: str = "cnn-small"
    """Name of a built-in model, or `module:function`."""
    epochs: int = 30
    batch_size: int | None = None
    """Images per batch; None for 256, or fewer for a small set."""
    originals: float | str = 0.5
    """Share of originals in each batch, 0 to 1; or `0.3:0.9`, from the first to the last epoch."""
    finish_on_originals: int = 0
    """Number of last epochs that show only originals."""
    seed: int = 0
    """Seed of the weights, dropout and shuffling."""
    learning_rate: float = 0.002
    """Peak learning rate."""
    patience: int = 10
    """Epochs without a higher validation accuracy before training stops; 0 disables early stopping."""
    precision: str = "float32"
    """Keras' dtype policy: `float32`, `mixed_float16`, `mixed_bfloat16`."""
    shuffle: Shuffle = "images"
    """Unit of shuffling: `images`, or whole `chunks`."""
    final: FinalRecipe | None = None
    """Final augmentation; None for none."""
    mixup: float = 0.0
    """Alpha of MixUp; 0 for none."""
    cutmix: float = 0.0
    """Alpha of CutMix; 0 for none."""
    label_smoothing: float = 0.0
    """Share of each target that is divided among all classes, 0 to less than 1."""
    views: int = 1
    """Number of views of each image in a batch, which differ in their final augmentation."""
    teacher: str | None = None
    """Name of a teacher of the set, on whose labels the model is trained, too; None for none."""
    distill: str | None = None
    """`A:T`, the share of the teacher and the temperature; None for 0.5:1."""
    threads: int | None = None
    """Number of decoding threads; None for one per core, up to 4."""
    rank: int | None = None
    """Number of this process, from 0, among `world_size`; None for 0, or the number that `keras.distribution` gives."""
    world_size: int | None = None
    """Number of processes among which the training images are divided; None for 1, or as `keras.distribution` says."""
    follow: bool = False
    """Pick up epochs that are published while training, and drop retired ones, at the beginning of each epoch."""
    deterministic: bool = False
    """Compute deterministically: two runs on the same machine give equal metrics. Slower."""
    checkpoint_steps: int | None = None
    """Steps between checkpoints; None disables step-based checkpoints."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints; 0 disables time-based checkpoints."""
    log: str | None = None
    """Experiment trackers that receive the metrics, such as `tensorboard,mlflow,wandb`; None or `none` for none."""

    @property
    def share_of_originals(self) -> Originals:
        """The share of originals, or its schedule. Raises `EpochbankError` if it is out of range."""
        return parse_originals(str(self.originals), self.epochs, self.finish_on_originals)

    def batch_size_for(self, num_images: int) -> int:
        """Return the batch size for `num_images` training images."""
        share = self.share_of_originals
        return self.batch_size or suitable_batch_size(num_images, share if isinstance(share, float) else share.first)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `log`. Raises `EpochbankError` if one is unknown."""
        return parse_log(self.log)

    @property
    def batches(self) -> BatchOptions:
        """What training adds to the stored images of a batch. Raises `EpochbankError` if a value is out of range."""
        if self.distill is not None and self.teacher is None:
            raise EpochbankError(
                f"distill {self.distill!r} without a teacher; expected one, whose labels `augment teach` wrote. Add "
                "--teacher NAME.",
                usage=True,
            )
        return BatchOptions(
            self.final,
            self.mixup,
            self.cutmix,
            self.label_smoothing,
            self.views,
            sparse_targets=True,
            teacher=self.teacher,
            distill=DEFAULT if self.distill is None else parse_distill(self.distill),
        )


def check_options(options: FitOptions, stored_set: StoredSet) -> None:
    """Raise `EpochbankError` for an unknown model or tracker, a set that no model can learn, or impossible batches.

    Keras, whose import is slow, is not imported.
    """
    check_model_name(options.model)
    check_installed(options.trackers)
    check_classes(stored_set)
    check_follow(options.follow, options.world_size or 1)
    num_images = stored_set.num_images["train"]
    batches, size = options.batches, options.batch_size_for(num_images)
    rank, world_size = options.rank or 0, options.world_size or 1
    training_batches(stored_set, batches, size, options.share_of_originals, rank, world_size)
    batches.stream_options(stored_set, options.seed)


def checked_options(values: dict[str, Any]) -> FitOptions:
    """Return options with these values; `EpochbankError` if a name is unknown, or a value is not in its range."""
    known = {field.name: field for field in fields(FitOptions)}
    for name, value in values.items():
        if name not in known:
            raise EpochbankError(
                f"{name}={reprlib.repr(value)} is not an option of a training; expected one of {', '.join(known)}."
                f"{did_you_mean(name, known)}",
                usage=True,
            )
        if not _has_type(known[name], value) or not _is_allowed(name, value):
            raise EpochbankError(
                f"{name}={reprlib.repr(value)} is invalid; expected {_expected(known[name])}.", usage=True
            )
    return FitOptions(**values)


def _expected(field: Field[Any]) -> str:
    if field.name in _CHOICES:
        return f"one of {', '.join(_CHOICES[field.name])}"
    kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    least, most = _RANGES.get(field.name, (None, None))
    if least is None or most is None:
        return kind
    if most <= 100:
        return f"{kind}, a number from {least:g} to {most:g}"
    return f"{kind}, a number {f'of {least:g} or more' if least in (0, 1) else 'above 0'}"


def _has_type(field: Field[Any], value: Any) -> bool:
    kind = _KINDS.get(field.name, field.type)
    return isinstance(value, float | int if kind is float else kind)


def read_options(run: Path, config: dict[str, Any]) -> FitOptions:
    """Return the options in `config`, the config.json of a run; `EpochbankError` if one has the wrong type."""
    config = _with_new_names(config)
    values = {field.name: config[field.name] for field in fields(FitOptions) if field.name in config}
    for field in fields(FitOptions):
        value = values.get(field.name, field.default)
        if not _has_type(field, value) or not _is_allowed(field.name, value):
            raise EpochbankError(
                f"{run / 'config.json'} is damaged: {field.name} is {reprlib.repr(value)}; expected {field.type} in "
                "its range. Restore the file, or start a new run in another --run directory."
            )
    return FitOptions(**values)


def _is_allowed(name: str, value: Any) -> bool:
    """Return whether `value`, of the type of field `name`, is in its range."""
    if value is None:
        return True
    if name == "model":
        return bool(value)
    try:
        if name == "final":
            return bool(check_final(value))
        if isinstance(value, str) and name == "originals":
            return parse_originals(value, 1) is not None
        if name == "log":
            return parse_log(value) is not None
        if name == "distill":
            return bool(parse_distill(value))
        if name == "teacher":
            return bool(teacher_path(Path(), value))
    except (ValueError, EpochbankError):
        return False
    if name in _CHOICES:
        return value in _CHOICES[name]
    if name in ("follow", "deterministic"):
        return isinstance(value, bool)
    least, most = _RANGES[name]
    return not isinstance(value, bool) and least <= value <= most


_KINDS: dict[str, Any] = {"shuffle": str, "final": dict | None, "originals": float | int | str}
"""Types of the fields whose annotation is not one that `isinstance` takes."""
_CHOICES = {"precision": ("float32", "mixed_float16", "mixed_bfloat16"), "shuffle": get_args(Shuffle)}
_RANGES = {
    "epochs": (1, 1 << 31),
    "batch_size": (1, 1 << 31),
    "originals": (0, 1),
    "finish_on_originals": (0, 1 << 31),
    "seed": (0, 1 << 64),
    "learning_rate": (1e-300, 1e300),
    "patience": (0, 1 << 31),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "label_smoothing": (0, 1 - 2**-53),
    "views": (1, 1 << 31),
    "threads": (1, 1 << 12),
    "rank": (0, 1 << 31),
    "world_size": (1, 1 << 31),
    "checkpoint_steps": (1, 1 << 62),
    "checkpoint_minutes": (0, 1e300),
}
"""Least and most of each number; config.json may be somebody else's."""


def _with_new_names(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a run from before `mix`, `shard` and `shuffle="pictures"` were renamed."""
    config = rename_keys(config, {"mix": "originals"})
    if config.get("shuffle") == "pictures":
        config["shuffle"] = "images"
    shard = config.pop("shard", None)
    if shard is not None:
        config["rank"], config["world_size"] = shard if isinstance(shard, list) and len(shard) == 2 else (shard, None)
    return config
