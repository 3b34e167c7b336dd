"""A keras.json with channels_first: built-in models are the same, and other models are refused, not misread."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from epochbank.augment.errors import EpochbankError
from epochbank.train.training.models import BUILT_IN, build_model

SHAPE = (28, 24, 1)


@pytest.fixture(autouse=True)
def channels_first() -> Iterator[None]:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


def test_built_in_models_do_not_depend_on_keras_json() -> None:
    """They have the same shapes, layer by layer, and the same outputs for the same weights."""
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)
    for name in BUILT_IN:
        first = build_model(name, SHAPE, 10)
        keras.config.set_image_data_format("channels_last")
        last = build_model(name, SHAPE, 10)
        last.set_weights(first.get_weights())
        assert [layer.output.shape for layer in first.layers] == [layer.output.shape for layer in last.layers]
        assert np.array_equal(first.predict_on_batch(images), last.predict_on_batch(images))
        keras.config.set_image_data_format("channels_first")


MODELS = """
import keras
from keras import layers

class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(4, 3, padding="same")

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, x):
        return self.convolution(x)

def plain(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3, padding="same"), layers.Flatten(),
                             layers.Dense(classes)])

def nested(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.ZeroPadding2D(2, data_format="channels_last"), Block(),
                             layers.Flatten(data_format="channels_last"), layers.Dense(classes)])

def fails(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(4, 9), layers.MaxPooling2D(99), layers.Dense(classes)])

def explicit(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3, data_format="channels_last"),
                             layers.GlobalAveragePooling2D(data_format="channels_last"), layers.Dense(classes)])
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models_of_channels.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", ["plain", "nested", "fails"])
def test_a_model_that_expects_channels_first_is_refused(name: str) -> None:
    """Also if the layer is inside another one, or the model cannot be built at all."""
    with pytest.raises(EpochbankError, match=r'Set "image_data_format": "channels_last" in keras.json') as caught:
        build_model(f"models_of_channels:{name}", SHAPE, 10)
    if name != "fails":
        assert "expects channels first, because keras.json sets image_data_format" in str(caught.value)


@pytest.mark.usefixtures("models")
def test_a_model_that_names_its_format_is_accepted() -> None:
    assert isinstance(build_model("models_of_channels:explicit", SHAPE, 10), keras.Model)
    assert layers.Conv2D(1, 1).data_format == "channels_first"
