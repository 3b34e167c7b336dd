"""Fit on a set under a distribution and print which images were read. Tests run this in a separate process.

    python distributed_fit.py SET mirrored|devices|processes [ADDRESS NUMBER]

`mirrored` uses two virtual CPUs under tf.distribute, and `devices` two of JAX under keras.distribution. With
`processes` this is process NUMBER of two.
"""

import json
import os
import sys

if sys.argv[2] == "devices":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import contextlib

import keras
import numpy as np

from epochbank import AugmentedSequence, open_set


def main() -> None:
    path, kind = sys.argv[1:3]
    stored_set = open_set(path)
    scope: contextlib.AbstractContextManager = contextlib.nullcontext()
    if kind == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
    elif kind == "processes":
        keras.distribution.initialize(sys.argv[3], 2, int(sys.argv[4]))
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    else:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    with scope:
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(5)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = AugmentedSequence(stored_set, batch_size=60, originals=0, seed=4)
    read: dict[tuple[int, int], list[int]] = {}
    real = data.stream.batch

    def recorded(epoch: int, number: int):  # type: ignore[no-untyped-def]
        batch = real(epoch, number)
        images = batch[0].astype(int)
        read[epoch, number] = (images[:, 0, 0, 0] + 256 * images[:, 0, 1, 0]).tolist()
        return batch

    data.stream.batch = recorded  # type: ignore[method-assign]
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    epochs = [np.concatenate([read[epoch, at] for at in range(len(data))]).tolist() for epoch in range(2)]
    print(json.dumps({"steps": steps, "batches": len(data), "epochs": epochs}))


if __name__ == "__main__":
    main()
