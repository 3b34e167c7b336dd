"""The options of a training run, and how to read them back from the config.json of a run."""

import reprlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from ...augment.errors import EpochbankError
from ...augment.shared.renamed import rename_keys
from ..reading.stored_set import StoredSet
from ..streaming.batches import TrainingBatches, suitable_batch_size
from ..streaming.follow import check_follow
from ..streaming.order import Shuffle
from .model_names import check_model_name
from .trainable import check_classes


@dataclass(frozen=True)
class FitOptions:
    """The options of a training run; config.json stores them under the same names."""

    model: str = "cnn-small"
    """Name of a built-in model, or `module:function`."""
    epochs: int = 30
    batch_size: int | None = None
    """Images per batch; None for 256, or fewer for a small set."""
    originals: float = 0.5
    """Share of originals in each batch, 0 to 1."""
    seed: int = 0
    """Seed of the weights, dropout and shuffling."""
    learning_rate: float = 0.002
    """Peak learning rate."""
    patience: int = 10
    """Epochs without a lower validation loss before training stops; 0 disables early stopping."""
    precision: str = "float32"
    """Keras' dtype policy: `float32`, `mixed_float16`, `mixed_bfloat16`."""
    shuffle: Shuffle = "images"
    """Unit of shuffling: `images`, or whole `chunks`."""
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


def check_options(options: FitOptions, stored_set: StoredSet) -> None:
    """Raise `EpochbankError` for an unknown model, a set that no model can learn, or impossible batches.

    Keras, whose import is slow, is not imported.
    """
    check_model_name(options.model)
    check_classes(stored_set)
    check_follow(options.follow, options.world_size or 1)
    num_images = stored_set.num_images["train"]
    size = options.batch_size or suitable_batch_size(num_images, options.originals)
    TrainingBatches(num_images, stored_set.epochs, size, options.originals, options.rank or 0, options.world_size or 1)


def read_options(run: Path, config: dict[str, Any]) -> FitOptions:
    """Return the options in `config`, the config.json of a run; `EpochbankError` if one has the wrong type."""
    config = _with_new_names(config)
    values = {field.name: config[field.name] for field in fields(FitOptions) if field.name in config}
    for field in fields(FitOptions):
        kind = {"shuffle": str}.get(field.name, field.type)
        kind = float | int if kind is float else kind
        value = values.get(field.name, field.default)
        if not isinstance(value, kind) or not _is_allowed(field.name, value):  # type: ignore[arg-type]
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
    if name in _CHOICES:
        return value in _CHOICES[name]
    if name in ("follow", "deterministic"):
        return isinstance(value, bool)
    least, most = _RANGES[name]
    return not isinstance(value, bool) and least <= value <= most


_CHOICES = {"precision": ("float32", "mixed_float16", "mixed_bfloat16"), "shuffle": get_args(Shuffle)}
_RANGES = {
    "epochs": (1, 1 << 31),
    "batch_size": (1, 1 << 31),
    "originals": (0, 1),
    "seed": (0, 1 << 64),
    "learning_rate": (1e-300, 1e300),
    "patience": (0, 1 << 31),
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
