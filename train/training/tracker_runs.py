"""A run in each of the experiment trackers, written with the package's own client.

The Keras callbacks of the packages are not used, because they cannot continue a run with each epoch exactly once, and
those of TensorBoard and Weights & Biases need TensorFlow.
"""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from .event_files import TensorBoardRun
from .run_directory import write_json
from .tracker import Outcome, Settings, Tracker, without_password

RUN_IDS = "trackers.json"
"""The file in a run directory with the ids of its runs in MLflow and Weights & Biases."""


class MLflowRun:
    """A run on the tracking server, or in the database, that MLflow is configured for."""

    def __init__(self, run: Path, settings: Settings, resumed: int):
        import mlflow
        from mlflow.entities import Param

        self._client = mlflow.MlflowClient()
        earlier = read_run_ids(run).get("mlflow", {}).get("run_id")
        if earlier is None:
            self._id = mlflow.start_run(run_name=run.name, nested=True).info.run_id
            write_run_ids(run, "mlflow", {"run_id": self._id})
            self._client.log_batch(self._id, params=[Param(name, str(value)) for name, value in settings.items()])
        else:
            self._id = mlflow.start_run(run_id=earlier, nested=True).info.run_id
        self.epochs = 1 + max((metric.step for metric in self._client.get_metric_history(self._id, "loss")), default=-1)
        self.place = f"run {self._id} at {without_password(mlflow.get_tracking_uri())}"

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics in one request."""
        self._log(epoch, metrics)

    def log_results(self, epochs: int, results: Mapping[str, float]) -> None:
        """Log the results, unless an earlier session has done it."""
        if not results.keys() & self._client.get_run(self._id).data.metrics.keys():
            self._log(epochs, results)

    def close(self, outcome: Outcome) -> None:
        """Set the status of the run."""
        import mlflow

        mlflow.end_run({"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[outcome])

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self._client.log_batch(
            self._id, metrics=[Metric(name, float(value), now, step) for name, value in values.items()]
        )


class WandbRun:
    """A run in Weights & Biases, online or offline."""

    def __init__(self, run: Path, settings: Settings, resumed: int):
        import wandb

        known = read_run_ids(run).get("wandb", {"id": secrets.token_hex(4), "files": []})
        write_run_ids(run, "wandb", known)
        self._run = wandb.init(
            id=known["id"],
            name=run.name,
            config=settings,
            resume="allow",
            allow_val_change=True,
            reinit="create_new",
        )
        self._run.define_metric("*", step_metric="epoch")
        # Only the server knows which epochs it has received. A killed session has lost its last seconds.
        self.epochs = wandb_epochs(known["files"], resumed) if self._run.offline else self._run.step
        files = [*known["files"], str(Path(self._run.settings.sync_file).resolve())]
        write_run_ids(run, "wandb", {"id": known["id"], "files": files})
        self.place = f"run {known['id']}, {self._run.settings.sync_dir if self._run.offline else self._run.url}"

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics with the epoch as their step."""
        self._run.log({**metrics, "epoch": epoch}, step=epoch, commit=True)

    def log_results(self, epochs: int, results: Mapping[str, float]) -> None:
        """Write the results into the summary of the run."""
        self._run.summary.update(results)

    def close(self, outcome: Outcome) -> None:
        """Send or write what is left."""
        self._run.finish(exit_code=0 if outcome == "finished" else 1)


OPEN: dict[str, Callable[[Path, Settings, int], Tracker]] = {
    "tensorboard": TensorBoardRun,
    "mlflow": MLflowRun,
    "wandb": WandbRun,
}
"""Open a run in a tracker for a run directory, its settings, and the number of epochs that its checkpoint has."""


def wandb_epochs(files: list[str], resumed: int) -> int:
    """Return how many epochs the files of earlier offline sessions have; `resumed` if one of them is missing.

    W&B's own command reads them. It stops at the end of what a killed session has written.
    """
    if not all(Path(file).exists() for file in files):
        return resumed
    steps = [-1]
    for file in files:
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EpochbankError(f"W&B cannot read {file}: {done.stderr.strip()[-300:]}. Remove it, then resume again.")
        records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        steps += [int(one["history"]["step"]["num"]) for one in records if one.get("type") == "history"]
    return 1 + max(steps)


def read_run_ids(run: Path) -> dict[str, Any]:
    """Return the contents of trackers.json, {} without it; `EpochbankError` if it is damaged."""
    path = run / RUN_IDS
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        ids = [known[name][key] for name, key in (("mlflow", "run_id"), ("wandb", "id")) if name in known]
        files = known.get("wandb", {"files": []})["files"]
        if (
            not isinstance(known, dict)
            or not isinstance(files, list)
            or not all(isinstance(file, str) for file in files)
        ):
            raise ValueError("it has no list of files")
        if not all(re.fullmatch(r"[\w-]{1,64}", one) for one in ids):
            raise ValueError("it has no valid ids")
        return known
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EpochbankError(f"{path} is damaged: {error}. Remove it to start new runs in the trackers.") from error


def write_run_ids(run: Path, name: str, ids: Mapping[str, Any]) -> None:
    """Store the ids of a tracker in trackers.json."""
    write_json(run / RUN_IDS, {**read_run_ids(run), name: dict(ids)})
