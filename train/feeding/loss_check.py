"""Check that the loss of a model takes the targets of a sequence, before Keras fails with a message about ranks."""

import sys
from typing import Any

import keras

from ...augment.errors import EpochbankError

_FRAMES = 30
"""Calls between Keras' `fit` and the first batch that it requests, at most."""


def check_loss(num_classes: int) -> None:
    """Raise `EpochbankError` if the model whose `fit` requests a batch with dense targets has a sparse loss.

    Keras requests the first batch before it calls any callback, so the model is found among the callers.
    """
    model = _fitted_model()
    loss = getattr(model, "loss", None)
    losses = loss if isinstance(loss, list | tuple) else loss.values() if isinstance(loss, dict) else [loss]
    if any(map(_is_sparse, losses)):
        raise EpochbankError(
            f"the model was compiled with {_name(loss)}, which expects labels int32 (B,), but with mixup, cutmix, "
            f"label_smoothing or a teacher the targets are float32 (B, {num_classes}), the weight of each class. "
            "Compile it with keras.losses.CategoricalCrossentropy, or pass sparse_targets=True and compile it with "
            "epochbank.SparseSoftCrossentropy.",
            usage=True,
        )


def _fitted_model() -> keras.Model | None:
    frame = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        found = frame.f_locals.get("self")
        if isinstance(found, keras.Model):
            return found
    return None


def _is_sparse(loss: Any) -> bool:
    return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) or loss in (
        "sparse_categorical_crossentropy",
        keras.losses.sparse_categorical_crossentropy,
    )


def _name(loss: Any) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
