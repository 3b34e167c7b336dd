"""tf.data: TFRecord files shuffled in a buffer and parsed batch by batch; and whole batches written by `save`."""

from pathlib import Path
from typing import Any

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("tensorflow",)
_SHARDS = 8
_BUFFER = 10_000


def prepare(images: Images, folder: Path) -> None:
    import tensorflow as tf

    images, labels = images.images, images.labels
    (folder / "records").mkdir()
    for shard in range(_SHARDS):
        with tf.io.TFRecordWriter(str(folder / "records" / f"{shard:02d}.tfrecord")) as writer:
            for row in range(shard * len(labels) // _SHARDS, (shard + 1) * len(labels) // _SHARDS):
                feature = {
                    "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[images[row].tobytes()])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[labels[row]])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    starts = tf.data.Dataset.range(0, len(labels), BATCH)
    signature = [tf.uint8, tf.int32]
    batches = starts.map(
        lambda start: tf.numpy_function(
            lambda at: (images[at : at + BATCH], labels[at : at + BATCH]), [start], signature, stateful=False
        )
    )
    shapes = (None, *images.shape[1:]), (None,)
    batches.map(lambda x, y: (tf.ensure_shape(x, shapes[0]), tf.ensure_shape(y, shapes[1]))).save(str(folder / "saved"))


def contenders(images: Images, folder: Path) -> list[Contender]:
    import tensorflow as tf

    shape = images.images.shape[1:]

    def parse(examples: Any) -> Any:
        features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        parsed = tf.io.parse_example(examples, features)
        return tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), (-1, *shape)), parsed["label"]

    options = tf.data.Options()
    options.threading.private_threadpool_size = WORKERS
    files = sorted(map(str, (folder / "records").iterdir()))
    records = tf.data.TFRecordDataset(files, num_parallel_reads=WORKERS).shuffle(_BUFFER).batch(BATCH)
    records = records.map(parse, num_parallel_calls=WORKERS).prefetch(4).with_options(options)
    saved = tf.data.Dataset.load(str(folder / "saved")).prefetch(4).with_options(options)
    threads = f"{WORKERS} threads"
    return [
        Contender("tf.data TFRecord", threads, "window", bytes_of(folder / "records"), lambda _: records),
        Contender("tf.data Dataset.load", threads, "no", bytes_of(folder / "saved"), lambda _: saved),
    ]
