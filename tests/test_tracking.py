"""`train fit --log`: what is refused and stored, and which epochs a tracker gets. The packages are not needed."""

import json
import math
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import keras
import pytest
from click.testing import CliRunner

import epochbank
from conftest import small_set
from epochbank import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.training import tracker_names, tracker_runs, trackers
from epochbank.train.training.fit import fit
from epochbank.train.training.fit_options import FitOptions, read_options
from epochbank.train.training.tracker_names import check_installed, parse_log
from epochbank.train.training.tracker_runs import read_run_ids, wandb_epochs
from epochbank.train.training.trackers import Outcome, Trackers, settings_of, tracking

CONFIG = {
    "set": {"path": "/sets/a", "fingerprint": "f00d"},
    "stored_epochs": [0, 1, 2],
    "class_names": ["a", "b"],
    "classes": 2,
    "final": {"name": "photo"},
    "mixup": 0.25,
    "follow": False,
    "teacher": None,
    "log": "tensorboard",
}
SUMMARY = {
    "test": {"accuracy": 0.75, "loss": 1.5, "images": 4},
    "validation": None,
    "seconds": 2.0,
    "images_per_second": 100,
}


class FakeTracker:
    """A tracker that has `epochs` epochs already, and fails while `down`."""

    def __init__(self, epochs: int = 0):
        self.epochs, self.place, self.down = epochs, "somewhere", False
        self.got: list[tuple[int, dict[str, float]]] = []
        self.results: list[tuple[int, dict[str, float]]] = []
        self.outcomes: list[Outcome] = []

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        if self.down:
            raise ConnectionError("no answer.\nmore")
        self.got.append((epoch, dict(metrics)))

    def log_results(self, epochs: int, results: Mapping[str, float]) -> None:
        if self.down:
            raise ConnectionError("no answer")
        self.results.append((epochs, dict(results)))

    def close(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self.down:
            raise ConnectionError("no answer")


def callback_of(tracker: FakeTracker, rows: list[dict[str, Any]]) -> Trackers:
    """The callback with one tracker, and a model whose learning rate is 0.5."""
    callback = Trackers({"fake": tracker}, rows)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5))
    callback.set_model(model)
    return callback


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ()),
        ("none", ()),
        ("mlflow", ("mlflow",)),
        (" wandb, tensorboard,wandb", ("wandb", "tensorboard")),
    ],
)
def test_names_of_trackers(text: str | None, names: tuple[str, ...]) -> None:
    assert parse_log(text) == FitOptions(log=text).trackers == names


@pytest.mark.parametrize(("text", "closest"), [("tensorbord", "tensorboard"), ("wandb,ml-flow", "mlflow"), ("", None)])
def test_an_unknown_tracker_is_refused(text: str, closest: str | None, tmp_path: Path) -> None:
    done = CliRunner().invoke(train, ["fit", "--log", text, "--sets", str(tmp_path)])
    assert done.exit_code == 2
    assert "expected one or more of tensorboard, mlflow, wandb" in done.stderr
    assert closest is None or done.stderr.endswith(f"Did you mean `{closest}`?\n")


def test_a_missing_package_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory `wandb/`, which W&B makes in the working directory, is not the package. Nothing is written."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    found = {"mlflow": None, "wandb": ModuleSpec("wandb", None), "tensorboard": ModuleSpec("t", None, origin="t.py")}
    monkeypatch.setattr(tracker_names, "find_spec", found.get)
    check_installed(("tensorboard",))
    with pytest.raises(EpochbankError, match=r"needs mlflow and wandb, .*: pip install 'epochbank\[mlflow,wandb\]'"):
        check_installed(("mlflow", "tensorboard", "wandb"))
    stored_set = epochbank.open_set(sets=small_set(tmp_path) / "sets")
    with pytest.raises(EpochbankError, match="needs wandb, which is not"):
        fit(stored_set, FitOptions(log="wandb"), tmp_path / "run")
    words = [str(stored_set.path), "--log", "mlflow", "--run", str(tmp_path / "run")]
    done = CliRunner().invoke(train, ["fit", *words])
    assert done.exit_code == 1
    assert "needs mlflow" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_stores_and_continues_its_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run continues with the trackers in its config.json, or with those of --log."""
    stored_set = epochbank.open_set(sets=small_set(tmp_path) / "sets")
    opened: list[tuple[str, str, int]] = []
    runs: list[FakeTracker] = []

    def open_fake(run: Path, settings: dict[str, Any], resumed: int) -> FakeTracker:
        opened.append((run.name, settings["fingerprint"], resumed))
        runs.append(FakeTracker(resumed))
        return runs[-1]

    def interrupted(self: FakeTracker, epoch: int, metrics: Mapping[str, float]) -> None:
        log_epoch(self, epoch, metrics)
        if epoch == 1 and len(runs) == 1:
            raise KeyboardInterrupt

    log_epoch = FakeTracker.log_epoch
    monkeypatch.setattr(FakeTracker, "log_epoch", interrupted)
    monkeypatch.setattr(tracker_names, "find_spec", lambda name: ModuleSpec(name, None, origin="here"))
    monkeypatch.setattr(tracker_runs, "OPEN", dict.fromkeys(tracker_names.TRACKER_NAMES, open_fake))
    options = FitOptions(epochs=3, batch_size=16, log="mlflow", patience=0)
    with pytest.raises(KeyboardInterrupt):
        fit(stored_set, options, tmp_path / "run")
    assert json.loads((tmp_path / "run/config.json").read_text())["log"] == "mlflow"
    assert runs[0].outcomes == ["interrupted"]
    done = CliRunner().invoke(train, ["fit", "--resume", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert opened == [("run", stored_set.description.fingerprint, resumed) for resumed in (0, 1)]
    assert [[epoch for epoch, _ in one.got] for one in runs] == [[0, 1], [1, 2]]
    assert {"loss", "val_accuracy", "data_wait", "learning_rate"} < runs[1].got[0][1].keys()
    assert runs[1].outcomes == ["finished"]
    (epochs, results), = runs[1].results  # fmt: skip
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert epochs == 3
    assert results["test_accuracy"] == summary["test"]["accuracy"]


def test_log_is_read_from_config(tmp_path: Path) -> None:
    """A run without the setting has no tracker; a wrong setting is reported."""
    assert read_options(tmp_path, {"model": "cnn"}).trackers == ()
    assert read_options(tmp_path, {"model": "cnn", "log": "wandb"}).trackers == ("wandb",)
    for wrong in ("tensorbord", ["wandb"], 1):
        with pytest.raises(EpochbankError, match=r"config\.json is damaged: log is"):
            read_options(tmp_path, {"model": "cnn", "log": wrong})


def test_a_tracker_gets_each_epoch_once() -> None:
    """One that has more epochs than the checkpoint does not get them again; one that has fewer gets what it lacks."""
    rows = [{"epoch": epoch, "loss": 1.0 + epoch} for epoch in range(2)]
    ahead, behind = FakeTracker(3), FakeTracker(1)
    for tracker in (ahead, behind):
        callback = callback_of(tracker, rows)
        for epoch in (2, 3):
            callback.on_epoch_end(epoch, {"loss": 1.0 + epoch})
        callback.finish(SUMMARY)
    rate = {"learning_rate": 0.5}
    assert ahead.got == [(3, {"loss": 4.0} | rate)]
    assert behind.got == [(1, {"loss": 2.0}), (2, {"loss": 3.0} | rate), (3, {"loss": 4.0} | rate)]
    assert ahead.results == behind.results == [
        (4, {"test_accuracy": 0.75, "test_loss": 1.5, "seconds": 2.0, "images_per_second": 100})
    ]  # fmt: skip


def test_a_tracker_that_fails_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It is tried again later, and gets the epochs that it lacks; a message says so."""
    now = 0.0
    monkeypatch.setattr(trackers.time, "monotonic", lambda: now)
    tracker = FakeTracker()
    callback = callback_of(tracker, [])
    tracker.down = True
    callback.on_epoch_end(0, {"loss": math.nan})
    message = "fake did not receive epoch 1 and later ones (no answer). Training continues, and tries again"
    assert message in capsys.readouterr().err
    tracker.down = False
    now = 599.0
    callback.on_epoch_end(1, {"loss": 1.0})
    assert tracker.got == []
    now = 600.0
    callback.on_epoch_end(2, {"loss": 1.0})
    assert [epoch for epoch, _ in tracker.got] == [0, 1, 2]
    tracker.down = True
    callback.finish(SUMMARY)
    printed = capsys.readouterr().err
    assert "fake did not receive the results (no answer). The run directory has everything" in printed
    assert "fake: the run could not be closed (no answer)." in printed


def test_a_tracker_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to continue. What was opened before is closed."""
    first = FakeTracker()

    def fail(*words: object) -> FakeTracker:
        raise ValueError("No run with id 5 at http://me:secret@host/api\nmore")

    monkeypatch.setattr(tracker_runs, "OPEN", {"tensorboard": lambda *words: first, "mlflow": fail})
    message = r"mlflow cannot log .*run: No run with id 5 at http://host/api\. Fix .* --resume .*run; with --log none"
    with (
        pytest.raises(EpochbankError, match=message),
        tracking(["tensorboard", "mlflow"], tmp_path / "run", CONFIG, []),
    ):
        pass
    assert first.outcomes == ["failed"]


def test_settings_of_a_run() -> None:
    """Trackers get simple values: no class names, nothing that is not set; a path need not be in UTF-8."""
    config = CONFIG | {"set": {"path": "/sets/\udce9", "fingerprint": "f00d"}}
    assert settings_of(config) == {
        "epochbank": epochbank.__version__,
        "set": "/sets/\\udce9",
        "fingerprint": "f00d",
        "stored_epochs": 3,
        "classes": 2,
        "final": '{"name": "photo"}',
        "mixup": 0.25,
        "follow": False,
    }


@pytest.mark.parametrize(
    "text", ["[]", "5", '"mlflow"', "{", '{"mlflow": {}}', '{"mlflow": {"run_id": "../x"}}', '{"wandb": {"id": 5}}',
             '{"wandb": {"id": "a", "files": "b"}}', '{"wandb": {"id": "a", "files": [5]}}'],
)  # fmt: skip
def test_damaged_run_ids(text: str, tmp_path: Path) -> None:
    (tmp_path / "trackers.json").write_text(text)
    with pytest.raises(EpochbankError, match=r"trackers\.json is damaged: .*Remove it"):
        read_run_ids(tmp_path)


def test_missing_offline_files(tmp_path: Path) -> None:
    """A run whose files are elsewhere is taken to have all epochs of the checkpoint; a new one has none."""
    assert wandb_epochs([], 4) == 0
    assert wandb_epochs([str(tmp_path / "run-a.wandb")], 4) == 4
