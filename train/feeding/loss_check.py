"""Check that the loss of a model takes the targets of a sequence, before Keras fails with a message about ranks."""

import sys
from inspect import isfunction
from typing import Any

import keras

from ...augment.errors import EpochbankError

_FRAMES = 30
"""Calls between Keras' `fit` and the first batch that it requests, at most."""


def check_loss(num_classes: int, sparse: bool) -> None:
    """Raise `EpochbankError` if the model whose `fit` requests a batch has a loss that cannot take soft targets.

    Dense targets are refused for sparse losses, and `sparse` ones for all losses of Keras. Keras requests the first
    batch before it calls any callback, so the model is found among the callers.
    """
    loss = getattr(_fitted_model(), "loss", None)
    losses = loss if isinstance(loss, list | tuple) else loss.values() if isinstance(loss, dict) else [loss]
    if sparse and any(map(_is_of_keras, losses)):
        raise EpochbankError(
            f"the model was compiled with {_name(loss)}, but with sparse_targets=True the targets are float32 "
            "(B, 2 m), m class numbers and their weights. Compile it with epochbank.SparseSoftCrossentropy, or omit "
            "sparse_targets and compile it with keras.losses.CategoricalCrossentropy.",
            usage=True,
        )
    if not sparse and any(map(_is_sparse, losses)):
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


def _is_of_keras(loss: Any) -> bool:
    kind = loss if isfunction(loss) else type(loss)
    return isinstance(loss, str) or kind.__module__.split(".")[0] == "keras"


def _name(loss: Any) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
