"""The models: two that come along, or any Keras model by import path. Rescaling happens inside them."""

import importlib
import math
from collections.abc import Callable

import keras
from keras import layers

from ...augment.errors import EpochbankError

Shape = tuple[int, int, int]
"""(H, W, C) of a picture."""


def cnn_small(shape: Shape, classes: int) -> keras.Model:
    """Four convolutions, 0.1 million parameters and 129 for each class: for a few classes and small pictures.

    Takes uint8 pictures (B, H, W, C), gives logits (B, classes), float32.
    """
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for width, stride in ((16, 2), (32, 1), (64, 1)):
        x = _convolution(x, width, stride)
        x = layers.MaxPooling2D(padding="same")(x)
    x = layers.GlobalAveragePooling2D()(_convolution(x, 128))
    return _head(inputs, x, classes, dropout=0.2, name="cnn-small")


def cnn(shape: Shape, classes: int) -> keras.Model:
    """Four convolutions and a dense layer, 2.5 million parameters at 64 x 64 and 513 for each class.

    For thousands of classes at 64 x 64. Takes uint8 pictures (B, H, W, C), gives logits (B, classes),
    float32.
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
    # float32 whatever the policy: a softmax over thousands of float16 logits loses the small ones.
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="logits")(x), name=name)


BUILT_IN: dict[str, Callable[[Shape, int], keras.Model]] = {"cnn-small": cnn_small, "cnn": cnn}
"""The models by the name that `--model` gives them."""


def build_model(name: str, shape: Shape, classes: int) -> keras.Model:
    """A built-in model, or what `module:function`, called with (shape, classes), returns.

    `EpochbankError` where there is none, or where it does not take such pictures or tell such classes apart.
    """
    build = BUILT_IN[name] if name in BUILT_IN else load_function(name)
    try:
        model = build(shape, classes)
    except Exception as error:  # The user's own function may raise anything.
        raise EpochbankError(
            f"model {name}: called with {shape} and {classes}, it raised {type(error).__name__}: {error}. Mend it.",
            words=True,
        ) from error
    if not isinstance(model, keras.Model):
        raise EpochbankError(f"model {name}: it returned {type(model).__name__}; expected a Keras model.", words=True)
    try:
        output, expected = model.output_shape, model.input_shape
    except AttributeError as error:
        raise EpochbankError(
            f"model {name}: its shapes are not known ({error}); expected a functional or sequential model that begins "
            "with keras.Input(shape).",
            words=True,
        ) from error
    if not isinstance(output, tuple) or output[1:] != (classes,):
        raise EpochbankError(
            f"model {name}: its output has shape {output}; expected (None, {classes}), one number for each class of "
            "the set. Let the function use the number of classes that it is called with.",
            words=True,
        )
    if len(expected) != 4 or any(want not in (None, have) for want, have in zip(expected[1:], shape, strict=True)):
        raise EpochbankError(
            f"model {name}: its input has shape {expected}; expected (None, {', '.join(map(str, shape))}), the "
            "pictures of the set. Let the function use the shape that it is called with.",
            words=True,
        )
    return model


def load_function(name: str) -> Callable[[Shape, int], keras.Model]:
    """Import `module:function`; `EpochbankError` where there is none."""
    module, separator, function = name.partition(":")
    remedy = f"expected one of {', '.join(BUILT_IN)}, or module:function, called with (shape, classes)."
    if not separator:
        raise EpochbankError(f"model {name!r} is unknown; {remedy}", words=True)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # The user's own module may raise anything.
        text = f"{type(error).__name__}: {error}"
        raise EpochbankError(f"model {name!r} cannot be imported ({text}); {remedy}", words=True) from error
    if not callable(found):
        raise EpochbankError(f"model {name!r} is a {type(found).__name__}, not a function; {remedy}", words=True)
    return found


def compile_model(model: keras.Model, *, learning_rate: float, steps: int) -> None:
    """Adam, its rate warmed up over a twentieth of `steps` and let down along a cosine; cross-entropy."""
    warm_up = max(1, math.ceil(steps / 20))
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm_up), alpha=0.001, warmup_target=learning_rate, warmup_steps=warm_up
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not gives_probabilities(model)),
        metrics=["accuracy"],
    )


def gives_probabilities(model: keras.Model) -> bool:
    """True where the model ends in a softmax; else its outputs are taken for logits."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return gives_probabilities(last)
    return isinstance(last, layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
