"""Whether a model returns logits or probabilities, and models whose outputs cannot be trained."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers, ops

from conftest import glyphs
from epochbank import open_set
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.training.evaluate import evaluate
from epochbank.train.training.models import BUILT_IN, build_model
from epochbank.train.training.outputs import output_kind

SHAPE = (20, 16, 1)
IMAGES = glyphs(64, SHAPE)


def dense(classes: int, activation: Any = None, **options: Any) -> keras.Model:
    """A model whose last layer has this activation."""
    return keras.Sequential(
        [
            keras.Input(SHAPE), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8, activation="relu"),
            layers.Dense(classes, activation=activation, **options),
        ]
    )  # fmt: skip


def followed_by(layer: layers.Layer, classes: int, activation: Any = None) -> keras.Model:
    model = dense(classes, activation)
    model.add(layer)
    return model


def tensorflow_softmax(values: Any) -> Any:
    """`tf.nn.softmax`, or that of the current backend."""
    if keras.backend.backend() != "tensorflow":
        return ops.softmax(values)
    import tensorflow as tf

    return tf.nn.softmax(values)


PROBABILITIES = {
    "softmax": lambda classes: dense(classes, "softmax"),
    "tf.nn.softmax": lambda classes: dense(classes, tensorflow_softmax),
    "keras.ops.softmax": lambda classes: dense(classes, ops.softmax),
    "Softmax": lambda classes: followed_by(layers.Softmax(), classes),
    "Lambda": lambda classes: followed_by(layers.Lambda(lambda x: ops.softmax(x)), classes),
    "cast": lambda classes: followed_by(layers.Activation("linear", dtype="float32"), classes, "softmax"),
}
LOGITS = {
    "linear": dense,
    "log_softmax": lambda classes: dense(classes, "log_softmax"),
    "relu": lambda classes: dense(classes, "relu"),
    "zeros": lambda classes: dense(classes, kernel_initializer="zeros"),
    # All between 0 and 1, as untrained logits of two classes may well be.
    "small and positive": lambda classes: dense(
        classes, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0.2)
    ),
    "constant, with sum 1": lambda classes: dense(
        classes, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(1 / classes)
    ),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("classes", [2, 1000])
def test_the_outputs_decide(classes: int, policy: str) -> None:
    """A softmax is recognized whatever computes it, and logits whatever their values; the weights stay the same."""
    keras.config.set_dtype_policy(policy)
    try:
        for kind, models in (("probabilities", PROBABILITIES), ("logits", LOGITS)):
            for name, build in models.items():
                model = build(classes)
                before = model.get_weights()
                assert output_kind(model, IMAGES) == kind, name
                assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)), name
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_models_return_logits(name: str) -> None:
    assert output_kind(build_model(name, (28, 28, 1), 2)) == "logits"


@pytest.mark.parametrize("classes", [2, 30])
@pytest.mark.parametrize("initializer", ["glorot_uniform", "zeros"])
def test_a_sigmoid_is_refused(classes: int, initializer: str) -> None:
    """Two sigmoids whose values happen to sum to 1, because all weights are 0, are no probabilities either."""
    with pytest.raises(EpochbankError, match=r"as a sigmoid does; expected logits, or probabilities .* Use no activ"):
        output_kind(dense(classes, "sigmoid", kernel_initializer=initializer), IMAGES)


def test_nan_is_refused() -> None:
    model = followed_by(layers.Lambda(lambda x: x * float("nan")), 3)
    with pytest.raises(EpochbankError, match=r"returns NaN for images of the set; expected a logit or a probability"):
        output_kind(model, IMAGES)


class ReturnsDictionary(keras.Model):
    """Its `output_shape` is that of a model with a single output."""

    def call(self, *arguments: Any, **options: Any) -> Any:
        return {"character": super().call(*arguments, **options)}


def several(kind: str) -> keras.Model:
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    heads = [layers.Dense(3)(flat), layers.Dense(3)(flat)]
    if kind == "dictionary":
        return keras.Model(inputs, {"character": heads[0]})
    if kind == "subclass":
        return ReturnsDictionary(inputs, heads[0])
    return keras.Model(inputs, heads if kind == "list" else dict(zip(("character", "script"), heads, strict=True)))


@pytest.mark.parametrize("kind", ["dictionary", "dictionary of two", "list", "subclass"])
def test_several_outputs_are_refused_before_training(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run directory is made, and the message says how to train several outputs."""
    np.savez(tmp_path / "a.npz", images=glyphs(90, SHAPE), labels=np.arange(90) % 3)
    words = [str(tmp_path / "a.npz"), "--epochs", "1", "--jobs", "1", "--sets", str(tmp_path / "sets"), "--print-path"]
    directory = CliRunner().invoke(augment, ["run", *words]).stdout.strip()
    monkeypatch.setitem(BUILT_IN, "cnn", lambda shape, classes: several(kind))
    result = CliRunner().invoke(train, ["fit", directory, "--model", "cnn", "--run", str(tmp_path / "r")])
    assert result.exit_code == 2, result.output
    assert "output" in result.stderr
    assert "expected one array with a logit or a probability per class" in result.stderr
    assert "AugmentedSequence(..., transform=...)" in result.stderr
    assert not (tmp_path / "r").exists()


def test_the_loss_of_a_softmax_is_right(tmp_path: Path) -> None:
    """Evaluation of a model with `tf.nn.softmax` gives the loss that Keras computes from its probabilities."""
    np.savez(tmp_path / "a.npz", images=glyphs(300, SHAPE), labels=np.arange(300) % 30)
    words = [str(tmp_path / "a.npz"), "--epochs", "1", "--jobs", "1", "--sets", str(tmp_path / "sets")]
    assert CliRunner().invoke(augment, ["run", *words]).exit_code == 0
    stored_set, model = open_set(None, tmp_path / "sets"), dense(30, tensorflow_softmax)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    expected = model.evaluate(stored_set.test(16), verbose=0, return_dict=True)
    found = evaluate(model, stored_set.test(16), 30)
    assert found.loss == pytest.approx(expected["loss"], rel=1e-5)
    assert found.accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
