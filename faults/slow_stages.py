"""Stages that take seconds for each try, and that `faults/syscalls.py` runs only if they are named."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from small_set import STAGES, Stage, only_set

if TYPE_CHECKING:
    import keras


def linear(shape: tuple[int, ...], classes: int) -> "keras.Model":
    """Return the smallest model: Keras needs half the time for it that it needs for the smallest built-in one."""
    import keras

    inputs = keras.Input(shape)
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes)(flat))


def _prepare_training(directory: Path) -> None:
    """Make a set; import what a training imports, so that forks need not. TensorFlow must not compute before a fork."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # As `start_backend` does, which would compute.
    import epochbank.train.training.report
    import epochbank.train.training.resume  # noqa: F401

    next(stage for stage in STAGES if stage.name == "verify").prepare(directory)


def _train_words(directory: Path) -> list[str]:
    """Return the arguments of a training of two epochs of two steps, with all checkpoints; or those that resume it."""
    run = directory / "run"
    if (run / "config.json").exists():
        return ["train", "fit", "--resume", str(run), "--trust"]
    return [
        "train", "fit", str(only_set(directory)), "--run", str(run), "--model", "slow_stages:linear", "--epochs", "2",
        "--batch-size", "32", "--checkpoint-steps", "1", "--deterministic", "--threads", "1",
    ]  # fmt: skip


def _many_images(directory: Path) -> None:
    """Write `images.npz` with 1,100 images: an import gives 1,024 to each task."""
    random = np.random.default_rng(1)
    np.savez(
        directory / "images.npz", images=random.integers(0, 256, (1100, 8, 8), np.uint8), labels=np.arange(1100) % 4
    )


def _with_two_jobs(words: Callable[[Path], list[str]]) -> Callable[[Path], list[str]]:
    def arguments(directory: Path) -> list[str]:
        given = words(directory)
        if "--jobs" in given:
            at = given.index("--jobs")
            del given[at : at + 2]
        return [*given, "--jobs", "2"]

    return arguments


SLOW_STAGES = [
    Stage("train", _prepare_training, _train_words, repeats=False),
    *(
        replace(
            stage,
            name=f"workers {stage.name}",
            prepare=_many_images if stage.name == "import" else stage.prepare,
            words=_with_two_jobs(stage.words),
            workers=True,
        )
        for stage in STAGES
        if stage.name in ("import", "run", "extension", "repair", "export webdataset")
    ),
]
"""`verify` has no worker processes, unless a set has gigabytes for each."""
