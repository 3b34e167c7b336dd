"""Which batches a training step receives through Keras' `fit`, on the current Keras backend.

`make test` runs this on TensorFlow, `make test-backends` on JAX and torch.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

from conftest import numbers
from epochbank import AugmentedSequence, open_set
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet

BATCHES = 10
"""Number of batches in an epoch: 800 images in batches of 80."""


@pytest.fixture
def stored_set(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    options = ["--recipe", str(nothing_recipe), "--epochs", "2", "--jobs", "1", "--sets", str(tmp_path / "sets")]
    assert CliRunner().invoke(augment, ["run", str(numbered_npz), *options]).exit_code == 0
    return open_set(None, tmp_path / "sets")


class Recording(keras.Model):
    """A model that records the numbers of the images of each training step."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(5)
        self.steps: list[np.ndarray] = []

    def call(self, images: Any) -> Any:
        return self.dense(keras.ops.reshape(keras.ops.cast(images, "float32"), (-1, 16)))

    def train_step(self, *arguments: Any) -> Any:
        self.steps.append(numbers(keras.ops.convert_to_numpy(arguments[-1][0])))
        return super().train_step(*arguments)


def recording(built: bool = False) -> Recording:
    model = Recording()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    if built:
        model(np.zeros((1, 4, 4, 1), np.uint8))
    return model


def sequence(stored_set: AugmentedSet, **options: Any) -> AugmentedSequence:
    return AugmentedSequence(stored_set, batch_size=80, originals=0, seed=4, **options)


def shown(stored_set: AugmentedSet, epoch: int) -> list[int]:
    """Return the numbers of the images of a training epoch, in order."""
    data = sequence(stored_set)
    data.show(epoch)
    return np.concatenate([numbers(data[at][0]) for at in range(len(data))]).tolist()


def epochs_of(steps: list[np.ndarray]) -> list[list[int]]:
    """Return the numbers of the images of each `BATCHES` steps."""
    return [np.concatenate(steps[at : at + BATCHES]).tolist() for at in range(0, len(steps), BATCHES)]


@pytest.mark.parametrize(
    ("with_callback", "workers", "built"), [(True, 1, True), (True, 3, False), (False, 1, False), (False, 3, True)]
)
def test_every_epoch_shows_every_image_once(
    stored_set: AugmentedSet, with_callback: bool, workers: int, built: bool
) -> None:
    """`fit` shows epochs 0, 1, 2, with validation in between, whether the model is built or not."""
    data, model = sequence(stored_set, workers=workers), recording(built)
    callbacks = [data.callback()] if with_callback else []
    validation = stored_set.validation(64)
    model.fit(data, epochs=3, validation_data=validation, shuffle=False, verbose=0, callbacks=callbacks)
    assert epochs_of(model.steps) == [shown(stored_set, epoch) for epoch in range(3)]
    assert all(len(set(images)) == stored_set.num_images["train"] for images in epochs_of(model.steps))


@pytest.mark.parametrize("with_callback", [True, False])
def test_a_second_fit(stored_set: AugmentedSet, with_callback: bool) -> None:
    """With the callback, a second `fit` starts with epoch 0, as Keras counts; without it, with the next epoch."""
    data, model = sequence(stored_set), recording()
    for _ in range(2):
        callbacks = [data.callback()] if with_callback else []
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    expected = [0, 1, 0, 1] if with_callback else [0, 1, 2, 3]
    assert epochs_of(model.steps) == [shown(stored_set, epoch) for epoch in expected]


def test_initial_epoch(stored_set: AugmentedSet) -> None:
    """`fit(initial_epoch=3)` starts with epoch 3."""
    data, model = sequence(stored_set), recording()
    model.fit(data, initial_epoch=3, epochs=5, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert epochs_of(model.steps) == [shown(stored_set, 3), shown(stored_set, 4)]


def test_start_skips_batches_of_an_epoch(stored_set: AugmentedSet) -> None:
    """`start` skips the batches before it, as resuming does, and no others."""
    data, model = sequence(stored_set), recording()
    data.start = 7
    model.fit(data, initial_epoch=1, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert np.concatenate(model.steps).tolist() == shown(stored_set, 1)[7 * 80 :]
    data.start = 0
    model.steps.clear()
    model.fit(data, initial_epoch=2, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert epochs_of(model.steps) == [shown(stored_set, 2)]


@pytest.mark.parametrize(("steps", "with_callback"), [(5, True), (10, False), (10, True), (20, False)])
def test_steps_per_epoch(stored_set: AugmentedSet, steps: int, with_callback: bool) -> None:
    """With shorter Keras epochs, every image is still shown once before any is shown again."""
    data, model = sequence(stored_set), recording()
    callbacks = [data.callback()] if with_callback else []
    with warnings.catch_warnings():
        # Keras makes only 10 of 20 steps, and warns.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(data, steps_per_epoch=steps, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
    expected = 3 if steps == 5 else 6
    assert epochs_of(model.steps) == [shown(stored_set, epoch) for epoch in range(expected)]


@pytest.mark.parametrize("with_callback", [True, False])
def test_steps_that_do_not_divide_an_epoch(stored_set: AugmentedSet, with_callback: bool) -> None:
    """A Keras epoch of 4 steps ends early at the end of the data, and every image is still shown once."""
    data, model = sequence(stored_set), recording()
    callbacks = [data.callback()] if with_callback else []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(data, steps_per_epoch=4, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
    assert epochs_of(model.steps) == [shown(stored_set, 0), shown(stored_set, 1)]


class StopAt(keras.callbacks.Callback):
    """Stop training after the second batch of epoch 1."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 1 and batch == 1:
            self.model.stop_training = True


@pytest.mark.parametrize("workers", [1, 3])
def test_training_that_stops_within_an_epoch(stored_set: AugmentedSet, workers: int) -> None:
    """If `fit` stops within an epoch, the next `fit` does not show the remaining batches."""
    data, model = sequence(stored_set, workers=workers), recording()
    model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback(), StopAt()])
    assert len(model.steps) == BATCHES + 2
    model.steps.clear()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert epochs_of(model.steps) == [shown(stored_set, 0), shown(stored_set, 1)]


def test_early_stopping(stored_set: AugmentedSet) -> None:
    """After Keras' EarlyStopping, a later `fit` shows the right epochs."""
    data, model = sequence(stored_set), recording()
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    model.fit(data, epochs=9, shuffle=False, verbose=0, callbacks=[data.callback(), stopping])
    assert epochs_of(model.steps) == [shown(stored_set, 0), shown(stored_set, 1)]
    model.fit(data, initial_epoch=2, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert epochs_of(model.steps)[2] == shown(stored_set, 2)


def test_shuffling_by_keras(stored_set: AugmentedSet) -> None:
    """`shuffle=True`, the default of Keras, shuffles batches again, and an epoch still shows every image once."""
    data, model = sequence(stored_set), recording()
    model.fit(data, epochs=2, verbose=0, callbacks=[data.callback()])
    assert [sorted(images) for images in epochs_of(model.steps)] == [sorted(shown(stored_set, 0))] * 2


def test_batches_are_a_pure_function_of_the_epoch(stored_set: AugmentedSet) -> None:
    """Reading `data[i]`, in any order and any number of times, does not change `data[j]`."""
    data = sequence(stored_set)
    first = [data[at][0].copy() for at in range(len(data))]
    for at in itertools.chain(reversed(range(len(data))), range(len(data))):
        assert np.array_equal(data[at][0], first[at])
    assert data.epoch == 0


def test_data_wait_is_in_the_history(stored_set: AugmentedSet) -> None:
    """The history has seconds, share and queue depth of each epoch, and a slow stream increases the data wait."""
    data, model = sequence(stored_set), recording()
    history = model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()]).history
    for column in ("data_wait", "data_wait_share", "queue_depth"):
        assert len(history[column]) == 2
    assert all(0 <= share <= 1 for share in history["data_wait_share"])
    slow, real = sequence(stored_set), data.stream.batch
    slow.stream.batch = lambda *which: (time.sleep(0.2), real(*which))[1]  # type: ignore[method-assign]
    history = model.fit(slow, epochs=2, shuffle=False, verbose=0, callbacks=[slow.callback()]).history
    # The sleep is far longer than a step, so that other processes on the machine do not matter.
    assert history["data_wait_share"][1] > 0.5
    assert history["data_wait"][1] > 0.1 * len(slow)


def test_a_damaged_chunk_ends_fit(stored_set: AugmentedSet) -> None:
    """A damaged chunk makes `fit` raise, and the sequence keeps the original exception."""
    path = next((stored_set.path / "epoch-0000").iterdir())
    path.write_bytes(path.read_bytes()[: 3 * path.stat().st_size // 4])
    data, model = sequence(stored_set), recording()
    with pytest.raises(Exception):  # noqa: B017, PT011  Backends wrap it differently.
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert isinstance(data.fault, EpochbankError)


def test_shard_together_with_rank_is_refused(stored_set: AugmentedSet) -> None:
    """The old form and the new keywords contradict each other."""
    with pytest.raises(TypeError, match="got both rank= or world_size= and their old form shard="):
        sequence(stored_set, shard=(0, 2), world_size=3)


def test_multiprocessing_is_an_error(stored_set: AugmentedSet) -> None:
    """Keras' `use_multiprocessing` is refused."""
    with pytest.raises(EpochbankError, match="use_multiprocessing=True; expected False"):
        sequence(stored_set, use_multiprocessing=True)


def distributed(stored_set: AugmentedSet, *arguments: str) -> list[dict[str, Any]]:
    """Run `distributed_fit.py` in a process for each of `arguments`, and return what they print."""
    script = str(Path(__file__).parent / "distributed_fit.py")
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen(
            [sys.executable, script, str(stored_set.path), *words.split()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in arguments
    ]
    outputs = [process.communicate(timeout=200) for process in started]
    assert all(process.returncode == 0 for process in started), outputs[0][1][-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute needs TensorFlow")
def test_mirrored_replicas_see_every_image_once(stored_set: AugmentedSet) -> None:
    """Under tf.distribute, which divides batches itself, an epoch shows every image."""
    (result,) = distributed(stored_set, "mirrored")
    assert result["steps"] == 2 * result["batches"]
    assert [len(set(epoch)) for epoch in result["epochs"]] == [stored_set.num_images["train"]] * 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution needs JAX")
def test_devices_of_one_process_get_full_batches(stored_set: AugmentedSet) -> None:
    """Under keras.distribution all batches are full, so that devices can divide them: 13 of 60 images."""
    (result,) = distributed(stored_set, "devices")
    assert (result["steps"], result["batches"]) == (26, 13)
    assert [len(set(epoch)) for epoch in result["epochs"]] == [780] * 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution needs JAX")
def test_processes_read_disjoint_images_by_default(stored_set: AugmentedSet) -> None:
    """Two processes that train one model read different images, in the same number of full batches."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = distributed(stored_set, f"processes {address} 0", f"processes {address} 1")
    assert first["steps"] == second["steps"] == 12
    for epoch in range(2):
        one, other = set(first["epochs"][epoch]), set(second["epochs"][epoch])
        assert len(one) == len(other) == 360
        assert not one & other
