"""What a model returns for a batch: logits or probabilities. The loss depends on it.

The outputs decide, and not the type of the last layer: a softmax may be a layer, a function or a Lambda, and a cast may
follow it.
"""

import math
import weakref
from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.progress import counted

OutputKind = Literal["probabilities", "logits"]
"""`probabilities`: every row is at least 0 and sums to 1. `logits`: any values; their softmax is the probabilities."""

ONE_OUTPUT = (
    "expected one array with a logit or a probability per class. To train several outputs or heads, call your own "
    "`model.fit` with `AugmentedSequence(..., transform=...)`, which makes their targets."
)

_TOLERANCE = 0.02
"""How far 16-bit probabilities may be below 0 or above 1."""
_SUM_TOLERANCE = 0.1
"""How much the sum of 16-bit probabilities may differ from 1: some processors add 1,000 of them with 2 % error."""
_LOOKS = 3
"""Number of times the outputs are computed with other weights."""
_IMAGES = 32
"""Random images that are used if there are no others."""

_known: "weakref.WeakKeyDictionary[keras.Model, OutputKind]" = weakref.WeakKeyDictionary()


def output_kind(model: keras.Model, images: np.ndarray | None = None) -> OutputKind:
    """Return whether `model` returns probabilities or logits.

    Values below 0 or above 1 are logits. Values from 0 to 1 may also be small logits, so the model is then called with
    other random weights, which make logits large, while a softmax still sums to 1.

    Parameters
    ----------
    model
        A built model; its weights are the same afterwards.
    images
        Images of the set, uint8 (B, H, W, C); None for random ones.

    Raises
    ------
    EpochbankError
        If the model returns several outputs, NaN, or values from 0 to 1 that do not sum to 1, such as those of a
        sigmoid.
    """
    if model not in _known:
        _known[model] = _decide(model, _random_images(model) if images is None else images)
    return _known[model]


def returns_probabilities(model: keras.Model, images: np.ndarray | None = None) -> bool:
    """Return whether `output_kind` is `probabilities`."""
    return output_kind(model, images) == "probabilities"


def _decide(model: keras.Model, images: np.ndarray) -> OutputKind:
    outputs = _outputs(model, images)
    if np.isnan(outputs).any():
        raise EpochbankError(
            f"model {model.name} returns NaN for images of the set; expected a logit or a probability per class. Check "
            "the model, its weights and --precision.",
            usage=True,
        )
    looks = [outputs] if _exceeds(outputs) else [outputs, *_with_other_weights(model, images)]
    if any(map(_exceeds, looks)):
        return "logits"
    if all(map(_is_distribution, looks)):
        return "probabilities"
    sums = outputs.sum(1)
    raise EpochbankError(
        f"model {model.name} returns values from 0 to 1 whose sums over the classes are {sums.min():.3g} to "
        f"{sums.max():.3g}, as a sigmoid does; expected logits, or probabilities that sum to 1. Use no activation or a "
        "softmax in the last layer.",
        usage=True,
    )


def _exceeds(outputs: np.ndarray) -> bool:
    """Return whether some values are not between 0 and 1."""
    return bool((outputs < -_TOLERANCE).any() or (outputs > 1 + _TOLERANCE).any())


def _is_distribution(outputs: np.ndarray) -> bool:
    return bool((abs(outputs.sum(1) - 1) <= _SUM_TOLERANCE).all())


def _outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the outputs for `images`, float64 (B, classes)."""
    outputs: Any = model.predict_on_batch(images)
    if not isinstance(outputs, np.ndarray):
        names = f" ({', '.join(map(repr, outputs))})" if isinstance(outputs, dict) else ""
        kind = f"a {type(outputs).__name__} of {counted(len(outputs), 'output')}{names}"
        raise EpochbankError(f"model {model.name} returns {kind}; {ONE_OUTPUT}", usage=True)
    return outputs.astype(np.float64)


def _with_other_weights(model: keras.Model, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the outputs with random weights, without those that overflow; the weights are restored in the end."""
    variables = [one for one in model.trainable_variables if keras.backend.is_float_dtype(one.dtype)]
    before = [keras.ops.convert_to_numpy(one) for one in variables]
    random = np.random.default_rng(0)
    try:
        for _ in range(_LOOKS):
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value.astype(np.float32) + _noise(random, value.shape))
            outputs = _outputs(model, images)
            if np.isfinite(outputs).all():
                yield outputs
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise for weights, float32: large for biases, and for kernels such that activations keep their size."""
    scale = 4.0 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[:-1]))
    return (scale * random.standard_normal(shape)).astype(np.float32)


def _random_images(model: keras.Model) -> np.ndarray:
    shape = [length or _IMAGES for length in model.input_shape[1:]]
    return np.random.default_rng(0).integers(0, 256, (_IMAGES, *shape), np.uint8)
