"""Cross-entropy and accuracy for soft targets in sparse form: m classes and their weights instead of all classes.

Targets are float32 (B, 2 m), as `AugmentedSequence(..., sparse_targets=True)` makes them, or labels (B,), as in
validation. Both work on every backend.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("epochbank")
class SparseSoftCrossentropy(keras.losses.Loss):
    """Cross-entropy with soft targets in sparse form, in nats; equal to `CategoricalCrossentropy` of dense ones.

    Labels (B,) are not smoothed, so that the loss of validation data is the plain cross-entropy.
    """

    def __init__(self, from_logits: bool = True, label_smoothing: float = 0.0, name: str = "crossentropy", **more: Any):
        """`label_smoothing` is the share of each soft target that is divided among all classes, 0 to 1."""
        super().__init__(name=name, **more)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (B,)."""
        if self.from_logits:
            log_p = ops.log_softmax(y_pred, axis=-1)
        else:
            log_p = ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))
        if not _is_soft(y_true):
            return -ops.take_along_axis(log_p, _column(y_true), axis=1)[:, 0]
        classes, weights = ops.split(ops.cast(y_true, log_p.dtype), 2, axis=1)
        loss = -ops.sum(weights * ops.take_along_axis(log_p, ops.cast(classes, "int32"), axis=1), axis=1)
        if not self.label_smoothing:
            return loss
        return (1 - self.label_smoothing) * loss - self.label_smoothing * ops.mean(log_p, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("epochbank")
class SparseSoftAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of images whose most probable class is that of the largest weight, or of the label."""

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(_matches, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype}


def _matches(y_true: Any, y_pred: Any) -> Any:
    predicted = ops.argmax(y_pred, axis=-1)
    if not _is_soft(y_true):
        return ops.cast(ops.equal(ops.cast(_column(y_true)[:, 0], predicted.dtype), predicted), "float32")
    classes, weights = ops.split(y_true, 2, axis=1)
    largest = ops.take_along_axis(classes, ops.argmax(weights, axis=1)[:, None], axis=1)[:, 0]
    return ops.cast(ops.equal(ops.cast(largest, predicted.dtype), predicted), "float32")


def _is_soft(y_true: Any) -> bool:
    return len(y_true.shape) == 2 and y_true.shape[1] != 1


def _column(labels: Any) -> Any:
    return ops.reshape(ops.cast(labels, "int32"), (-1, 1))
