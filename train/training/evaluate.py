"""Evaluate a model on a split, batch by batch, and collect its most confident mistakes."""

import heapq
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.progress import Progress
from ..feeding.sequence import EvaluationSequence
from ..reading.stored_set import StoredSet
from ..streaming.batches import EvaluationBatches
from .evaluation_file import Predictions
from .models import build_model, check_parameters
from .outputs import returns_probabilities
from .run_directory import best_model, check_trust, open_set_of, read_config

MISTAKES = np.dtype([("position", "i8"), ("true", "i4"), ("predicted", "i4"), ("probability", "f4")])
"""A mistake without its image: position in the split, labels, and the probability of the wrong class."""

_WORST = 48
"""Number of mistakes that are kept with their images."""
_TOP = 5
"""Number of classes that are kept of these."""


@dataclass(frozen=True, order=True)
class Mistake:
    """A misclassified image."""

    confidence: float
    """Predicted probability of the wrong class."""
    position: int
    true: int = field(compare=False)
    predicted: int = field(compare=False)
    image: np.ndarray = field(compare=False)
    """uint8 (H, W, C)."""
    top_class: tuple[int, ...] = field(compare=False, default=())
    """The five likeliest classes, the likeliest first."""
    top_probability: tuple[float, ...] = field(compare=False, default=())
    """Their probabilities."""


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a model on a split. Its size grows by 20 bytes with each mistake."""

    num_images: int
    accuracy: float
    loss: float
    """Mean cross-entropy in nats."""
    worst: list[Mistake]
    """The most confident mistakes, the most confident first."""
    confusions: Counter[tuple[int, int]]
    """Number of mistakes for each (true, predicted)."""
    per_class: np.ndarray
    """int64 (classes, 2): correctly classified images and all images of each class."""
    mistakes: np.ndarray
    """`MISTAKES` (n,): every mistake, in order of position."""

    def summary(self) -> dict[str, Any]:
        """Return `accuracy`, `loss` and `images`, as in summary.json."""
        return {"accuracy": self.accuracy, "loss": self.loss, "images": self.num_images}


def evaluate(
    model: keras.Model, data: EvaluationSequence, classes: int, record: Callable[[Predictions], None] | None = None
) -> Evaluation:
    """Evaluate `model` on every batch of `data`, and call `record` with the predictions of each.

    Raises `EpochbankError` if the model returns no logits or probabilities.
    """
    batches = cast(EvaluationBatches, data.stream.batches)
    has_probabilities = returns_probabilities(model, data[0][0])
    worst: list[Mistake] = []
    mistakes = [np.empty(0, MISTAKES)]
    confusions: Counter[tuple[int, int]] = Counter()
    per_class = np.zeros((classes, 2), np.int64)
    loss, seen = 0.0, 0
    with Progress(f"evaluate on {batches.split}", batches.num_images) as progress:
        for number in range(len(data)):
            images, labels = data[number]
            outputs = np.asarray(model.predict_on_batch(images), np.float64)
            log_p = np.log(np.clip(outputs, 1e-7, 1)) if has_probabilities else _log_softmax(outputs)
            predicted = log_p.argmax(1)
            every = np.arange(len(labels))
            of_label, of_predicted = log_p[every, labels], log_p[every, predicted]
            loss -= float(of_label.sum())
            if record is not None:
                record(Predictions(labels, predicted, np.exp(of_predicted), np.exp(of_label)))
            per_class[:, 1] += np.bincount(labels, minlength=classes)
            per_class[:, 0] += np.bincount(labels[predicted == labels], minlength=classes)
            wrong_at = np.flatnonzero(predicted != labels)
            some = np.empty(len(wrong_at), MISTAKES)
            some["position"], some["true"] = seen + wrong_at, labels[wrong_at]
            some["predicted"] = predicted[wrong_at]
            some["probability"] = np.exp(of_predicted[wrong_at])
            mistakes.append(some)
            for at in wrong_at.tolist():
                true, wrong = int(labels[at]), int(predicted[at])
                confusions[true, wrong] += 1
                confidence = float(np.exp(of_predicted[at]))
                if len(worst) == _WORST and (confidence, seen + at) < (worst[0].confidence, worst[0].position):
                    continue
                mistake = Mistake(confidence, seen + at, true, wrong, images[at].copy(), *_likeliest(log_p[at]))
                (heapq.heappush if len(worst) < _WORST else heapq.heappushpop)(worst, mistake)
            seen += len(labels)
            progress.advance(len(labels))
    correct = int(per_class[:, 0].sum())
    return Evaluation(
        seen, correct / seen, loss / seen, sorted(worst, reverse=True), confusions, per_class, np.concatenate(mistakes)
    )


def evaluate_run(run: Path, split: str, batch_size: int, trust: bool = False) -> tuple[StoredSet, Evaluation]:
    """Evaluate the best model of the run in directory `run` on `split` of the set that it was trained on.

    Returns the set and the evaluation. Raises `EpochbankError` as `model_of_run` does.
    """
    model, stored_set = model_of_run(run, trust)
    load_best(model, run)
    return stored_set, evaluate_split(model, stored_set, split, batch_size)


def model_of_run(run: Path, trust: bool) -> tuple[keras.Model, StoredSet]:
    """Return a model like that of a run, without its weights, and the set that it was trained on.

    Raises `EpochbankError` if the model is a function and `trust` is False, or the set is missing or has been replaced.
    """
    config = read_config(run)
    check_trust(run, config, trust)
    stored_set = open_set_of(run, config)
    model = build_model(config["model"], stored_set.shape, len(stored_set.class_names))
    check_parameters(model, config, run)
    return model, stored_set


def evaluate_split(
    model: keras.Model,
    stored_set: StoredSet,
    split: str,
    batch_size: int,
    record: Callable[[Predictions], None] | None = None,
) -> Evaluation:
    """Evaluate `model` on a split of a set, and call `record` with the predictions of each batch."""
    data = EvaluationSequence(stored_set, split, batch_size)
    try:
        return evaluate(model, data, len(stored_set.class_names), record)
    finally:
        data.stream.close()


def load_best(model: keras.Model, run: Path) -> None:
    """Load the weights of the run's best epoch into `model`.

    Only the weights are loaded: custom layers need not be serializable by Keras, and no layer that the file describes,
    such as a Lambda layer, is made or executed.
    """
    path = best_model(run)
    try:
        model.load_weights(path)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise EpochbankError(
            f"{path} is damaged, or is not a model of the function that {run / 'config.json'} names: {text}. "
            "Restore the model function as it was during training, or train again."
        ) from error


def _likeliest(log_p: np.ndarray) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the likeliest classes of an image, the likeliest first, and their probabilities."""
    top = np.argsort(-log_p, kind="stable")[:_TOP]
    return tuple(top.tolist()), tuple(np.exp(log_p[top]).tolist())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
