"""Evaluation: a part batch by batch, never all in memory, with the mistakes that are worth a look."""

import heapq
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.progress import Progress
from ..feeding.augmented_set import AugmentedSet
from ..feeding.sequence import EvaluationSequence
from .models import build_model, gives_probabilities
from .run_directory import open_set_of, read_config

WORST = 48
"""Mistakes kept with their pictures."""


@dataclass(frozen=True, order=True)
class Mistake:
    """A picture that the model took for another class."""

    confidence: float
    """Probability given to the wrong class."""
    position: int
    true: int = field(compare=False)
    predicted: int = field(compare=False)
    picture: np.ndarray = field(compare=False)
    """uint8 (H, W, C)."""


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a part. Its memory does not grow with the part's pictures."""

    images: int
    accuracy: float
    loss: float
    """Mean cross-entropy, nats."""
    worst: list[Mistake]
    """The most confident mistakes, the worst first."""
    confusions: Counter[tuple[int, int]]
    """(true, predicted) -> count, mistakes only."""
    per_class: np.ndarray
    """int64 (classes, 2): right and all pictures of each class."""

    def figures(self) -> dict[str, Any]:
        """`accuracy`, `loss`, `images`, as summary.json has them."""
        return {"accuracy": self.accuracy, "loss": self.loss, "images": self.images}


def evaluate(model: keras.Model, data: EvaluationSequence, classes: int) -> Evaluation:
    """Run `model` over every batch of `data`."""
    probabilities_given = gives_probabilities(model)
    worst: list[Mistake] = []
    confusions: Counter[tuple[int, int]] = Counter()
    per_class = np.zeros((classes, 2), np.int64)
    loss, seen = 0.0, 0
    with Progress("evaluate", data.stream.batches.images) as progress:
        for number in range(len(data)):
            pictures, labels = data[number]
            outputs = np.asarray(model.predict_on_batch(pictures), np.float64)
            log_p = np.log(np.clip(outputs, 1e-7, 1)) if probabilities_given else _log_softmax(outputs)
            predicted = log_p.argmax(1)
            loss -= float(log_p[np.arange(len(labels)), labels].sum())
            per_class[:, 1] += np.bincount(labels, minlength=classes)
            per_class[:, 0] += np.bincount(labels[predicted == labels], minlength=classes)
            for at in np.flatnonzero(predicted != labels).tolist():
                true, wrong = int(labels[at]), int(predicted[at])
                confusions[true, wrong] += 1
                mistake = Mistake(float(np.exp(log_p[at, wrong])), seen + at, true, wrong, pictures[at].copy())
                (heapq.heappush if len(worst) < WORST else heapq.heappushpop)(worst, mistake)
            seen += len(labels)
            progress.advance(len(labels))
    right = int(per_class[:, 0].sum())
    return Evaluation(seen, right / seen, loss / seen, sorted(worst, reverse=True), confusions, per_class)


def evaluate_run(run: Path, part: str, batch_size: int) -> tuple[AugmentedSet, Evaluation]:
    """The best model of the run in directory `run` on `part` of the set that it was trained on.

    `EpochbankError` where the run is unfinished, or its set is gone or another one by now.
    """
    config = read_config(run)
    bank = open_set_of(run, config)
    model = build_model(config["model"], bank.shape, len(bank.class_names))
    load_best(model, run)
    return bank, evaluate_part(model, bank, part, batch_size)


def evaluate_part(model: keras.Model, bank: AugmentedSet, part: str, batch_size: int) -> Evaluation:
    """`evaluate` on a part of a set."""
    data = bank.part(part, batch_size)
    try:
        return evaluate(model, data, len(bank.class_names))
    finally:
        data.stream.close()


def load_best(model: keras.Model, run: Path) -> None:
    """Give `model` the weights of the run's best epoch.

    The weights alone: a layer of the user's own need not be made for Keras to save and load it.
    """
    path = run / "model.keras"
    if not path.exists():
        raise EpochbankError(f"{run} has no model.keras: its training never ended an epoch. Train again.")
    try:
        model.load_weights(path)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise EpochbankError(
            f"{path} is damaged, or not of the model that {run / 'config.json'} names: {text}. "
            "Put the model's module back as it was when it was trained, or train again."
        ) from error


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
