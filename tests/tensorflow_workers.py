"""Train a linear model in a custom loop on the workers that TF_CONFIG names; print the images read and the weights.

    python tensorflow_workers.py SET

docs/training.md shows this loop.
"""

import json
import sys

import tensorflow as tf

from conftest import numbers
from epochbank import open_set

strategy = tf.distribute.MultiWorkerMirroredStrategy()  # Before any other call of TensorFlow.
stored_set = open_set(sys.argv[1])
context = tf.distribute.cluster_resolver.TFConfigClusterResolver()
batches = stored_set.to_tf_dataset(
    50, originals=0, rank=context.task_id, world_size=len(context.cluster_spec().job_tasks("worker"))
)
with strategy.scope():
    weights = tf.Variable(tf.zeros((16, len(stored_set.class_names))))


@tf.function
def step(images, labels):  # type: ignore[no-untyped-def]
    def replica(images, labels):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            logits = tf.reshape(tf.cast(images, tf.float32) / 255, (-1, 16)) @ weights
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradient = tape.gradient(loss, weights)
        mean = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, gradient)
        tf.distribute.get_replica_context().merge_call(
            lambda strategy, mean: strategy.extended.update(weights, lambda one, mean: one.assign_sub(mean), (mean,)),
            (mean,),
        )

    strategy.run(replica, (images, labels))


epochs = []
for _ in range(2):
    read = []
    for images, labels in batches:
        read += numbers(images.numpy()).tolist()
        step(images, labels)
    epochs.append(read)
print(json.dumps({"epochs": epochs, "weights": float(tf.reduce_sum(tf.abs(weights)).numpy())}))
