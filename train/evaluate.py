"""Evaluation: a part batch by batch, never all in memory, with the mistakes that are worth a look."""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from augment.errors import EpochbankError
from train.bank import Bank, open_set
from train.models import BUILT_IN, gives_probabilities, load_function
from train.run import read_config
from train.sequence import EvaluationSequence

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
    right = int(per_class[:, 0].sum())
    return Evaluation(seen, right / seen, loss / seen, sorted(worst, reverse=True), confusions, per_class)


def evaluate_run(run: Path, part: str, batch_size: int) -> tuple[Bank, Evaluation]:
    """The best model of the run in directory `run` on `part` of the set that it was trained on.

    `EpochbankError` where the run is unfinished, or its set is gone or another one by now.
    """
    config = read_config(run)
    bank = open_set(config["set"]["path"])
    if bank.description.fingerprint != config["set"]["fingerprint"]:
        raise EpochbankError(
            f"{bank.path} is another set (fingerprint {bank.description.fingerprint[:8]}) than the one that {run} was "
            f"trained on ({config['set']['fingerprint'][:8]}). Put that set back in its place."
        )
    return bank, evaluate(load_model(run, config["model"]), bank.part(part, batch_size), len(bank.class_names))


def load_model(run: Path, name: str) -> keras.Model:
    """The best model of a run; a model of the user's own is imported first, for its layers."""
    path = run / "model.keras"
    if not path.exists():
        raise EpochbankError(f"{run} has no model.keras: its training never ended an epoch. Train again.")
    if name not in BUILT_IN:
        load_function(name)
    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EpochbankError(f"{path} cannot be loaded: {error}. Train again, or restore it from a copy.") from error


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
