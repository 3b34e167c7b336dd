"""A training that was killed or stopped goes on at the same step, and ends as if nothing had been."""

import csv
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from keras import layers

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.feeding.augmented_set import open_set
from epochbank.train.training.checkpoint import Rule
from epochbank.train.training.interrupt import Interruption, Stopped
from epochbank.train.training.run_directory import with_epochs
from epochbank.train.training.snapshot import build_state, read_snapshot, write_snapshot

OPTIONS = ["--epochs", "30", "--batch-size", "32", "--learning-rate", "0.05", "--patience", "2", "--deterministic"]
"""Epochs of 20 steps; early stopping ends it after a few of them."""

SENDS_ITSELF = """
import os, sys
import keras
from epochbank.train.training.checkpoint import Checkpoint
from epochbank.train.cli import main

where, number, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

def then(kind, hook, place):
    original = getattr(kind, hook)
    def hooked(self, at, logs=None):
        if hook == "on_epoch_begin":
            global epoch
            epoch = at
        original(self, at, logs)
        done = self._data.start + at if hook == "on_train_batch_begin" else 0
        if place(at, done) == where:
            os.kill(os.getpid(), number)
    setattr(kind, hook, hooked)

then(Checkpoint, "on_epoch_begin", lambda at, done: None)
then(Checkpoint, "on_train_batch_begin", lambda at, done: f"{epoch}:{done}")
then(Checkpoint, "on_epoch_end", lambda at, done: f"{at}:end")
then(keras.callbacks.CSVLogger, "on_epoch_end", lambda at, done: f"{at}:row")
main(words)
"""
"""`train`, which sends itself a signal: before step S of epoch E ("E:S"), after its line in metrics.csv ("E:row"),
or at its very end, a checkpoint included ("E:end")."""


def fit(*words: object, where: str = "", number: int = 0, code: int = 0) -> str:
    """`train fit` in a process of its own; returns what it wrote."""
    command = [sys.executable, "-c", SENDS_ITSELF, where, str(number), "fit", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == code, ended.stderr[-3000:]
    return ended.stdout + ended.stderr


def call(*words: object) -> Result:
    """`train` in this process."""
    return CliRunner().invoke(train, [str(word) for word in words])


def refused(code: int, words: tuple[object, ...], *told: str) -> None:
    result = call(*words)
    assert result.exit_code == code, result.output
    for text in told:
        assert text in result.stderr, result.stderr


def learned(run: Path) -> list[dict[str, str]]:
    """The columns of metrics.csv that say what was learned, to the letter; others tell times."""
    with open(run / "metrics.csv", newline="") as file:
        return [
            {name: text for name, text in row.items() if name in ("epoch", "loss", "accuracy") or name[:4] == "val_"}
            for row in csv.DictReader(file)
        ]


def weights(run: Path) -> dict[str, bytes]:
    """All that model.keras holds, the optimizer's variables included."""
    with zipfile.ZipFile(run / "model.keras") as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as held:
        found: dict[str, bytes] = {}
        held.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return found


def assert_same(run: Path, reference: Path) -> None:
    """Nothing that was learned differs, to the last bit."""
    assert learned(run) == learned(reference)
    assert weights(run) == weights(reference)
    ours, theirs = (json.loads((at / "summary.json").read_text()) for at in (run, reference))
    for name in ("test", "validation", "epochs", "parameters"):
        assert ours[name] == theirs[name]
    assert not (run / "checkpoint.npz").exists()
    assert not list(run.glob(".tmp-*"))


def make_set(sets: Path, epochs: int) -> Path:
    words = ["--limit", "400", "--size", "32", "--epochs", str(epochs), "--jobs", "1", "--sets", str(sets)]
    made = CliRunner().invoke(augment, ["run", "digits", *words])
    assert made.exit_code == 0, made.output
    return next(sets.glob("digits-*"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a few hundred digits, 32 x 32, two epochs."""
    return make_set(tmp_path_factory.mktemp("digits"), 2)


@pytest.fixture(scope="module")
def reference(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted, with no checkpoint but those after a new best model."""
    run = tmp_path_factory.mktemp("runs") / "reference"
    fit(digits, *OPTIONS, "--run", run, "--checkpoint-minutes", 0)
    assert 3 <= len(learned(run)) < 30
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def state_of(run: Path) -> dict[str, Any]:
    return read_snapshot(run / "checkpoint.npz").state


def test_killed_again_and_again_a_training_ends_the_same(digits: Path, reference: Path, run: Path) -> None:
    """SIGKILL amid an epoch, after a line of metrics.csv, and right after an epoch, before which patience began."""
    last = len(learned(reference)) - 1
    fit(digits, *OPTIONS, "--checkpoint-steps", 5, "--run", run, where="0:13", number=9, code=-9)
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (0, 10)
    told = fit("--resume", run, where=f"{last - 1}:row", number=9, code=-9)
    assert "goes on in epoch 1, after 10 of 20 steps" in told
    assert len(learned(run)) == last
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (last - 1, 15)
    fit("--resume", run, "--checkpoint-steps", 1, where=f"{last - 1}:end", number=9, code=-9)
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (last, 0)
    assert state_of(run)["kept"]["patience"]["wait"] == 1
    before = state_of(run)["seconds"]
    fit("--resume", run)
    assert_same(run, reference)
    assert json.loads((run / "summary.json").read_text())["seconds"] > before
    refused(1, ("fit", "--resume", run), f"{run} is finished", f"train evaluate {run}", "another --run")


def test_stopped_by_signals_on_a_set_that_grows_a_training_ends_the_same(
    digits: Path, reference: Path, run: Path, tmp_path: Path
) -> None:
    """Ctrl-C and SIGTERM write a checkpoint first; an epoch stored in the meantime does not change the order."""
    grown, last = tmp_path / "sets" / digits.name, f"{len(learned(reference)) - 1}:end"
    shutil.copytree(digits, grown)
    words = (grown, *OPTIONS, "--checkpoint-minutes", 0, "--run", run)
    told = fit(*words, where="0:7", number=signal.SIGINT, code=130)
    assert f"train fit --resume {run}" in told
    assert "No epoch has ended" in told
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (0, 8)
    make_set(tmp_path / "sets", 3)
    assert len(open_set(grown).epochs) == 3
    told = fit("--resume", run, where=last, number=signal.SIGTERM, code=143)
    assert f"train evaluate {run}" in told
    assert state_of(run)["ended"]
    assert not (run / "summary.json").exists()
    assert call("evaluate", run, "--split", "validation").exit_code == 0
    assert "Epoch" not in fit("--resume", run)
    assert_same(run, reference)


@pytest.mark.long
def test_killed_at_any_moment_a_training_ends_the_same(digits: Path, reference: Path, run: Path) -> None:
    """SIGKILL from outside, at random moments, until it is through."""
    moments = random.Random(0)
    words: list[object] = [digits, *OPTIONS, "--checkpoint-steps", 3, "--run", run]
    for _ in range(8):
        command = [sys.executable, "-u", "-m", "epochbank.train", "fit", *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as begun:
            assert begun.stdout is not None
            while not begun.stdout.readline().startswith("Epoch"):
                assert begun.poll() is None
            time.sleep(moments.uniform(0.5, 2.5))
            begun.kill()
        words = ["--resume", run]
        if (run / "summary.json").exists():
            break
    else:
        fit("--resume", run)
    assert_same(run, reference)


# Refusals and small things, in this process


OWN = """
import keras
from keras import layers

def build(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),
                             layers.Dense(WIDTH, activation="relu"), layers.Dropout(0.2), layers.Dense(classes)])
"""


@pytest.fixture(scope="module")
def stopped(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `own.py` and a run of its model that was stopped amid the second of two epochs."""
    directory = tmp_path_factory.mktemp("stopped")
    (directory / "own.py").write_text(OWN.replace("WIDTH", "12"))
    words = ["fit", digits, "--model", "own:build", "--epochs", 2, "--batch-size", 32, "--run", "r"]
    script = SENDS_ITSELF.replace("main(words)", f"os.chdir({str(directory)!r}); main(words)")
    command = [sys.executable, "-c", script, "1:11", str(int(signal.SIGINT)), *map(str, words)]
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 130
    return directory


@pytest.fixture
def here(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current directory."""
    shutil.copytree(stopped, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "here"), *sys.path])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path / "here"


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_run_goes_on_and_shows_its_whole_history(here: Path) -> None:
    """The rest of the second epoch: both epochs are in metrics.csv, summary and learning curves."""
    first = learned(Path("r"))
    before = state_of(Path("r"))["seconds"]
    result = call("fit", "--resume", "r")
    assert result.exit_code == 0, result.output
    assert "r goes on in epoch 2, after 12 of 20 steps" in result.stderr
    assert [row["epoch"] for row in learned(Path("r"))] == ["0", "1"]
    assert learned(Path("r"))[:1] == first
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["epochs"] == 2
    assert summary["seconds"] > before
    assert Path("r/learning-curves.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--epochs", 2], "--epochs"),
        (["--mix", 0.5, "--seed", 0], "--mix, --seed"),
        (["--run", "s"], "--run"),
        (["--deterministic"], "--deterministic"),
        (["sets"], "SET"),
    ],
)
def test_other_words_together_with_resume(here: Path, words: list[object], told: str) -> None:
    """Whatever else a training is begun with is refused, even where it says the same."""
    before = files(Path("r"))
    refused(2, ("fit", "--resume", "r", *words), f"{told} together with --resume", "--checkpoint-steps", "config.json")
    assert files(Path("r")) == before


def test_a_model_that_changed_in_the_meantime(here: Path) -> None:
    """Other shapes are refused, with what is there and what was expected; nothing is lost."""
    before = files(Path("r"))
    Path("own.py").write_text(OWN.replace("WIDTH", "13"))
    shutil.rmtree("__pycache__", ignore_errors=True)
    told = ("r/checkpoint.npz is of another model", "(1024, 12)", "(1024, 13)", "module back", "--run")
    refused(1, ("fit", "--resume", "r"), *told)
    assert files(Path("r")) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "none"])
def test_a_damaged_checkpoint(here: Path, damage: str) -> None:
    """A checkpoint that is damaged is refused by path, with both ways on; without it, training begins again."""
    path = Path("r/checkpoint.npz")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "none": b"no zip"}[damage])
    refused(1, ("fit", "--resume", "r"), "r/checkpoint.npz is damaged", "Remove it", "another --run")
    if damage == "none":
        path.unlink()
        result = call("fit", "--resume", "r")
        assert result.exit_code == 0, result.output
        assert "r has no checkpoint yet: it begins again" in result.stderr
        assert len(learned(Path("r"))) == 2


def test_a_set_that_is_gone_or_another(here: Path) -> None:
    """The set is looked for where it was, and compared by its fingerprint and its epochs."""
    config = json.loads(Path("r/config.json").read_text())
    for changes, told in (
        ({"set": {**config["set"], "path": "sets/gone"}}, ("sets/gone", "no set")),
        ({"set": {**config["set"], "fingerprint": "0" * 64}}, ("another set", "00000000", "Put that set back")),
        ({"stored_epochs": [0, 1, 7]}, ("no stored epoch 7", "0, 1, 7", "augment run")),
        ({"stored_epochs": None}, ("config.json is damaged", "stored_epochs")),
        ({"batch_size": "many"}, ("config.json is damaged", "batch_size", "many")),
        ({"backend": "theano"}, ("theano", "KERAS_BACKEND")),
    ):
        Path("r/config.json").write_text(json.dumps(config | changes))
        refused(1, ("fit", "--resume", "r"), *told)


def test_what_is_no_run(tmp_path: Path) -> None:
    refused(1, ("fit", "--resume", tmp_path), str(tmp_path), "not a run directory", "train fit")


def test_one_process_trains_into_a_run(here: Path) -> None:
    """A run that goes on elsewhere is left alone."""
    script = "import sys; from pathlib import Path; from epochbank.augment.shared.lock import writing\n" \
             "with writing(Path('r')): print('held', flush=True); sys.stdin.read()"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused(1, ("fit", "--resume", "r"), "r is being written by another run")
        other.communicate()


def test_a_full_disk_leaves_the_checkpoint_before(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that cannot be written ends the training, says how to go on, and the old one is still there."""
    before = Path("r/checkpoint.npz").read_bytes()
    write = np.savez

    def full(file: Path, **arrays: np.ndarray) -> None:
        write(file, **arrays)
        with open(file, "rb+") as half:
            half.truncate(1000)
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        refused(1, ("fit", "--resume", "r", "--checkpoint-steps", 2), "No space left", "train fit --resume r")
    assert Path("r/checkpoint.npz").read_bytes() == before
    assert not list(Path("r").glob(".tmp-*"))
    assert call("fit", "--resume", "r").exit_code == 0


def small_model() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    build_state(model, 2)
    return model


def test_a_snapshot_holds_every_variable(tmp_path: Path) -> None:
    """Weights, seeds, the optimizer's and the metrics' variables come back in another model of the same process."""
    model, path = small_model(), tmp_path / "s.npz"
    # Keras computes the metrics anew in each `train_on_batch`: two of them leave those of the second.
    for _ in range(2):
        model.train_on_batch(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]))
    write_snapshot(path, model, {"some": [1.5, float("inf")]})
    other, snapshot = small_model(), read_snapshot(path)
    snapshot.restore(other)
    snapshot.restore_metrics(other)
    assert snapshot.state["some"] == [1.5, float("inf")]
    assert model.get_metrics_result() == other.get_metrics_result()
    for ours, theirs in ((model, other), (model.optimizer, other.optimizer)):
        values = [[np.asarray(variable) for variable in held.variables] for held in (ours, theirs)]
        assert all(np.array_equal(a, b) for a, b in zip(*values, strict=True))
    assert any("seed" in variable.path for variable in model.variables)
    assert int(other.optimizer.iterations) == 2


def test_a_snapshot_of_a_newer_format(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s.npz", small_model(), {"format": 2})
    with pytest.raises(EpochbankError, match=r"format 2.*reads format 1.*Upgrade"):
        read_snapshot(tmp_path / "s.npz")


@pytest.mark.parametrize(
    ("rule", "steps", "seconds", "due"),
    [
        (Rule(), 10**6, 299, False),
        (Rule(), 0, 300, True),
        (Rule(minutes=0), 10**6, 10**6, False),
        (Rule(5, 0), 4, 10**6, False),
        (Rule(5, 0), 5, 0, True),
        (Rule(5, 1), 1, 60, True),
    ],
)
def test_when_a_checkpoint_is_due(rule: Rule, steps: int, seconds: float, due: bool) -> None:
    assert rule.due(steps, seconds) == due


def test_the_first_signal_is_noted_and_the_second_stops() -> None:
    """Handlers are there in the context only, in the main thread only, and not for what is ignored."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        with pytest.raises(Stopped) as raised:
            os.kill(os.getpid(), signal.SIGINT)
        assert raised.value.exit_code == 143
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    def elsewhere() -> None:
        with Interruption():
            assert signal.getsignal(signal.SIGINT) == before[0]

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before[1])


def test_a_set_restricted_to_some_epochs(digits: Path) -> None:
    assert with_epochs(open_set(digits), [1]).epochs == (1,)
    assert with_epochs(open_set(digits), [0, 1]).epochs == (0, 1)
