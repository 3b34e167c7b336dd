"""How much faster the built-in models train on this CPU with oneDNN, and without it.

    python benchmarks/onednn.py             # two minutes on two cores

Each process trains on 20 batches of 128 random images of 64 x 64 in 1,000 classes, in float32, and reports the median
of its steps. Processes with and without oneDNN alternate; the table has the medians over the rounds. TensorFlow
itself uses oneDNN only on processors with AVX-512 VNNI or later extensions; `train` uses it on all x86 processors.
"""

import os
import statistics
import subprocess
import sys
import time

import click

import checkout  # noqa: F401

BATCH, SIDE, CLASSES = 128, 64, 1000


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Number of times that each process is run.")
@click.option("--model", "models", multiple=True, default=("cnn-small", "cnn"), show_default=True, help="Models.")
@click.option("--one", hidden=True, help="Measure this model in this process.")
def main(rounds: int, models: tuple[str, ...], one: str | None) -> None:
    if one is not None:
        click.echo(_seconds_per_step(one))
        return
    click.echo(f"{'model':12}{'without':>12}{'oneDNN':>12}{'faster':>9}")
    for model in models:
        measured: dict[str, list[float]] = {"0": [], "1": []}
        for _ in range(rounds):
            for setting, seconds in measured.items():
                environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting, "TF_CPP_MIN_LOG_LEVEL": "3"}
                command = [sys.executable, __file__, "--one", model]
                done = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
                )
                seconds.append(float(done.stdout))
        without, with_it = (statistics.median(seconds) for seconds in measured.values())
        click.echo(f"{model:12}{1000 * without:9.0f} ms{1000 * with_it:9.0f} ms{without / with_it:8.2f}x")


def _seconds_per_step(name: str) -> float:
    import keras
    import numpy as np

    from epochbank.train.training.models import build_model

    model = build_model(name, (SIDE, SIDE, 1), CLASSES)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, SIDE, SIDE, 1), np.uint8)
    labels = random.integers(0, CLASSES, BATCH)
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[5:])


if __name__ == "__main__":
    main()
