"""What reaches the training step through Keras' `fit`, whatever it is told: on the backend that Keras has.

`make test` runs it on TensorFlow, `make test-backends` on JAX and torch.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
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
"""Batches of an epoch: 800 pictures by 80."""


@pytest.fixture
def bank(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    words = ["--recipe", str(nothing_recipe), "--epochs", "2", "--jobs", "1", "--sets", str(tmp_path / "sets")]
    assert CliRunner().invoke(augment, ["run", str(numbered_npz), *words]).exit_code == 0
    return open_set(None, tmp_path / "sets")


class Recording(keras.Model):
    """Unbuilt, run eagerly; keeps the numbers of the pictures that each training step was given."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(5)
        self.steps: list[np.ndarray] = []

    def call(self, pictures: Any) -> Any:
        return self.dense(keras.ops.reshape(keras.ops.cast(pictures, "float32"), (-1, 16)))

    def train_step(self, *arguments: Any) -> Any:
        self.steps.append(numbers(keras.ops.convert_to_numpy(arguments[-1][0])))
        return super().train_step(*arguments)


def recording(built: bool = False) -> Recording:
    model = Recording()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    if built:
        model(np.zeros((1, 4, 4, 1), np.uint8))
    return model


def sequence(bank: AugmentedSet, **words: Any) -> AugmentedSequence:
    return AugmentedSequence(bank, batch_size=80, mix=0, seed=4, **words)


def shown(bank: AugmentedSet, epoch: int) -> list[int]:
    """The numbers of a training epoch in order, read directly."""
    data = sequence(bank)
    data.show(epoch)
    return np.concatenate([numbers(data[at][0]) for at in range(len(data))]).tolist()


def passes(steps: list[np.ndarray]) -> list[list[int]]:
    """The pictures of each `BATCHES` steps."""
    return [np.concatenate(steps[at : at + BATCHES]).tolist() for at in range(0, len(steps), BATCHES)]


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("with_callback", [True, False])
def test_every_picture_once_per_epoch(bank: AugmentedSet, with_callback: bool, workers: int, built: bool) -> None:
    """Epoch by epoch the batches of epochs 0, 1, 2, validation in between, the model built or not."""
    data, model = sequence(bank, workers=workers), recording(built)
    callbacks = [data.callback()] if with_callback else []
    words: dict[str, Any] = {"shuffle": False, "verbose": 0, "callbacks": callbacks}
    model.fit(data, epochs=3, validation_data=bank.validation(64), **words)
    assert passes(model.steps) == [shown(bank, epoch) for epoch in range(3)]
    assert all(len(set(pictures)) == bank.images["train"] for pictures in passes(model.steps))


@pytest.mark.parametrize("with_callback", [True, False])
def test_a_second_fit(bank: AugmentedSet, with_callback: bool) -> None:
    """With the callback a second fit begins with epoch 0, as Keras counts; without it goes on with the next."""
    data, model = sequence(bank), recording()
    for _ in range(2):
        callbacks = [data.callback()] if with_callback else []
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    expected = [0, 1, 0, 1] if with_callback else [0, 1, 2, 3]
    assert passes(model.steps) == [shown(bank, epoch) for epoch in expected]


def test_initial_epoch(bank: AugmentedSet) -> None:
    """`fit(initial_epoch=3)` shows epoch 3."""
    data, model = sequence(bank), recording()
    model.fit(data, initial_epoch=3, epochs=5, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert passes(model.steps) == [shown(bank, 3), shown(bank, 4)]


def test_the_rest_of_an_epoch(bank: AugmentedSet) -> None:
    """`start` leaves out the batches before it, as a resumed training does, and nothing else."""
    data, model = sequence(bank), recording()
    data.start = 7
    model.fit(data, initial_epoch=1, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert np.concatenate(model.steps).tolist() == shown(bank, 1)[7 * 80 :]
    data.start = 0
    model.steps.clear()
    model.fit(data, initial_epoch=2, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert passes(model.steps) == [shown(bank, 2)]


@pytest.mark.parametrize("with_callback", [True, False])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_steps_per_epoch(bank: AugmentedSet, steps: int, with_callback: bool) -> None:
    """Shorter epochs of Keras go through one of ours after the other: every picture once before any comes again."""
    data, model = sequence(bank), recording()
    callbacks = [data.callback()] if with_callback else []
    with warnings.catch_warnings():
        # Of 20 steps Keras makes but 10, and says so.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(data, steps_per_epoch=steps, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
    expected = 3 if steps == 5 else 6
    assert passes(model.steps) == [shown(bank, epoch) for epoch in range(expected)]


@pytest.mark.parametrize("with_callback", [True, False])
def test_steps_that_do_not_divide_an_epoch(bank: AugmentedSet, with_callback: bool) -> None:
    """Where Keras' epoch of 4 steps meets our end after 2, it is cut short there: still every picture once."""
    data, model = sequence(bank), recording()
    callbacks = [data.callback()] if with_callback else []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(data, steps_per_epoch=4, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
    assert passes(model.steps) == [shown(bank, 0), shown(bank, 1)]


class StopAt(keras.callbacks.Callback):
    """Stops training after the second batch of epoch 1."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 1 and batch == 1:
            self.model.stop_training = True


@pytest.mark.parametrize("workers", [1, 3])
def test_broken_off_in_the_middle(bank: AugmentedSet, workers: int) -> None:
    """After a training that stopped in the middle of an epoch, the next one is not shown what was left over."""
    data, model = sequence(bank, workers=workers), recording()
    model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback(), StopAt()])
    assert len(model.steps) == BATCHES + 2
    model.steps.clear()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert passes(model.steps) == [shown(bank, 0), shown(bank, 1)]


def test_early_stopping(bank: AugmentedSet) -> None:
    """Keras' own EarlyStopping ends training after a whole epoch; a later fit is right."""
    data, model = sequence(bank), recording()
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    model.fit(data, epochs=9, shuffle=False, verbose=0, callbacks=[data.callback(), stopping])
    assert passes(model.steps) == [shown(bank, 0), shown(bank, 1)]
    model.fit(data, initial_epoch=2, epochs=3, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert passes(model.steps)[2] == shown(bank, 2)


def test_keras_own_shuffling_loses_nothing(bank: AugmentedSet) -> None:
    """`shuffle=True`, Keras' default, shuffles batches once more: every picture once per epoch all the same."""
    data, model = sequence(bank), recording()
    model.fit(data, epochs=2, verbose=0, callbacks=[data.callback()])
    assert [sorted(pictures) for pictures in passes(model.steps)] == [sorted(shown(bank, 0))] * 2


def test_batches_are_a_pure_function_of_the_epoch(bank: AugmentedSet) -> None:
    """Reading `data[i]`, in any order and however often, never changes what another `data[j]` is."""
    data = sequence(bank)
    first = [data[at][0].copy() for at in range(len(data))]
    for at in itertools.chain(reversed(range(len(data))), range(len(data))):
        assert np.array_equal(data[at][0], first[at])
    assert data.epoch == 0


def test_waits_are_in_the_history(bank: AugmentedSet) -> None:
    """Each epoch's history tells seconds, share and depth of the queue, and a slow stream is found out."""
    data, model = sequence(bank), recording()
    history = model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()]).history
    for column in ("data_wait", "data_wait_share", "queue_depth"):
        assert len(history[column]) == 2
    assert all(0 <= share <= 1 for share in history["data_wait_share"])
    slow, real = sequence(bank), data.stream.batch
    slow.stream.batch = lambda *which: (__import__("time").sleep(0.05), real(*which))[1]  # type: ignore[method-assign]
    history = model.fit(slow, epochs=3, shuffle=False, verbose=0, callbacks=[slow.callback()]).history
    assert history["data_wait_share"][2] > 0.5
    assert history["data_wait"][2] > 0.25


def test_a_fault_comes_through(bank: AugmentedSet) -> None:
    """A damaged chunk ends `fit` with an error, not with a hang, and the sequence has it itself."""
    path = next((bank.path / "epoch-0000").iterdir())
    path.write_bytes(path.read_bytes()[: 3 * path.stat().st_size // 4])
    data, model = sequence(bank), recording()
    with pytest.raises(Exception):  # noqa: B017, PT011  Backends wrap it differently.
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert isinstance(data.fault, EpochbankError)


def test_processes_are_refused(bank: AugmentedSet) -> None:
    """Multiprocessing freezes loaders: it is refused in words."""
    with pytest.raises(EpochbankError, match="use_multiprocessing=True; expected False"):
        sequence(bank, use_multiprocessing=True)


def distributed(bank: AugmentedSet, *words: str) -> list[dict[str, Any]]:
    """What processes of `distributed_fit.py` say, one for each of `words`, or one."""
    script = str(Path(__file__).parent / "distributed_fit.py")
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen(
            [sys.executable, script, str(bank.path), *word.split()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for word in words
    ]
    said = [process.communicate(timeout=200) for process in started]
    assert all(process.returncode == 0 for process in started), said[0][1][-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_see_every_picture_once(bank: AugmentedSet) -> None:
    """Under tf.distribute, which parts batches itself, each epoch is whole."""
    (said,) = distributed(bank, "mirrored")
    assert said["steps"] == 2 * said["batches"]
    assert [len(set(epoch)) for epoch in said["epochs"]] == [bank.images["train"]] * 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX's")
def test_devices_of_one_process_get_full_batches(bank: AugmentedSet) -> None:
    """Under keras.distribution batches are full, so that devices can part them: 13 of 60 pictures out of 800."""
    (said,) = distributed(bank, "devices")
    assert (said["steps"], said["batches"]) == (26, 13)
    assert [len(set(epoch)) for epoch in said["epochs"]] == [780] * 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX's")
def test_processes_read_disjoint_parts_without_asking(bank: AugmentedSet) -> None:
    """Two processes that train one model read different pictures, as many batches each, all full."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = distributed(bank, f"processes {address} 0", f"processes {address} 1")
    assert first["steps"] == second["steps"] == 12
    for epoch in range(2):
        one, other = set(first["epochs"][epoch]), set(second["epochs"][epoch])
        assert len(one) == len(other) == 360
        assert not one & other
