"""The built-in models, custom models by import path, and how a model is compiled. Models rescale their inputs."""

import difflib
import math
from collections.abc import Callable

import keras
from keras import layers

from ...augment.errors import EpochbankError
from ...augment.shared.import_path import import_by_path
from ...augment.shared.types import Shape

ModelFunction = Callable[[Shape, int], keras.Model]
"""Takes the shape of an image and the number of classes; returns a model."""


def cnn_small(shape: Shape, classes: int) -> keras.Model:
    """Build a model for few classes and small images: four convolutions, 0.1 million parameters plus 129 per class.

    It maps uint8 images (B, H, W, C) to float32 logits (B, classes).
    """
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for width, stride in ((16, 2), (32, 1), (64, 1)):
        x = _convolution(x, width, stride)
        x = layers.MaxPooling2D(padding="same")(x)
    x = layers.GlobalAveragePooling2D()(_convolution(x, 128))
    return _head(inputs, x, classes, dropout=0.2, name="cnn-small")


def cnn(shape: Shape, classes: int) -> keras.Model:
    """Build a model for thousands of classes at 64 x 64: four convolutions and a dense layer.

    It has 2.5 million parameters at 64 x 64 plus 513 per class, and maps uint8 images (B, H, W, C) to float32 logits
    (B, classes).
    """
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    x = _convolution(x, 32, 2, kernel=5)
    for width in (64, 128, 256):
        x = _convolution(x, width)
        x = layers.MaxPooling2D(padding="same")(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(512, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    return _head(inputs, x, classes, dropout=0.3, name="cnn")


def _convolution(x: keras.KerasTensor, width: int, stride: int = 1, *, kernel: int = 3) -> keras.KerasTensor:
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))


def _head(inputs: keras.KerasTensor, x: keras.KerasTensor, classes: int, *, dropout: float, name: str) -> keras.Model:
    x = layers.Dropout(dropout)(x)
    # float32 under every policy: a softmax over thousands of float16 logits underflows.
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="logits")(x), name=name)


BUILT_IN: dict[str, ModelFunction] = {"cnn-small": cnn_small, "cnn": cnn}
"""The built-in models by the name that `--model` accepts."""


def build_model(name: str, shape: Shape, classes: int) -> keras.Model:
    """Build the model `name`: a built-in one, or `module:function`, which is called with (shape, classes).

    Raises `EpochbankError` if there is no such model, or it does not fit the shape and the number of classes.
    """
    build = BUILT_IN[name] if name in BUILT_IN else _import_model(name)
    try:
        model = build(shape, classes)
    except Exception as error:  # The user's own function may raise anything.
        raise EpochbankError(
            f"model {name} raised {type(error).__name__} when it was called with {shape} and {classes}: {error}. "
            "Fix the function, then run the command again.",
            usage=True,
        ) from error
    if not isinstance(model, keras.Model):
        raise EpochbankError(f"model {name} returned {type(model).__name__}; expected a Keras model.", usage=True)
    try:
        output, expected = model.output_shape, model.input_shape
    except AttributeError as error:
        raise EpochbankError(
            f"model {name} has unknown shapes ({error}); expected a functional or sequential model that begins with "
            "keras.Input(shape).",
            usage=True,
        ) from error
    if not isinstance(output, tuple) or output[1:] != (classes,):
        raise EpochbankError(
            f"model {name} has an output of shape {output}; expected (None, {classes}), one value per class of the "
            "set. Use the number of classes that the function is called with.",
            usage=True,
        )
    if len(expected) != 4 or any(want not in (None, have) for want, have in zip(expected[1:], shape, strict=True)):
        raise EpochbankError(
            f"model {name} has an input of shape {expected}; expected (None, {', '.join(map(str, shape))}), the "
            "shape of the images. Use the shape that the function is called with.",
            usage=True,
        )
    return model


def _import_model(name: str) -> ModelFunction:
    """Import `module:function`; `EpochbankError` if that fails."""
    expected = f"expected {', '.join(BUILT_IN)}, or module:function, called with (shape, classes)"
    if ":" not in name:
        similar = difflib.get_close_matches(name, BUILT_IN, 1)
        hint = f" Did you mean {similar[0]}?" if similar else ""
        raise EpochbankError(f"model {name!r} is unknown; {expected}.{hint}", usage=True)
    try:
        _, function = import_by_path(name)
    except ValueError as error:
        raise EpochbankError(f"model {error}. The built-in models are {', '.join(BUILT_IN)}.", usage=True) from error
    if not callable(function):
        raise EpochbankError(f"model {name!r} is of type {type(function).__name__}; {expected}.", usage=True)
    return function


def compile_model(model: keras.Model, *, learning_rate: float, steps: int) -> None:
    """Compile with cross-entropy and Adam: 5 % of `steps` linear warm-up, then cosine decay to 0.1 % of the peak."""
    warm_up = max(1, math.ceil(steps / 20))
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm_up), alpha=0.001, warmup_target=learning_rate, warmup_steps=warm_up
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not returns_probabilities(model)),
        metrics=["accuracy"],
    )


def returns_probabilities(model: keras.Model) -> bool:
    """Return whether the model ends in a softmax; otherwise its outputs are logits."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return returns_probabilities(last)
    return isinstance(last, layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
