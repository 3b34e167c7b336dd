"""Which part of the training pictures this process reads, where several processes train one model."""

from dataclasses import dataclass

import keras

from ...augment.errors import EpochbankError


@dataclass(frozen=True)
class Readers:
    """One reader among several, and what its batches must be like."""

    reader: int = 0
    readers: int = 1
    devices: int = 1
    """Devices of this process that part each batch among them."""
    full: bool = False
    """Whether all batches must be of the same size."""


def readers_here(batch_size: int) -> Readers:
    """What `keras.distribution` says; one reader where it says nothing.

    `tf.distribute` parts the batches that it is given itself: there every process is the one reader. Raises
    `EpochbankError` where the devices cannot part batches of `batch_size`.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Readers()
    readers = min(distribution.num_processes, distribution.num_model_replicas)
    devices = max(1, distribution.num_model_replicas // readers)
    if batch_size % devices:
        raise EpochbankError(
            f"batch size {batch_size}; expected a multiple of {devices}, the devices of this process that part each "
            "batch among them (keras.distribution).",
            words=True,
        )
    return Readers(distribution.data_shard_id, readers, devices, full=True)
