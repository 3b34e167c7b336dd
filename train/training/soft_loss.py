"""Cross-entropy and accuracy for soft targets in sparse form: m classes and their weights instead of all classes.

Targets are float32 (B, 2 m), as `AugmentedSequence(..., sparse_targets=True)` makes them, or labels (B,), as in
validation. With a teacher they are (B, 2 m + 1): classes of the teacher are -1 - class, and the last column is the
weight that is divided evenly among all classes. All work on every backend.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("epochbank")
class SparseSoftCrossentropy(keras.losses.Loss):
    """Cross-entropy with soft targets in sparse form, in nats; equal to `CategoricalCrossentropy` of dense ones.

    Labels (B,) are not smoothed, so that the loss of validation data is the plain cross-entropy.
    """

    def __init__(
        self,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        temperature: float = 1.0,
        name: str = "crossentropy",
        **more: Any,
    ):
        """Smooth labels, and soften the probabilities that are compared with a teacher's.

        `label_smoothing` is the share of each soft target that is divided among all classes, 0 to 1, and `temperature`
        is that of the targets, 1 or more.
        """
        super().__init__(name=name, **more)
        self.from_logits, self.label_smoothing, self.temperature = from_logits, label_smoothing, temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (B,)."""
        if self.from_logits:
            log_p = ops.log_softmax(y_pred, axis=-1)
        else:
            log_p = ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))
        if not _is_soft(y_true):
            return -ops.take_along_axis(log_p, _column(y_true), axis=1)[:, 0]
        if y_true.shape[1] % 2:
            return self._with_teacher(ops.cast(y_true, log_p.dtype), log_p)
        classes, weights = ops.split(ops.cast(y_true, log_p.dtype), 2, axis=1)
        loss = -ops.sum(weights * ops.take_along_axis(log_p, ops.cast(classes, "int32"), axis=1), axis=1)
        if not self.label_smoothing:
            return loss
        return (1 - self.label_smoothing) * loss - self.label_smoothing * ops.mean(log_p, axis=1)

    def _with_teacher(self, y_true: Any, log_p: Any) -> Any:
        """Return the loss of each image: that of its label, plus T^2 times that of the teacher's labels."""
        classes, weights = ops.split(y_true[:, :-1], 2, axis=1)
        labels = ops.where(classes >= 0, weights, 0.0)
        where = ops.cast(ops.where(classes >= 0, classes, -1 - classes), "int32")
        softened = log_p if self.temperature == 1 else ops.log_softmax(log_p / self.temperature, axis=-1)
        of_label = -ops.sum(labels * ops.take_along_axis(log_p, where, axis=1), axis=1)
        if self.label_smoothing:
            even = -ops.sum(labels, axis=1) * ops.mean(log_p, axis=1)
            of_label = (1 - self.label_smoothing) * of_label + self.label_smoothing * even
        of_teacher = -ops.sum((weights - labels) * ops.take_along_axis(softened, where, axis=1), axis=1)
        return of_label + self.temperature**2 * (of_teacher - y_true[:, -1] * ops.mean(softened, axis=1))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        own = {"label_smoothing": self.label_smoothing, "temperature": self.temperature}
        return {**super().get_config(), "from_logits": self.from_logits, **own}


@keras.saving.register_keras_serializable("epochbank")
class SparseSoftAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of images whose most probable class is that of the largest weight, or of the label.

    The classes of a teacher do not count.
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(_matches, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype}


def _matches(y_true: Any, y_pred: Any) -> Any:
    predicted = ops.argmax(y_pred, axis=-1)
    if not _is_soft(y_true):
        return ops.cast(ops.equal(ops.cast(_column(y_true)[:, 0], predicted.dtype), predicted), "float32")
    classes, weights = ops.split(y_true[:, : y_true.shape[1] // 2 * 2], 2, axis=1)
    weights = ops.where(classes >= 0, weights, -1.0)
    largest = ops.take_along_axis(classes, ops.argmax(weights, axis=1)[:, None], axis=1)[:, 0]
    return ops.cast(ops.equal(ops.cast(largest, predicted.dtype), predicted), "float32")


def _is_soft(y_true: Any) -> bool:
    return len(y_true.shape) == 2 and y_true.shape[1] != 1


def _column(labels: Any) -> Any:
    return ops.reshape(ops.cast(labels, "int32"), (-1, 1))
