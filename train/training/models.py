"""The built-in models, custom models by import path, and how a model is compiled. Models rescale their inputs."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ...augment.errors import EpochbankError
from ...augment.shared.import_path import import_by_path
from ...augment.shared.types import Shape
from .model_names import check_model_name
from .outputs import ONE_OUTPUT, OutputKind
from .soft_loss import SparseSoftAccuracy, SparseSoftCrossentropy

ModelFunction = Callable[[Shape, int], keras.Model]
"""Takes the shape of an image and the number of classes; returns a model."""

_FORMAT = "channels_last"
"""The data format of the images, regardless of keras.json."""
_LARGE = 48
"""Pixels of the shorter side from which `cnn` halves the images twice before its first block, not once."""


def cnn_small(shape: Shape, classes: int) -> keras.Model:
    """Build a model for few classes and small images: four convolutions, 0.1 million parameters plus 129 per class.

    It maps uint8 images (B, H, W, C) to float32 logits (B, classes).
    """
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for width, stride in ((16, 2), (32, 1), (64, 1)):
        x = _convolution(x, width, stride)
        x = layers.MaxPooling2D(padding="same", data_format=_FORMAT)(x)
    x = layers.GlobalAveragePooling2D(data_format=_FORMAT)(_convolution(x, 128))
    return _head(inputs, x, classes, dropout=0.2, name="cnn-small")


def cnn(shape: Shape, classes: int) -> keras.Model:
    """Build a residual network for thousands of classes at 64 x 64.

    After a 5 x 5 convolution come three residual blocks (K. He et al., "Deep Residual Learning for Image Recognition",
    CVPR 2016) with channel weights (J. Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018), and a dense layer. It
    has 2.3 million parameters at 64 x 64 plus 513 per class, and maps uint8 images (B, H, W, C) to float32 logits
    (B, classes).
    """
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    x = _convolution(x, 32, 2, kernel=5)
    if min(shape[:2]) >= _LARGE:
        x = layers.MaxPooling2D(padding="same", data_format=_FORMAT)(x)
    for width, stride in ((48, 1), (96, 2), (192, 2)):
        x = _residual_block(x, width, stride)
    # The place of a stroke matters, so the features are not averaged over the image.
    x = layers.Dropout(0.3)(layers.Flatten(data_format=_FORMAT)(x))
    x = layers.Dense(512, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    return _head(inputs, x, classes, dropout=0.3, name="cnn")


def _residual_block(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    y = _normalized(_convolution(x, width, stride), width)
    weight = layers.GlobalAveragePooling2D(data_format=_FORMAT, keepdims=True)(y)
    weight = layers.Conv2D(width // 4, 1, data_format=_FORMAT, activation="relu")(weight)
    weight = layers.Conv2D(width, 1, data_format=_FORMAT, activation="sigmoid")(weight)
    if stride > 1:
        x = layers.AveragePooling2D(stride, padding="same", data_format=_FORMAT)(x)
    if x.shape[-1] != width:
        x = _normalized(x, width, kernel=1)
    return layers.Activation("relu")(layers.Add()([x, layers.Multiply()([y, weight])]))


def _convolution(x: keras.KerasTensor, width: int, stride: int = 1, *, kernel: int = 3) -> keras.KerasTensor:
    return layers.Activation("relu")(_normalized(x, width, stride, kernel=kernel))


def _normalized(x: keras.KerasTensor, width: int, stride: int = 1, *, kernel: int = 3) -> keras.KerasTensor:
    """Return a convolution with batch normalization, without activation."""
    x = layers.Conv2D(width, kernel, stride, "same", _FORMAT, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)


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
            f"model {name} raised {type(error).__name__} when it was called with {shape} and {classes}: "
            f"{str(error).rstrip('.')}. "
            f"{_CHANNELS_FIX if _channels_come_first() else 'Fix the function, then run the command again.'}",
            usage=True,
        ) from error
    if not isinstance(model, keras.Model):
        raise EpochbankError(f"model {name} returned {type(model).__name__}; expected a Keras model.", usage=True)
    _check_data_format(model, name)
    try:
        output, expected = model.output_shape, model.input_shape
    except AttributeError as error:
        raise EpochbankError(
            f"model {name} has unknown shapes ({error}); expected a functional or sequential model that begins with "
            "keras.Input(shape).",
            usage=True,
        ) from error
    if not isinstance(output, tuple):
        raise EpochbankError(f"model {name} has {len(output)} outputs, of shapes {output}; {ONE_OUTPUT}", usage=True)
    if output[1:] != (classes,):
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


def check_parameters(model: keras.Model, config: dict[str, Any], run: Path) -> None:
    """Raise `EpochbankError` if `run`, whose config.json is `config`, has another built-in model of the same name."""
    name, before, now = config.get("model"), config.get("parameters"), model.count_params()
    if name in BUILT_IN and before not in (None, now):
        raise EpochbankError(
            f"{run} was trained with the {name} of another version of epochbank, which has {before} parameters; that "
            f"of this version has {now}. Use the version that trained it, or train again."
        )


_CHANNELS_FIX = (
    'Set "image_data_format": "channels_last" in keras.json, or pass data_format="channels_last" to each such layer.'
)


def _channels_come_first() -> bool:
    return keras.config.image_data_format() == "channels_first"


def _check_data_format(model: keras.Model, name: str) -> None:
    """Raise `EpochbankError` if keras.json makes a layer of `model` use the rows of the images as channels."""
    if not _channels_come_first():
        return
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "data_format", None) == "channels_first":
            raise EpochbankError(
                f"model {name}: layer {layer.name} expects channels first, because keras.json sets image_data_format "
                f"to channels_first, but images are (H, W, C). {_CHANNELS_FIX}",
                usage=True,
            )


def _import_model(name: str) -> ModelFunction:
    """Import `module:function`; `EpochbankError` if that fails."""
    check_model_name(name)
    try:
        _, function = import_by_path(name)
    except ValueError as error:
        raise EpochbankError(f"model {error}. The built-in models are {', '.join(BUILT_IN)}.", usage=True) from error
    if not callable(function):
        raise EpochbankError(
            f"model {name!r} is of type {type(function).__name__}; expected a function of (shape, classes).", usage=True
        )
    return function


def compile_model(
    model: keras.Model,
    output: OutputKind,
    *,
    learning_rate: float,
    steps: int,
    smoothing: float | None = None,
    temperature: float = 1.0,
) -> None:
    """Compile with cross-entropy and Adam: 5 % of `steps` linear warm-up, then cosine decay to 0.1 % of the peak.

    `output` is what the model returns; `smoothing` the label smoothing of soft targets, None for labels; `temperature`
    that of a teacher's labels.
    """
    warm_up = max(1, math.ceil(steps / 20))
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm_up), alpha=0.001, warmup_target=learning_rate, warmup_steps=warm_up
    )
    logits = output == "logits"
    loss, accuracy = keras.losses.SparseCategoricalCrossentropy(from_logits=logits), "accuracy"
    if smoothing is not None:
        loss, accuracy = SparseSoftCrossentropy(logits, smoothing, temperature), SparseSoftAccuracy()
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss, metrics=[accuracy])
