"""TFRecord: files of `tf.train.Example`, with features named as in TensorFlow's models and data sets."""

from collections.abc import Iterable
from typing import BinaryIO

from ..shared.tfrecord import Value, encode_example, write_record
from ..shared.types import Shape
from .samples import Sample

OVERHEAD = 350
"""Bytes of a record beside its PNG."""


def file_name(split: str, number: int, count: int) -> str:
    """Return the path of file `number` of the `count` files of a split, relative to the export."""
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def write(file: BinaryIO, samples: Iterable[Sample], shape: Shape) -> None:
    """Write samples with images of `shape` to a new file. Memory: one sample."""
    height, width, channels = shape
    for one in samples:
        features: dict[str, Value] = {
            "image/encoded": one.png,
            "image/format": "png",
            "image/height": height,
            "image/width": width,
            "image/channels": channels,
            "image/class/label": one.label,
            "image/class/text": one.name,
            "row": one.row,
            "epoch": one.epoch,
            "position": one.position,
        }
        if one.group is not None:
            features["group"] = one.group
        write_record(file, encode_example(features))
