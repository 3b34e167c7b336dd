"""Keep the models of several torch processes equal: average gradients, and take other variables from rank 0.

`DistributedDataParallel` does this for models that are called through it; Keras calls its own.
"""

from typing import Any, cast

import keras
import numpy as np

from ..feeding.sequence import AugmentedSequence, EvaluationSequence
from ..streaming.batches import TrainingBatches
from ..streaming.schedule import ScheduledBatches
from .ranks import Ranks

_RANK_STRIDE = 0x9E3779B1
"""Added to the seeds of layers, times the rank."""


def average_gradients(model: keras.Model) -> None:
    """Let the optimizer of the compiled `model` apply the mean of the gradients of all ranks.

    The gradients are sent as one array, after each backward pass.
    """
    apply = model.optimizer.apply

    def apply_average(gradients: list[Any], trainable_variables: Any = None) -> Any:
        import torch
        from torch import distributed

        found = [one for one in gradients if one is not None]
        flat = torch.cat([one.reshape(-1) for one in found])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        for one, mean in zip(found, flat.split([one.numel() for one in found]), strict=True):
            one.copy_(mean.view_as(one))
        return apply(gradients, trainable_variables)

    model.optimizer.apply = apply_average


def share_variables(model: keras.Model) -> None:
    """Copy all variables of `model` and its optimizer from rank 0; then seed the layers differently on each rank."""
    from torch import distributed

    for variable in (*model.variables, *model.optimizer.variables):
        distributed.broadcast(variable.value.data, src=0)
    rank = distributed.get_rank()
    for variable in filter(_is_seed, model.variables):
        seed = keras.ops.convert_to_numpy(variable).copy()
        seed[0] = (int(seed[0]) + rank * _RANK_STRIDE) % 2**31
        variable.assign(seed)


def share_statistics(model: keras.Model) -> None:
    """Copy the moving statistics of `model`, such as those of batch normalization, from rank 0."""
    from torch import distributed

    for variable in model.non_trainable_variables:
        if not _is_seed(variable):
            distributed.broadcast(variable.value.data, src=0)


class TorchRanks(keras.callbacks.Callback):
    """Validate with the statistics of rank 0, and give all ranks the same logs. It must be the first callback."""

    def __init__(self, ranks: Ranks, data: AugmentedSequence, validation: EvaluationSequence | None):
        super().__init__()
        self._ranks, self._batches = ranks, cast(TrainingBatches | ScheduledBatches, data.stream.batches)
        self._validated = 0 if validation is None else validation.stream.batches.num_images

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take the statistics of rank 0, which are those that are saved."""
        share_statistics(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the logs by the means of all ranks, weighted by their numbers of images."""
        if logs is not None:
            weights = {"": self._batches.shown(epoch), "val_": self._validated}
            rows = [(row, dict(counts)) for row, counts in self._ranks.gather([logs, weights])]
            for name in logs:
                kind = "val_" if name.startswith("val_") else ""
                logs[name] = float(np.average([row[name] for row, _ in rows], weights=[by[kind] for _, by in rows]))


def _is_seed(variable: Any) -> bool:
    return "seed_generator_state" in variable.path
