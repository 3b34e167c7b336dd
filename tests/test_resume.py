"""An interrupted training resumes at the same step, and gives the results of an uninterrupted one."""

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
from epochbank.train.training.best_model import best_epoch
from epochbank.train.training.checkpoint import CheckpointInterval
from epochbank.train.training.fit_options import FitOptions, read_options
from epochbank.train.training.interrupt import Interruption, Stopped
from epochbank.train.training.run_directory import with_epochs
from epochbank.train.training.snapshot import build_state, read_snapshot, write_snapshot

OPTIONS = ["--epochs", "30", "--batch-size", "32", "--learning-rate", "0.05", "--patience", "2", "--deterministic"]
"""Epochs of 20 steps; early stopping ends the training after a few epochs."""

SIGNALED_TRAIN = """
import os, sys
import keras
from epochbank.train.training.checkpoint import Checkpoint
from epochbank.train.cli import main

where, number, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

def signal_after(kind, hook, place):
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

signal_after(Checkpoint, "on_epoch_begin", lambda at, done: None)
signal_after(Checkpoint, "on_train_batch_begin", lambda at, done: f"{epoch}:{done}")
signal_after(Checkpoint, "on_epoch_end", lambda at, done: f"{at}:end")
signal_after(keras.callbacks.CSVLogger, "on_epoch_end", lambda at, done: f"{at}:row")
main(words)
"""
"""`train` that sends itself a signal: before step S of epoch E ("E:S"), after the epoch's row in metrics.csv ("E:row"),
or at the end of the epoch, after its checkpoint ("E:end")."""


def fit(*words: object, where: str = "", number: int = 0, code: int = 0) -> str:
    """Run `train fit` in a separate process; return its output."""
    command = [sys.executable, "-c", SIGNALED_TRAIN, where, str(number), "fit", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def call(*words: object) -> Result:
    """Run `train` in this process; a run that is resumed is trusted, because its model is a function."""
    trust = ["--trust"] if "--resume" in words else []
    return CliRunner().invoke(train, [*map(str, words), *trust])


def assert_refused(code: int, words: tuple[object, ...], *messages: str) -> None:
    """`train` fails with this exit code, and its error message contains all of `messages`."""
    result = call(*words)
    assert result.exit_code == code, result.output
    for message in messages:
        assert message in result.stderr, result.stderr


def metrics_of(run: Path) -> list[dict[str, str]]:
    """The text of the reproducible columns of metrics.csv; the others hold times."""
    with open(run / "metrics.csv", newline="") as file:
        return [
            {name: text for name, text in row.items() if name in ("epoch", "loss", "accuracy") or name[:4] == "val_"}
            for row in csv.DictReader(file)
        ]


def weights(run: Path) -> dict[str, bytes]:
    """Every array in model.keras, including the optimizer's variables."""
    with zipfile.ZipFile(run / "model.keras") as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as held:
        found: dict[str, bytes] = {}
        held.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return found


def assert_same(run: Path, reference: Path) -> None:
    """Metrics, weights and evaluations are equal to the last bit."""
    assert metrics_of(run) == metrics_of(reference)
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
    """A set of a few hundred digits, 32 x 32, with two epochs."""
    return make_set(tmp_path_factory.mktemp("digits"), 2)


@pytest.fixture(scope="module")
def reference(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, with checkpoints only after a new best model."""
    run = tmp_path_factory.mktemp("runs") / "reference"
    fit(digits, *OPTIONS, "--run", run, "--checkpoint-minutes", 0)
    assert 3 <= len(metrics_of(run)) < 30
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def state_of(run: Path) -> dict[str, Any]:
    return read_snapshot(run / "checkpoint.npz").state


@pytest.mark.long
def test_resumed_after_kills_gives_the_same_result(digits: Path, reference: Path, run: Path) -> None:
    """SIGKILL within an epoch, after a row of metrics.csv, and after an epoch that is not the best."""
    last = len(metrics_of(reference)) - 1
    fit(digits, *OPTIONS, "--checkpoint-steps", 5, "--run", run, where="0:13", number=9, code=-9)
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (0, 10)
    output = fit("--resume", run, where=f"{last - 1}:row", number=9, code=-9)
    assert f"{run} resumes in epoch 1, after 10 of 20 steps" in output
    assert len(metrics_of(run)) == last
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (last - 1, 15)
    fit("--resume", run, "--checkpoint-steps", 1, where=f"{last - 1}:end", number=9, code=-9)
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (last, 0)
    assert best_epoch(state_of(run)["rows"]) == last - 2
    before = state_of(run)["seconds"]
    fit("--resume", run)
    assert_same(run, reference)
    assert json.loads((run / "summary.json").read_text())["seconds"] > before
    assert_refused(1, ("fit", "--resume", run), f"{run} is finished", f"train evaluate {run}", "another --run")


@pytest.mark.long
def test_resumed_after_signals_on_a_growing_set_gives_the_same_result(
    digits: Path, reference: Path, run: Path, tmp_path: Path
) -> None:
    """Ctrl-C and SIGTERM write a checkpoint first; an epoch that is added to the set does not change the order."""
    grown, last = tmp_path / "sets" / digits.name, f"{len(metrics_of(reference)) - 1}:end"
    shutil.copytree(digits, grown)
    words = (grown, *OPTIONS, "--checkpoint-minutes", 0, "--run", run)
    output = fit(*words, where="0:7", number=signal.SIGINT, code=130)
    assert f"Resume with: train fit --resume {run}" in output
    assert f"No epoch was completed, so {run} holds no model" in output
    assert (state_of(run)["epoch"], state_of(run)["batch"]) == (0, 8)
    make_set(tmp_path / "sets", 3)
    assert len(open_set(grown).epochs) == 3
    output = fit("--resume", run, where=last, number=signal.SIGTERM, code=143)
    assert f"train evaluate {run}" in output
    assert state_of(run)["ended"]
    assert not (run / "summary.json").exists()
    assert call("evaluate", run, "--split", "validation").exit_code == 0
    assert "Epoch" not in fit("--resume", run)
    assert_same(run, reference)


def test_resumed_with_augmentation_while_training(digits: Path, tmp_path: Path) -> None:
    """Final augmentation, MixUp, CutMix, label smoothing, views and a schedule of originals resume exactly."""
    options = [
        *("--final", "characters", "--mixup", 0.3, "--cutmix", 1, "--label-smoothing", 0.1, "--views", 2),
        *("--originals", "0.25:0.75", "--finish-on-originals", 1, "--epochs", 2, "--batch-size", 64),
        "--deterministic",
    ]
    run, other = tmp_path / "run", tmp_path / "other"
    fit(digits, *options, "--run", other)
    fit(digits, *options, "--checkpoint-steps", 5, "--run", run, where="0:8", number=9, code=-9)
    fit("--resume", run)
    assert_same(run, other)


@pytest.mark.long
def test_resumed_after_random_kills_gives_the_same_result(digits: Path, reference: Path, run: Path) -> None:
    """SIGKILL from outside at random moments, until the training is finished."""
    moments = random.Random(0)
    words: list[object] = [digits, *OPTIONS, "--checkpoint-steps", 3, "--run", run]
    for _ in range(8):
        command = [sys.executable, "-u", "-m", "epochbank.train", "fit", *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            while not process.stdout.readline().startswith("Epoch"):
                assert process.poll() is None
            time.sleep(moments.uniform(0.5, 2.5))
            process.kill()
        words = ["--resume", run]
        if (run / "summary.json").exists():
            break
    else:
        fit("--resume", run)
    assert_same(run, reference)


# Refusals and units, in this process


MODEL = """
import keras
from keras import layers

def build(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),
                             layers.Dense(WIDTH, activation="relu"), layers.Dropout(0.2), layers.Dense(classes)])
"""


@pytest.fixture(scope="module")
def stopped(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `own.py`, and a run of its model that was stopped within the second of two epochs."""
    directory = tmp_path_factory.mktemp("stopped")
    (directory / "own.py").write_text(MODEL.replace("WIDTH", "12"))
    words = ["fit", digits, "--model", "own:build", "--epochs", 2, "--batch-size", 32, "--run", "r"]
    script = SIGNALED_TRAIN.replace("main(words)", f"os.chdir({str(directory)!r}); main(words)")
    command = [sys.executable, "-c", script, "1:11", str(int(signal.SIGINT)), *map(str, words)]
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 130
    return directory


@pytest.fixture
def here(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `stopped` as the current directory."""
    shutil.copytree(stopped, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "here"), *sys.path])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path / "here"


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def use_old_names(run: Path) -> None:
    """Rewrite config.json as versions before `mix`, `shard` and `pictures` were renamed wrote it."""
    config = json.loads((run / "config.json").read_text())
    config["mix"], config["shuffle"], config["shard"] = config.pop("originals"), "pictures", config.pop("rank")
    del config["world_size"]
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.long
@pytest.mark.parametrize("old_names", [False, True])
def test_resumed_run_has_its_whole_history(here: Path, old_names: bool) -> None:
    """Both epochs are in metrics.csv, the summary and the learning curves; so they are in a run of an old version."""
    if old_names:
        use_old_names(Path("r"))
    first = metrics_of(Path("r"))
    before = state_of(Path("r"))["seconds"]
    result = call("fit", "--resume", "r")
    assert result.exit_code == 0, result.output
    assert "r resumes in epoch 2, after 12 of 20 steps" in result.stderr
    assert [row["epoch"] for row in metrics_of(Path("r"))] == ["0", "1"]
    assert metrics_of(Path("r"))[:1] == first
    summary = json.loads(Path("r/summary.json").read_text())
    assert summary["epochs"] == 2
    assert summary["seconds"] > before
    assert Path("r/learning-curves.png").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"mix": 0.25, "shuffle": "pictures", "shard": [1, 4]}, {"originals": 0.25, "rank": 1, "world_size": 4}),
        ({"mix": 0, "shuffle": "chunks", "shard": None}, {"originals": 0, "shuffle": "chunks"}),
    ],
)
def test_options_of_an_old_version_are_read(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert read_options(Path("r"), {"model": "cnn", **old}) == FitOptions(model="cnn", **new)


def test_damaged_old_options_are_refused() -> None:
    with pytest.raises(EpochbankError, match=r"r/config\.json is damaged: rank is '1/4'"):
        read_options(Path("r"), {"shard": "1/4"})


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--epochs", 2], "--epochs"),
        (["--originals", 0.5, "--seed", 0], "--originals, --seed"),
        (["--mix", 0.5], "--originals"),
        (["--run", "s"], "--run"),
        (["--deterministic"], "--deterministic"),
        (["sets"], "SET"),
    ],
)
def test_resume_refuses_options_that_change_the_training(here: Path, words: list[object], refused: str) -> None:
    """They are refused even if they have the original values."""
    before = files(Path("r"))
    messages = (f"{refused} cannot be combined with --resume", "--checkpoint-steps", "config.json")
    assert_refused(2, ("fit", "--resume", "r", *words), *messages)
    assert files(Path("r")) == before


def test_resume_refuses_a_changed_model(here: Path) -> None:
    """A model with other shapes is refused with both shapes; the run stays as it is."""
    before = files(Path("r"))
    Path("own.py").write_text(MODEL.replace("WIDTH", "13"))
    shutil.rmtree("__pycache__", ignore_errors=True)
    messages = ("r/checkpoint.npz belongs to another model", "(1024, 12)", "(1024, 13)", "Restore the model function")
    assert_refused(1, ("fit", "--resume", "r"), *messages, "another --run directory")
    assert files(Path("r")) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "none"])
def test_resume_refuses_a_damaged_checkpoint(here: Path, damage: str) -> None:
    """The message names the file and both fixes; without a checkpoint, training starts again."""
    path = Path("r/checkpoint.npz")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "none": b"no zip"}[damage])
    assert_refused(1, ("fit", "--resume", "r"), "r/checkpoint.npz is damaged", "Remove it", "another --run")
    if damage == "none":
        path.unlink()
        result = call("fit", "--resume", "r")
        assert result.exit_code == 0, result.output
        assert "r has no checkpoint yet: training starts again" in result.stderr
        assert len(metrics_of(Path("r"))) == 2


def test_resume_refuses_a_changed_set_or_config(here: Path) -> None:
    """The set must be at its path, with the same fingerprint and epochs; the options and the backend must be valid."""
    config = json.loads(Path("r/config.json").read_text())
    for changes, messages in (
        ({"set": {**config["set"], "path": "sets/gone"}}, ("sets/gone", "no set")),
        ({"set": {**config["set"], "fingerprint": "0" * 64}}, ("another set", "00000000", "Put that set back")),
        ({"stored_epochs": [0, 1, 7]}, ("no longer has the stored epoch 7", "0, 1, 7", "augment run")),
        ({"stored_epochs": None}, ("config.json is damaged", "stored_epochs")),
        ({"batch_size": "many"}, ("config.json is damaged", "batch_size", "many")),
        ({"backend": "theano"}, ("theano", "KERAS_BACKEND")),
    ):
        Path("r/config.json").write_text(json.dumps(config | changes))
        assert_refused(1, ("fit", "--resume", "r"), *messages)


def test_resume_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    assert_refused(1, ("fit", "--resume", tmp_path), str(tmp_path), "not a run directory", "train fit")


def test_one_process_at_a_time_trains_into_a_run(here: Path) -> None:
    """A run that another process is training is refused."""
    script = "import sys; from pathlib import Path; from epochbank.augment.shared.lock import writing\n" \
             "with writing(Path('r')): print('held', flush=True); sys.stdin.read()"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert_refused(1, ("fit", "--resume", "r"), "r is being written by another run")
        other.communicate()


def test_full_disk_keeps_the_previous_checkpoint(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends with a message that says how to resume, and the previous checkpoint is intact."""
    before = Path("r/checkpoint.npz").read_bytes()
    write = np.savez

    def full(file: Path, **arrays: np.ndarray) -> None:
        write(file, **arrays)
        with open(file, "rb+") as half:
            half.truncate(1000)
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        words = ("fit", "--resume", "r", "--checkpoint-steps", 2)
        assert_refused(1, words, "No space left", "Fix the problem, then resume with: train fit --resume r")
    assert Path("r/checkpoint.npz").read_bytes() == before
    assert not list(Path("r").glob(".tmp-*"))
    assert call("fit", "--resume", "r").exit_code == 0


def small_model() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    build_state(model, 2)
    return model


def test_snapshot_restores_every_variable(tmp_path: Path) -> None:
    """Weights, seeds, optimizer variables and metrics are restored into a second model of the same process."""
    model, path = small_model(), tmp_path / "s.npz"
    # `train_on_batch` resets the metrics first: two calls leave the metrics of the second.
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


def test_snapshot_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s.npz", small_model(), {"format": 2})
    with pytest.raises(EpochbankError, match=r"format 2.*reads format 1.*Upgrade"):
        read_snapshot(tmp_path / "s.npz")


@pytest.mark.parametrize(
    ("interval", "steps", "seconds", "is_over"),
    [
        (CheckpointInterval(), 10**6, 299, False),
        (CheckpointInterval(), 0, 300, True),
        (CheckpointInterval(minutes=0), 10**6, 10**6, False),
        (CheckpointInterval(5, 0), 4, 10**6, False),
        (CheckpointInterval(5, 0), 5, 0, True),
        (CheckpointInterval(5, 1), 1, 60, True),
    ],
)
def test_when_a_checkpoint_is_due(interval: CheckpointInterval, steps: int, seconds: float, is_over: bool) -> None:
    assert interval.is_over(steps, seconds) == is_over


def test_first_signal_is_recorded_and_second_stops() -> None:
    """Handlers are installed within the context only, in the main thread only, and not for ignored signals."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        with pytest.raises(Stopped) as raised:
            os.kill(os.getpid(), signal.SIGINT)
        assert raised.value.exit_code == 143
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    def in_another_thread() -> None:
        with Interruption():
            assert signal.getsignal(signal.SIGINT) == before[0]

    thread = threading.Thread(target=in_another_thread)
    thread.start()
    thread.join()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before[1])


def test_set_can_be_restricted_to_some_epochs(digits: Path) -> None:
    assert with_epochs(open_set(digits), [1], Path("r")).epochs == (1,)
    assert with_epochs(open_set(digits), [0, 1], Path("r")).epochs == (0, 1)
