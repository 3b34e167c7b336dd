"""Training runs in TensorBoard, MLflow and Weights & Biases, offline, read back with each package's own reader.

`make test-tracking` installs the packages and runs this on all backends.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import small_set

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.filterwarnings("default")]
for package in ("tensorboard", "mlflow", "wandb"):
    pytest.importorskip(package)

SIGNALED = """
import os, sys, time
from epochbank.train.cli import main
from epochbank.train.training.trackers import Trackers

epoch, number, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
log = Trackers.on_epoch_end

def signaled(self, at, logs=None):
    log(self, at, logs)
    if at == epoch:
        time.sleep(seconds)
        os.kill(os.getpid(), number)

Trackers.on_epoch_end = signaled
main(sys.argv[4:])
"""
"""`train` that sends itself a signal after an epoch was logged, before its checkpoint."""
EPOCHS = 5
ALL = "tensorboard,mlflow,wandb"
Values = dict[str, dict[int, list[float]]]
"""The values of each metric by epoch."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a set, in which W&B is offline and MLflow has its default, a SQLite file."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(small_set(tmp_path))
    return tmp_path


def fit(*words: object, epoch: int = -1, number: int = 0, seconds: float = 0.0, code: int = 0) -> str:
    """Run `train fit` in a separate process; return what it printed on standard error."""
    command = [sys.executable, "-c", SIGNALED, str(epoch), str(number), str(seconds), "fit", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def begin(run: Path, log: str, **how: Any) -> str:
    return fit("--epochs", EPOCHS, "--batch-size", 16, "--patience", 0, "--deterministic", "--learning-rate", 0.02,
               "--log", log, "--run", run, **how)  # fmt: skip


def metrics_of(run: Path) -> Values:
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: {int(row["epoch"]): [float(row[name])] for row in rows} for name in rows[0] if name != "epoch"}


def results_of(run: Path) -> dict[str, float]:
    summary = json.loads((run / "summary.json").read_text())
    return {
        f"{split}_{name}": summary[split][name] for split in ("test", "validation") for name in ("accuracy", "loss")
    }


def tensorboard_of(run: Path) -> tuple[Values, dict[str, float], str]:
    """The epochs, the results and the settings, read by TensorBoard's event accumulator."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    epochs: Values = {}
    for folder, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(run / "tensorboard" / folder), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                metric = epochs.setdefault(prefix + tag.removeprefix("epoch_"), {})
                metric.setdefault(event.step, []).append(event.value)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    results = {}
    for tag in events.Tags()["scalars"]:
        (event,) = events.Scalars(tag)
        assert event.step == EPOCHS
        results[tag] = event.value
    assert "_hparams_/session_start_info" in events.summary_metadata
    (settings,) = events.Tensors("settings")[0].tensor_proto.string_val
    return epochs, results, settings.decode()


def mlflow_of(run_id: str) -> tuple[Values, dict[str, float], dict[str, str], str]:
    """The epochs, the results, the settings and the status of a run, read by MLflow's client."""
    import mlflow

    client = mlflow.MlflowClient()
    found = client.get_run(run_id)
    epochs: Values = {}
    results = {}
    for name in found.data.metrics:
        history = client.get_metric_history(run_id, name)
        if [one.step for one in history] == [EPOCHS]:
            results[name] = history[0].value
        else:
            for one in history:
                epochs.setdefault(name, {}).setdefault(one.step, []).append(one.value)
    return epochs, results, found.data.params, found.info.status


def wandb_of(files: list[str]) -> tuple[Values, dict[str, float], dict[str, str], set[str]]:
    """The epochs, the last summary, the settings and the ids in the files of a run, read by W&B's own command."""
    epochs: Values = {}
    summary: dict[str, float] = {}
    settings: dict[str, str] = {}
    ids = set()
    for file in files:
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", file]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        for record in map(json.loads, lines):
            if record["type"] == "history":
                row = record["history"]["item"]
                assert row["epoch"] == row["_step"] == record["history"]["step"]["num"]
                for name, value in row.items():
                    if name[0] != "_" and name != "epoch":
                        epochs.setdefault(name, {}).setdefault(row["epoch"], []).append(value)
            elif record["type"] == "summary":
                summary |= record["summary"]["update"]
            elif record["type"] == "run":
                ids.add(record["run"]["run_id"])
                settings |= record["run"]["config"]["update"]
    return epochs, summary, settings, ids


def assert_complete(found: Values, expected: Values, *, retrained: bool = True) -> None:
    """Each metric of metrics.csv is there once for each epoch, and so is the learning rate, as far as it was sent live.

    Times of epochs that were trained twice may be those of the first time.
    """
    assert found.keys() - {"learning_rate"} == expected.keys()
    for name, values in expected.items():
        assert sorted(found[name]) == list(range(EPOCHS)), name
        assert all(len(one) == 1 for one in found[name].values()), name
        if not retrained or name.removeprefix("val_") in ("loss", "accuracy"):
            assert found[name] == {epoch: pytest.approx(one, rel=1e-5) for epoch, one in values.items()}, name


@pytest.mark.parametrize("seconds", [0, 3], ids=["lost", "written"])
def test_a_killed_and_resumed_run_has_each_epoch_once(
    seconds: float, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epoch 2 was logged before a SIGKILL, and is trained again: W&B has lost it, or has it in its file already.

    Then SIGINT interrupts the run after epoch 3.
    """
    monkeypatch.setenv("WANDB__TRANSACTION_LOG_FLUSH_INTERVAL", "0.5" if seconds else "3600")
    run = place / "run"
    begin(run, ALL, epoch=2, number=signal.SIGKILL, seconds=seconds, code=-signal.SIGKILL)
    first = json.loads((run / "trackers.json").read_text())
    assert len(metrics_of(run)["loss"]) == 3
    assert mlflow_of(first["mlflow"]["run_id"])[0]["loss"].keys() == {0, 1, 2}
    assert len(wandb_of(first["wandb"]["files"])[0].get("loss", {})) == (3 if seconds else 0)
    fit("--resume", run, epoch=3, number=signal.SIGINT, code=130)
    assert mlflow_of(first["mlflow"]["run_id"])[3] == "KILLED"
    fit("--resume", run)

    expected, results = metrics_of(run), results_of(run)
    known = json.loads((run / "trackers.json").read_text())
    fingerprint = json.loads((run / "config.json").read_text())["set"]["fingerprint"]
    epochs, found, text = tensorboard_of(run)
    # TensorBoard discards the epoch of the killed session, so that it has exactly what metrics.csv has.
    assert_complete(epochs, expected, retrained=False)
    assert_complete({"loss": epochs["learning_rate"]}, {"loss": epochs["learning_rate"]})
    assert {name: found[name] for name in results} == pytest.approx(results, rel=1e-5)
    assert f"| fingerprint | {fingerprint} |" in text
    assert "| batch_size | 16 |" in text

    assert known["mlflow"] == first["mlflow"]
    epochs, found, settings, status = mlflow_of(known["mlflow"]["run_id"])
    assert_complete(epochs, expected)
    assert {name: found[name] for name in results} == pytest.approx(results)
    assert (settings["fingerprint"], settings["batch_size"], status) == (fingerprint, "16", "FINISHED")

    assert known["wandb"]["id"] == first["wandb"]["id"]
    assert len(known["wandb"]["files"]) == 3
    epochs, found, settings, ids = wandb_of(known["wandb"]["files"])
    assert_complete(epochs, expected)
    assert {name: found[name] for name in results} == pytest.approx(results)
    assert (settings["fingerprint"], settings["batch_size"], ids) == (fingerprint, 16, {known["wandb"]["id"]})


def test_a_server_that_does_not_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is refused; the password in the address of the server is not printed. Without the tracker it works."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        message = begin(place / "run", "mlflow", code=1)
        assert "Error: mlflow cannot log" in message
        assert "with --log none, it trains without a tracker" in message
        assert "secret" not in message
        assert "Traceback" not in message
    fit("--resume", place / "run", "--log", "none")
    assert not (place / "run/trackers.json").exists()


def test_a_run_that_is_gone(place: Path) -> None:
    """Resuming with another database says that it has no such run, and changes nothing."""
    begin(place / "run", "mlflow", epoch=1, number=signal.SIGINT, code=130)
    (place / "mlflow.db").rename(place / "elsewhere.db")
    assert "mlflow cannot log" in fit("--resume", place / "run", code=1)
    (place / "elsewhere.db").replace(place / "mlflow.db")
    fit("--resume", place / "run")
    run_id = json.loads((place / "run/trackers.json").read_text())["mlflow"]["run_id"]
    assert_complete(mlflow_of(run_id)[0], metrics_of(place / "run"), retrained=False)


def test_a_tracker_that_is_added_when_resuming(place: Path) -> None:
    """It gets the earlier epochs, too. Files of others in the log directory stay."""
    begin(place / "run", "none", epoch=2, number=signal.SIGINT, code=130)
    (place / "run/tensorboard").mkdir()
    (place / "run/tensorboard/notes.txt").write_text("mine")
    fit("--resume", place / "run", "--log", "tensorboard")
    assert_complete(tensorboard_of(place / "run")[0], metrics_of(place / "run"), retrained=False)
    assert (place / "run/tensorboard/notes.txt").read_text() == "mine"


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow", reason="one process on TensorFlow")
def test_rank_0_alone_logs(place: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--epochs", EPOCHS, "--batch-size", 16, "--patience", 0, "--log", ALL, "--run", place / "run"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "epochbank.train", "fit", *map(str, words), "--rank", str(rank), "--world-size", "2",
             "--coordinator", f"127.0.0.1:{port}"],
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    printed = [rank.communicate(timeout=900)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], printed
    known = json.loads((place / "run/trackers.json").read_text())
    expected = metrics_of(place / "run")
    for epochs in (
        tensorboard_of(place / "run")[0],
        mlflow_of(known["mlflow"]["run_id"])[0],
        wandb_of(known["wandb"]["files"])[0],
    ):
        assert_complete(epochs, expected, retrained=False)
    assert len(list((place / "wandb").glob("offline-run-*"))) == 1
    import mlflow

    assert len(mlflow.MlflowClient().search_runs(["0"])) == 1
