"""Rank and world size of this process, from `keras.distribution`."""

from dataclasses import dataclass

import keras

from ...augment.errors import EpochbankError


@dataclass(frozen=True)
class Rank:
    """One process among those that train a model, and what its batches must be like."""

    rank: int = 0
    world_size: int = 1
    devices: int = 1
    """Number of devices of this process; Keras divides each batch among them."""
    full: bool = False
    """Whether all batches must have the same size."""


def rank_here(batch_size: int) -> Rank:
    """Return the rank that `keras.distribution` gives this process, or rank 0 of 1 without a distribution.

    Under `tf.distribute`, which divides batches itself, every process is rank 0 of 1. Raises `EpochbankError` if
    batches of `batch_size` cannot be divided among the devices of this process.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Rank()
    world_size = min(distribution.num_processes, distribution.num_model_replicas)
    devices = max(1, distribution.num_model_replicas // world_size)
    if batch_size % devices:
        raise EpochbankError(
            f"batch size {batch_size}; expected a multiple of {devices}, the number of devices among which "
            "keras.distribution divides each batch of this process.",
            usage=True,
        )
    return Rank(distribution.data_shard_id, world_size, devices, full=True)
