"""What the user may say about a training; a run is gone on with by what config.json has of it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from ..streaming.order import Shuffle


@dataclass(frozen=True)
class FitOptions:
    """What the user may say about a training."""

    model: str = "cnn-small"
    epochs: int = 30
    batch_size: int | None = None
    """None for one that suits the size of the set."""
    mix: float = 0.5
    seed: int = 0
    learning_rate: float = 0.002
    patience: int = 10
    """Epochs without a lower validation loss after which training stops; 0 never stops early."""
    precision: str = "float32"
    """Keras' dtype policy: `float32`, `mixed_float16`, `mixed_bfloat16`."""
    shuffle: Shuffle = "pictures"
    """What is shuffled in each epoch: `pictures`, or whole `chunks` of them."""
    threads: int | None = None
    """Decoding threads; None: a core each, up to 4."""
    shard: tuple[int, int] | None = None
    """(k, n): read the k-th of n parts of the training pictures; None: all, or as `keras.distribution` says."""
    deterministic: bool = False
    """Compute so that two runs give equal metrics, more slowly."""
    checkpoint_steps: int | None = None
    """Steps after which a checkpoint is written; None: however many."""
    checkpoint_minutes: float = 5.0
    """Minutes after which one is written; 0: however long it takes."""


def options_of(run: Path, config: dict[str, Any]) -> FitOptions:
    """The options that a run was begun with; `EpochbankError` where its config.json does not have them."""
    values = {field.name: config[field.name] for field in fields(FitOptions) if field.name in config}
    if isinstance(values.get("shard"), list):  # JSON has no tuples.
        values["shard"] = tuple(values["shard"])
    for field in fields(FitOptions):
        kind = {"shard": tuple | None, "shuffle": str}.get(field.name, field.type)
        kind = float | int if kind is float else kind
        if not isinstance(values.get(field.name, field.default), kind):  # type: ignore[arg-type]
            raise EpochbankError(
                f"{run / 'config.json'} is damaged: {field.name} is {values[field.name]!r}; expected {field.type}. "
                "Restore it, or train anew, into another --run."
            )
    return FitOptions(**values)
