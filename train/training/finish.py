"""The end of a training run: evaluation of its best model, report and summary."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import keras

from ...augment.console import notify
from ...augment.shared.workers import core_count
from ..feeding.sequence import AugmentedSequence
from ..reading.stored_set import StoredSet
from ..streaming.batches import TrainingBatches
from ..streaming.data_wait import advice
from ..streaming.schedule import ScheduledBatches
from .evaluate import Evaluation
from .exposure import exposure
from .fit_options import FitOptions
from .history import read_history
from .machine import describe_machine
from .models import build_model
from .run_directory import CHECKPOINT_FILE, SUMMARY, write_json
from .set_facts import named
from .store_evaluation import SPLITS, Origins, store_evaluations


@dataclass(frozen=True)
class FitResult:
    """The result of a training run."""

    run: Path
    """The run directory."""
    summary: dict[str, Any]
    """The contents of summary.json."""
    history: dict[str, list[float]]
    """The logs of each epoch, by name."""
    evaluations: dict[str, Evaluation]
    """The best model's evaluation on `test` and `validation`, if the set has them."""
    advice: str
    """One sentence: how long steps waited for data, and what to do about it."""
    stored_set: StoredSet
    """The training set."""
    files: list[Path]
    """The page, the plots and the tables of the report."""


def finish(
    model: keras.Model,
    data: AugmentedSequence,
    options: FitOptions,
    run: Path,
    history: dict[str, list[float]],
    seconds: float,
    world_size: int,
    origins: Origins,
    publish: Callable[[dict[str, Any]], None],
) -> FitResult:
    """Evaluate the best model, write the report and `summary.json`, and delete the checkpoint.

    Parameters
    ----------
    model
        The trained model, or one like it; it gets the weights of the best epoch.
    data
        What it was trained on.
    options
        Options of the run.
    run
        The run directory.
    history
        The logs of each epoch, by name.
    seconds
        Duration of the training.
    world_size
        Number of processes that trained it.
    origins
        Finds the origins of misclassified images for the report.
    publish
        Called with the summary before it is written, which marks the run as finished.
    """
    stored_set, size = data.stream.stored_set, data.stream.batches.batch_size
    data_wait, thread_times = data.meter.total(), data.stream.thread_times()
    sentence = advice(data_wait, thread_times, stored_set.codec, core_count())
    evaluations = store_evaluations(model, stored_set, run, size, origins)
    files = _report(run, history, evaluations, stored_set, origins)
    num_epochs = len(history["loss"])
    batches = cast(TrainingBatches | ScheduledBatches, data.stream.batches)
    shown = world_size * options.views * sum(map(batches.shown, range(num_epochs)))
    summary = {
        "set": named(stored_set),
        **{split: evaluations[split].summary() if split in evaluations else None for split in SPLITS},
        "epochs": num_epochs,
        "seconds": round(seconds, 1),
        "model": options.model,
        "parameters": model.count_params(),
        "images_per_second": round(shown / seconds),
        "data": {
            **data_wait.columns(),
            "disk_bytes": thread_times.disk_bytes,
            **_fetched(stored_set),
            "advice": sentence,
            "exposure": exposure(data, num_epochs),
        },
        "machine": describe_machine(),
    }
    publish(summary)
    write_json(run / SUMMARY, summary)  # After the plots: it says that the run is finished.
    files = [*write_page(run), *files]
    (run / CHECKPOINT_FILE).unlink(missing_ok=True)
    return FitResult(run, summary, history, evaluations, sentence, stored_set, files)


def complete_report(stored_set: StoredSet, options: FitOptions, run: Path, origins: Origins) -> FitResult:
    """Write the report of a trained run again."""
    notify(f"{run} is trained; only its report is written again")
    summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
    history = read_history(run)
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, stored_set.shape, len(stored_set.class_names))
    size = options.batch_size_for(stored_set.num_images["train"])
    evaluations = store_evaluations(model, stored_set, run, size, origins)
    files = _report(run, history, evaluations, stored_set, origins)
    files = [*write_page(run), *files]
    sentence = str(summary.get("data", {}).get("advice", ""))
    return FitResult(run, summary, history, evaluations, sentence, stored_set, files)


def _report(
    run: Path,
    history: dict[str, list[float]],
    evaluations: dict[str, Evaluation],
    stored_set: StoredSet,
    origins: Origins,
) -> list[Path]:
    from .report import write_report  # Matplotlib takes a second to import.

    shown = next(iter(evaluations), "")
    find = partial(origins, stored_set.path, shown)
    return write_report(run, history, evaluations.get(shown), shown, stored_set.class_names, find)


def write_page(run: Path) -> list[Path]:
    """Write the report as HTML, from what the run directory records, and return its path.

    Without Jinja2 there is none, and a message says how to get it.
    """
    from .run_report.page import write_run_report

    if find_spec("jinja2") is None:
        notify(
            "report.html was not written, because Jinja2 is not installed. To get it: pip install 'epochbank[report]', "
            f"then train report {run}"
        )
        return []
    return [write_run_report(run)]


def _fetched(stored_set: StoredSet) -> dict[str, int]:
    """Return the bytes that were fetched of a set in an object store, and how many of them more than once."""
    if stored_set.remote is None:
        return {}
    cache = stored_set.remote.cache
    return {"fetched_bytes": cache.fetched_bytes, "refetched_bytes": cache.refetched_bytes}
