"""Run directories with given predictions, for tests of reports and comparisons: no model is trained for them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from epochbank.train.training.confused import matrix_classes, ordered
from epochbank.train.training.evaluation_file import EVALUATION, FORMAT, Predictions, Shown, recorder, write_shown
from epochbank.train.training.fit_options import FitOptions
from epochbank.train.training.kept_images import choose
from epochbank.train.training.run_report.tally import tally

MACHINE = {
    "processor": "Some CPU", "cores": 8, "memory_bytes": 64_000_000_000, "gpus": ["Some GPU"], "system": "Linux",
    "python": "3.12.1", "epochbank": "0.1.0", "keras": "3.15.0", "backend": "tensorflow", "backend_version": "2.21.0",
}  # fmt: skip
RECIPE = {"stages": [{"probability": 1.0, "operations": [{"op": "rotate", "weight": 1.0}]}]}


def finished_run(
    path: Path,
    names: list[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    images: np.ndarray | None = None,
    *,
    digest: str = "0" * 32,
    set_name: str = "digits-kanji-1f2e3d4c",
    config: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write the directory of a finished run of three epochs, whose model predicts `predicted` for a test split.

    `images`, uint8 (n, H, W, C), are those of the split; its origins are their positions. `options` are those of
    `FitOptions`, and `config` more of config.json.
    """
    path.mkdir(parents=True)
    accuracy = float(np.mean(labels == predicted))
    fingerprint = f"{set_name[-8:]}{'0' * 56}"
    named = {"path": f"/data/{set_name}", "fingerprint": fingerprint}
    facts = {
        "name": set_name, "source": "digits", "recipe": "kanji", "recipe_settings": RECIPE, "seed": 0,
        "split": {"validation": 0.1, "test": 0.1}, "per_class": None, "codec": "zstd", "bytes": 12_000_000,
        "num_images": {"train": 8 * len(labels), "validation": 0, "test": len(labels)},
    }  # fmt: skip
    shape = [64, 64, 1] if images is None else list(images.shape[1:])
    settings = asdict(FitOptions(**{"batch_size": 256, **options}))
    document = {
        "set": named, "set_facts": facts, "stored_epochs": [0, 1, 2], "classes": len(names), "class_names": names,
        "shape": shape, **settings, "parameters": 1000, "keras": "3.15.0", "backend": "tensorflow", "machine": MACHINE,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps({**document, **(config or {})}))
    rows = [
        f"{epoch},{2 / (epoch + 1)},{accuracy - 0.1 * (2 - epoch)},{0.1 * epoch},{0.02 * epoch},7.0\n"
        for epoch in range(3)
    ]
    header = "epoch,loss,accuracy,data_wait,data_wait_share,queue_depth\n"
    (path / "metrics.csv").write_text(header + "".join(rows))
    summary = {
        "set": named, "test": {"accuracy": accuracy, "loss": 0.25, "images": len(labels)}, "validation": None,
        "epochs": 3, "seconds": 90.5, "model": "cnn-small", "parameters": 1000, "images_per_second": 5000,
        "data": {"disk_bytes": 1000, "advice": "Training never waited for data.", "exposure": "each image once"},
        "machine": MACHINE,
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(summary))
    _write_evaluation(path / EVALUATION, names, labels, predicted, images, digest)
    return path


def _write_evaluation(
    path: Path, names: list[str], labels: np.ndarray, predicted: np.ndarray, images: np.ndarray | None, digest: str
) -> None:
    count, classes = len(labels), len(names)
    wrong = np.flatnonzero(labels != predicted)
    probability = np.linspace(0.99, 0.4, count)
    rows = Predictions(labels, predicted, probability, np.where(labels == predicted, probability, 1 - probability))
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        group = file.create_group("test")
        group.attrs["digest"] = digest
        recorder(group, count, lambda: None)(rows)
        if images is None:
            return
        confusions = tally([rows], classes, np.empty(0, np.int64)).confusions
        shown = set(matrix_classes(confusions, classes)) if confusions else set()
        pairs = [pair for pair, _ in ordered(confusions)] + [(label, label) for label in sorted(shown)]
        worst = wrong[:48]
        positions = np.union1d(worst, choose([rows], pairs, classes, 900))
        others = [np.setdiff1d(np.arange(min(classes, 9)), [predicted[at]])[:4] for at in worst]
        top = np.array([[predicted[at], *some] for at, some in zip(worst, others, strict=True)], np.int32)
        chances = np.tile(np.array([0.6, 0.2, 0.1, 0.05, 0.01], np.float32)[: top.shape[-1]], (len(worst), 1))
        origin = [f"folder/{position}.png" for position in positions]
        write_shown(group, Shown(positions, images[positions], origin, worst, top.reshape(chances.shape), chances))
