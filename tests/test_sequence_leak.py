"""Memory and threads do not grow with the number of fits, evaluations and predictions in one process."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import NOTHING, glyphs
from epochbank import open_set
from epochbank.augment.cli import main as augment
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.streaming.batches import EvaluationBatches
from epochbank.train.streaming.stream import Stream

REPEATS = 30

MEASURE = """
import gc, json, os, sys, threading
import keras
from epochbank import AugmentedSequence, open_set

stored_set, repeats = open_set(sys.argv[1]), int(sys.argv[2])
model = keras.Sequential([keras.Input(stored_set.shape), keras.layers.Flatten(), keras.layers.Dense(3)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

def fit(**options):
    data = AugmentedSequence(stored_set, 256)
    callbacks = [data.callback()] if options.pop("callback", True) else []
    model.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=callbacks, **options)

ways = {
    "fit": fit,
    "fit with steps_per_epoch": lambda: fit(steps_per_epoch=2),
    "fit with validation": lambda: fit(steps_per_epoch=2, validation_data=stored_set.validation(64)),
    "fit without the callback": lambda: fit(steps_per_epoch=2, callback=False),
    "evaluate": lambda: model.evaluate(stored_set.test(64), verbose=0),
    "predict": lambda: model.predict(stored_set.test(64), verbose=0),
}

def state():
    gc.collect()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    threads = [one for one in threading.enumerate() if one.name.startswith("epochbank")]
    return int(status["VmRSS"].split()[0]) / 1024, len(threads)

found = {}
for name, way in ways.items():
    for _ in range(2):
        way()
    before = state()
    for _ in range(repeats if name in ("fit", "evaluate") else repeats // 3):
        way()
    found[name] = [before, state()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def stored_set(tmp_path_factory: pytest.TempPathFactory) -> AugmentedSet:
    """A set of 2,400 training images, 28 x 28: the windows of one stream take several MB."""
    directory = tmp_path_factory.mktemp("leak")
    (directory / "nothing.toml").write_text(NOTHING)
    np.savez(directory / "a.npz", images=glyphs(3000, (28, 28, 1)), labels=np.arange(3000) % 3)
    words = ["--recipe", str(directory / "nothing.toml"), "--epochs", "1", "--jobs", "1", "--sets", str(directory)]
    result = CliRunner().invoke(augment, ["run", str(directory / "a.npz"), *words])
    assert result.exit_code == 0, result.output
    return open_set(None, directory)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_and_threads_are_flat_over_many_fits(stored_set: AugmentedSet) -> None:
    """After each `fit`, `evaluate` and `predict` on a new sequence, threads and images are gone.

    Those of the last `fit` may remain until another one starts, if it had no callback, or if TensorFlow still fetches
    batches that no step will use.
    """
    pytest.importorskip("keras")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(stored_set.path), str(REPEATS)],
        capture_output=True, text=True, timeout=280, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name, ((before, _), (after, threads)) in json.loads(done.stdout.splitlines()[-1]).items():
        assert after - before < 50, name  # MB; a stream that is kept takes more than 10.
        # On a busy machine, TensorFlow may request a batch of the last fit but one after the last has started.
        assert threads <= (0 if name in ("fit", "evaluate", "predict") else 32), name


def stream_of(stored_set: AugmentedSet) -> Stream:
    return Stream(stored_set, EvaluationBatches("train", stored_set.num_images["train"], 100), seed=1)


def decoding_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("epochbank")}


def test_a_released_stream_returns_the_same_batches(stored_set: AugmentedSet) -> None:
    """Releasing ends the threads; later requests start them again, in the middle of an epoch too."""
    whole, released, before = stream_of(stored_set), stream_of(stored_set), decoding_threads()
    assert released.idle is None
    for number in range(6):
        expected = whole.batch(0, number)
        received = released.batch(0, number)
        assert all(np.array_equal(a, b) for a, b in zip(received, expected, strict=True))
        if number % 2:
            busy = released.thread_times().computed
            assert released.idle is not None
            released.release()
            assert released.idle is None
            assert released.thread_times().computed >= busy > 0
    whole.close()
    released.close()
    released.release()
    with pytest.raises(RuntimeError, match="closed"):
        released.batch(0, 0)
    assert decoding_threads() <= before


def test_releasing_does_not_disturb_waiting_threads(stored_set: AugmentedSet) -> None:
    """Threads that request batches while another one releases the stream receive the right batches."""
    stream, expected = stream_of(stored_set), stream_of(stored_set)
    labels = [expected.batch(0, number)[1].tolist() for number in range(len(expected.batches))]
    received: dict[int, list[list[int]]] = {}

    def read(reader: int) -> None:
        received[reader] = [stream.batch(0, number)[1].tolist() for number in range(len(labels))]

    readers = [threading.Thread(target=read, args=(reader,)) for reader in range(3)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 20
    while any(reader.is_alive() for reader in readers) and time.monotonic() < deadline:
        stream.release()
    for reader in readers:
        reader.join(10)
    assert received == dict.fromkeys(range(3), labels)
    for one in (stream, expected):
        one.close()


def test_a_stream_that_starts_releases_idle_ones(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence that nobody asks for batches loses its threads when another one starts, and works as before."""
    pytest.importorskip("keras")
    from epochbank import AugmentedSequence
    from epochbank.train.feeding import keras_streams

    abandoned = AugmentedSequence(stored_set, 100)
    first = abandoned[0][1].tolist()
    used = AugmentedSequence(stored_set, 100, seed=1)
    assert used[0] is not None
    assert abandoned.stream.idle is not None  # It was asked a moment ago.
    monkeypatch.setattr(keras_streams, "_IDLE_SECONDS", 0.0)
    evaluation = stored_set.test(100)
    assert sum(len(labels) for _, labels in evaluation) == stored_set.num_images["test"]
    assert abandoned.stream.idle is None
    assert abandoned[0][1].tolist() == first
    assert next(iter(evaluation))[1].tolist() == evaluation[0][1].tolist()
    for sequence in (abandoned, used, evaluation):
        sequence.close()
        assert sequence.stream.idle is None
