"""Rank and world size of this process, as the framework that connects the processes gives them."""

import sys
from typing import Any

from ...augment.errors import EpochbankError


def process_here(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Return rank and world size of this process: the given ones, or those of the framework if both are None.

    The frameworks are `keras.distribution`, `torch.distributed` and `jax.distributed`, if they are initialized. None of
    them is imported. Without them, and under `tf.distribute`, every process is rank 0 of 1.
    """
    if rank is not None or world_size is not None:
        return rank or 0, world_size or 1
    distribution = _keras_distribution()
    if distribution is not None:
        return distribution.data_shard_id, min(distribution.num_processes, distribution.num_model_replicas)
    torch: Any = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        return torch.get_rank(), torch.get_world_size()
    jax: Any = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        return jax.process_index(), jax.process_count()
    return 0, 1


def needs_full_batches(batch_size: int) -> bool:
    """Return whether Keras' `fit` needs batches that all have the same size, because it divides them among devices.

    Raises `EpochbankError` if batches of `batch_size` cannot be divided among the devices of this process.
    """
    devices = devices_here()
    if batch_size % devices:
        raise EpochbankError(
            f"batch size {batch_size}; expected a multiple of {devices}, the number of devices among which "
            "keras.distribution divides each batch of this process.",
            usage=True,
        )
    return _keras_distribution() is not None


def devices_here() -> int:
    """Return the number of devices among which `keras.distribution` divides each batch of this process."""
    distribution = _keras_distribution()
    return 1 if distribution is None else max(1, distribution.num_model_replicas // process_here()[1])


def _keras_distribution() -> Any:
    keras: Any = sys.modules.get("keras")
    return None if keras is None else keras.distribution.distribution()
