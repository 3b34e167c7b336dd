"""Classify images with the best model of a run."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...augment.errors import EpochbankError
from .evaluate import load_best
from .models import build_model, check_parameters
from .outputs import returns_probabilities
from .run_directory import check_shape, check_trust


def load_run(run: Path, config: dict[str, Any], trust: bool = False) -> tuple[keras.Model, list[str]]:
    """Return the best model of the run with this config.json, and its class names. The set is not needed.

    Raises `EpochbankError` if the run has no model yet, its model is a function and `trust` is False, or that function
    has changed.
    """
    check_trust(run, config, trust)
    check_shape(run, config)
    names, shape = config.get("class_names"), config["shape"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise EpochbankError(f"{run / 'config.json'} has no class_names; expected those of the set. Train again.")
    model = build_model(config["model"], (shape[0], shape[1], shape[2]), len(names))
    check_parameters(model, config, run)
    load_best(model, run)
    return model, names


def classify(
    model: keras.Model,
    class_names: list[str],
    images: Iterable[tuple[str | int, np.ndarray | str]],
    top: int,
    batch_size: int,
) -> Iterator[dict[str, Any]]:
    """Yield `{"image": name, "classes": [{"class": str, "probability": float}, ...]}` for each of `images`, in order.

    `images` are pairs of a name and an image, uint8 (H, W, C); or of a name and the reason why there is no image, for
    which `{"image": name, "error": reason}` is yielded. The `top` likeliest classes come first.
    """
    left = iter(images)
    while batch := list(islice(left, batch_size)):
        usable = [image for _, image in batch if isinstance(image, np.ndarray)]
        found = iter(zip(*_likeliest(model, np.stack(usable), top), strict=True) if usable else ())
        for name, image in batch:
            if isinstance(image, str):
                yield {"image": name, "error": image}
            else:
                labels, probabilities = (one.tolist() for one in next(found))
                classes = [class_names[label] for label in labels]
                pairs = zip(classes, probabilities, strict=True)
                yield {"image": name, "classes": [{"class": one, "probability": p} for one, p in pairs]}


def _likeliest(model: keras.Model, images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels int64 (n, count) and probabilities float64 (n, count) of `images` (uint8 (n, H, W, C))."""
    outputs = np.asarray(model.predict_on_batch(images), np.float64)
    if not returns_probabilities(model, images):
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs /= outputs.sum(1, keepdims=True)
    labels = np.argsort(-outputs, axis=1, kind="stable")[:, :count]
    return labels, np.take_along_axis(outputs, labels, axis=1)
