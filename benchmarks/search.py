"""The search behind the recipe `handwriting`: accuracy of each recipe on writers of Omniglot's training split.

    python benchmarks/search.py                     # what results/search.json lacks; all of it takes 30 minutes
    python benchmarks/search.py --json mine.json    # repeat the search
    python benchmarks/search.py --seeds 4 --only "affine 15" --only "affine 15 + blur"

The task is small, so that many recipes can be measured: characters of 32 x 32, and for each seed another quarter of the
1,623 classes (for seed s every fourth class, starting at s). Only the twelve writers of the training split are used, as
`augment run` splits them: for each of four seeds, three others of them select the recipe, and nine are trained on. The
writers of validation and test are never seen. A small convolutional network trains for 900 steps of 128 images: half
originals and half distorted images, as in `train fit`, or originals only. Distorted images are made as in `augment
run`, with the label check. Parameters in pixels at 64 x 64 (elastic, blur, stroke) are scaled with the size of the
image; the 3 x 3 filters `sharpen` and `smooth` cannot be, so their effect is twice as wide.

All recipes have the same classes, initial weights and originals. They are compared seed by seed: the mean of the
differences and its standard error. With two seeds the standard error is unreliable; the spread of one run,
estimated from all recipes at once, is more reliable. The built-in recipe `handwriting` is `affine 15`.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from math import ceil, sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np

import checkout  # noqa: F401
from epochbank.augment.distortion.choose_engine import choose_engine
from epochbank.augment.distortion.draw import draw_positions
from epochbank.augment.distortion.label_check import distort_checked
from epochbank.augment.distortion.recipe import Recipe, built_in_names, load_recipe, parse_recipe, recipe_from_settings
from epochbank.augment.generation.new_set import split_input
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.find import open_source
from epochbank.augment.split.holdout import HeldOut, split_key, split_rows
from machine import machine
from on_cores import OMNIGLOT, WRITER

RESULTS = Path(__file__).parent / "results/search.json"
SIDE, FULL_SIDE = 32, 64
QUARTERS, HELD_OUT, STEPS, BATCH, LEARNING_RATE = 4, 3, 900, 128, 0.002

PIXELS = {"elastic": {"alpha": 2, "sigma": 1}, "blur": {"radius": 1}, "stroke": {"strength": 1}}
"""Parameters in pixels of each operation, and the power of the image size that they are scaled with."""

Operations = list[dict[str, Any]]


def _affine(degrees: float, shear: float, scale: tuple[float, float], aspect: float, shift: float, **more: Any) -> dict:
    """Return an affine operation with symmetric ranges; `aspect` is the largest aspect ratio."""
    symmetric = {"degrees": degrees, "shear_x": shear, "shear_y": shear, "shift_x": shift, "shift_y": shift}
    ranges = {key: [-value, value] for key, value in symmetric.items()}
    return {"op": "affine", **ranges, "scale": list(scale), "aspect": [1 / aspect, aspect], **more}


def _of_built_in(name: str, level: int) -> Operations:
    """Return the operations of one stage of a built-in recipe."""
    return load_recipe(name).settings()["stages"][level]["operations"]


STAGES: dict[str, tuple[float, Operations]] = {
    "affine 10": (1, [_affine(10, 0.1, (0.85, 1.1), 1.1, 0.05)]),
    "affine 15": (1, [_affine(15, 0.2, (0.75, 1.15), 1.2, 0.08)]),
    "affine 20": (1, [_affine(20, 0.3, (0.65, 1.15), 1.3, 0.1)]),
    "affine 30": (1, [_affine(30, 0.4, (0.5, 1.2), 1.5, 0.15)]),
    "affine 15 shift 15": (1, [_affine(15, 0.2, (0.75, 1.15), 1.2, 0.15)]),
    "affine 15 nearest": (1, [_affine(15, 0.2, (0.75, 1.15), 1.2, 0.08, resample="nearest")]),
    "elastic mild": (1, [{"op": "elastic", "alpha": [40, 120], "sigma": [8, 10]}]),
    "elastic strong": (1, [{"op": "elastic", "alpha": [80, 200], "sigma": [8, 10]}]),
    "elastic fine": (1, [{"op": "elastic", "alpha": [20, 70], "sigma": [5, 6]}]),
    "affine or elastic": (
        1,
        [_affine(15, 0.2, (0.75, 1.15), 1.2, 0.08), {"op": "elastic", "alpha": [40, 120], "sigma": [8, 10]}],
    ),
    "stroke": (1, [{"op": "stroke", "strength": [-0.5, 0.75]}]),
    "perspective": (1, [{"op": "perspective", "shift": [-0.1, 0.1]}]),
    "blur": (0.5, [{"op": "blur", "radius": [0.3, 1.0]}]),
    "erase": (0.5, [{"op": "erase"}]),
    "gray values": (1, [{"op": "contrast"}, {"op": "noise"}]),
    "kanji's geometry": (1, _of_built_in("kanji", 0)),
}
"""Probability and operations of each stage, by name."""

ROUNDS: dict[str, list[str]] = {
    "baselines": ["none", "kanji", "kanji-strong"],
    "geometry": ["kanji's geometry", "affine 10", "affine 15", "affine 20", "affine 30", "affine 15 nearest"],
    "elastic": [
        "affine 15 + elastic mild",
        "affine 15 + elastic strong",
        "affine 15 + elastic fine",
        "affine or elastic",
        "affine 10 + elastic mild",
    ],
    "more geometry": ["affine 15 shift 15", "affine 15 + perspective"],
    "ink": ["affine 15 + stroke", "affine 15 + blur", "affine 15 + gray values", "affine 15 + erase"],
}
"""Recipes of each round of the search: built-in ones, or stages in order."""


def recipe_named(name: str) -> Recipe | None:
    """Return the recipe for 64 x 64; None for originals only."""
    if name == "none":
        return None
    if name in built_in_names():
        return load_recipe(name)
    stages = [
        {"name": stage, "probability": STAGES[stage][0], "operation": STAGES[stage][1]} for stage in name.split(" + ")
    ]
    return parse_recipe({"name": "candidate", "stage": stages})


def scaled(recipe: Recipe, side: int) -> Recipe:
    """Return the same distortions for images of `side` x `side` instead of 64 x 64."""
    settings = recipe.settings()
    for stage in settings["stages"]:
        for operation in stage["operations"]:
            for key, power in PIXELS.get(operation["op"], {}).items():
                operation[key] = [value * (side / FULL_SIDE) ** power for value in operation[key]]
    return recipe_from_settings(recipe.name, settings)


@dataclass(frozen=True)
class Task:
    """The training and validation data of one seed."""

    images: np.ndarray
    """uint8 (n, H, W, C), the nine writers."""
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    classes: int
    seed: int


def task_of(source: SourceFile, seed: int) -> Task:
    """Take every fourth class, starting at `seed`, of the training split; hold three of its writers out."""
    rows = split_rows(split_input(source), HeldOut(), key=split_key(source.digest))["train"]
    labels, groups = source.column("label"), source.column("group")
    writers = np.unique(groups[rows])
    held_out = np.roll(writers, -HELD_OUT * seed)[:HELD_OUT]
    rows = rows[labels[rows] % QUARTERS == seed % QUARTERS]
    seen, unseen = rows[~np.isin(groups[rows], held_out)], rows[np.isin(groups[rows], held_out)]
    validation = source.read(unseen), labels[unseen] // QUARTERS
    return Task(source.read(seen), labels[seen] // QUARTERS, validation, int(labels[rows].max()) // QUARTERS + 1, seed)


def training_data(task: Task, recipe: Recipe | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of all steps, batch by batch: half originals, half distorted."""
    rng = np.random.Generator(np.random.Philox(task.seed))
    half = BATCH // 2
    first, second = _passes(task, None, rng), _passes(task, recipe, rng)
    images = np.empty((STEPS, BATCH, *task.images.shape[1:]), np.uint8)
    labels = np.empty((STEPS, BATCH), np.int32)
    for columns, passes in ((slice(0, half), first), (slice(half, BATCH), second)):
        shown = [next(passes) for _ in range(ceil(STEPS * half / len(task.labels)))]
        for target, arrays in zip((images, labels), zip(*shown, strict=True), strict=True):
            whole = np.concatenate(arrays)[: STEPS * half]
            target[:, columns] = whole.reshape(STEPS, half, *whole.shape[1:])
    return images.reshape(-1, *images.shape[2:]), labels.reshape(-1)


def _passes(task: Task, recipe: Recipe | None, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the training split again and again, each time in another order and with new distortions."""
    shape, positions, epoch = task.images.shape[1:], np.arange(len(task.labels)), 0
    engine = choose_engine("auto", recipe, shape) if recipe else None
    while True:
        order = rng.permutation(positions)
        images = task.images[order]
        if recipe and engine:
            drawn = partial(draw_positions, recipe, shape, f"search/{task.seed}", epoch)
            images = distort_checked(images, positions, recipe, drawn, engine).images
        yield images, task.labels[order]
        epoch += 1


def accuracy(imported: Path, name: str, seed: int) -> float:
    """Return the accuracy of the network after its last step, on the writers that were held out."""
    import keras

    from epochbank.train.training.models import compile_model

    task, recipe = task_of(open_source_file(imported), seed), recipe_named(name)
    images, labels = training_data(task, recipe and scaled(recipe, SIDE))
    keras.utils.set_random_seed(seed)
    model = _network(images.shape[1:], task.classes)
    compile_model(model, "logits", learning_rate=LEARNING_RATE, steps=STEPS)
    model.fit(images, labels, batch_size=BATCH, shuffle=False, verbose=0)
    seen, right = task.validation
    return float((model.predict(seen, batch_size=256, verbose=0).argmax(1) == right).mean())


def _network(shape: tuple[int, ...], classes: int) -> Any:
    """Build three convolutions and a dense layer."""
    import keras
    from keras import layers

    def normalized(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))

    convolution = partial(layers.Conv2D, padding="same", use_bias=False, kernel_initializer="he_normal")
    inputs = keras.Input(shape, dtype="uint8")
    x = normalized(convolution(16, 5, 2)(layers.Rescaling(1 / 255)(inputs)))
    for width in (32, 64, 128):
        x = layers.MaxPooling2D(padding="same")(normalized(convolution(width, 3)(x)))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = normalized(layers.Dense(256, use_bias=False, kernel_initializer="he_normal")(x))
    return keras.Model(inputs, layers.Dense(classes)(layers.Dropout(0.3)(x)))


def _one_thread() -> None:
    """Use one thread in each worker: two runs at once are faster than one after the other with two threads."""
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3")


class Results:
    """The measurements so far, in a JSON file that is rewritten after each run."""

    def __init__(self, path: Path, source: SourceFile):
        self.path = path
        task = task_of(source, 0)
        proxy = {
            "source": source.digest,
            "side": SIDE,
            "classes": task.classes,
            "training_images": len(task.labels),
            "validation_images": len(task.validation[1]),
            "steps": STEPS,
            "batch_size": BATCH,
            "learning_rate": LEARNING_RATE,
            "parameters_of_seed_0": _network(task.images.shape[1:], task.classes).count_params(),
        }
        self.document = {"machine": machine(), "task": proxy, "candidates": {}}
        if path.exists():
            before = json.loads(path.read_text())
            if before["task"] != proxy:
                raise click.ClickException(
                    f"{path} belongs to another task, {before['task']}; expected {proxy}. Move the file away."
                )
            self.document["candidates"] = before["candidates"]

    def of(self, name: str) -> dict[int, float]:
        """Return the accuracy by seed; empty if the recipe has changed since."""
        found = self.document["candidates"].get(name, {})
        return (
            {int(seed): one for seed, one in found.get("accuracy", {}).items()}
            if found.get("recipe") == _settings(name)
            else {}
        )

    def add(self, name: str, round_: str, seed: int, figure: float) -> None:
        """Add a measurement and write the file."""
        accuracies = self.of(name) | {seed: figure}
        self.document["candidates"][name] = {
            "round": round_,
            "recipe": _settings(name),
            "accuracy": {str(at): accuracies[at] for at in sorted(accuracies)},
        }
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.document, indent=1) + "\n")
        temporary.replace(self.path)


def _settings(name: str) -> Any:
    """Return the settings of a recipe for 64 x 64, as they are after a round trip through JSON."""
    recipe = recipe_named(name)
    return recipe and json.loads(json.dumps(recipe.settings()))


def table(found: dict[str, dict[int, float]], against: str) -> list[str]:
    """Return the printed table: the accuracy of each recipe by seed, and its difference from `against`, in points."""
    common = sorted(set.intersection(*(set(accuracies) for accuracies in found.values())))
    longest, seeds = max(map(len, found)), " and ".join(map(str, common))
    lines = [f"{'':{longest}} mean of seeds {seeds}   above {against}   each seed"]
    for name, accuracies in found.items():
        mean = 100 * statistics.mean(accuracies[seed] for seed in common) if common else float("nan")
        each = " ".join(f"{100 * accuracies[seed]:.2f}" for seed in sorted(accuracies))
        above = _above(accuracies, found.get(against, {})) if name != against else ""
        lines.append(f"{name:{longest}} {mean:{14 + len(seeds)}.2f} {above:>{8 + len(against)}}   {each}")
    if len(found) > 1 and len(common) > 1:
        lines.append(f"\nspread of one run: {spread(found, common):.2f} points")
    return lines


def _above(one: dict[int, float], other: dict[int, float]) -> str:
    """Return mean and standard error of the differences, in points, over common seeds; empty for fewer than two."""
    differences = [100 * (one[seed] - other[seed]) for seed in sorted(one.keys() & other.keys())]
    if len(differences) < 2:
        return ""
    error = statistics.stdev(differences) / sqrt(len(differences))
    return f"{statistics.mean(differences):+.2f} +- {error:.2f}"


def spread(found: dict[str, dict[int, float]], seeds: list[int]) -> float:
    """Return the standard deviation, in points, that neither the recipe nor the seed explains."""
    figures = 100 * np.array([[accuracies[seed] for seed in seeds] for accuracies in found.values()])
    residual = figures - figures.mean(0) - figures.mean(1, keepdims=True) + figures.mean()
    recipes, trainings = residual.shape
    return float(np.sqrt((residual**2).sum() / ((recipes - 1) * (trainings - 1))))


@click.command()
@click.option("--seeds", default=2, type=click.IntRange(1, 4), help="Minimum number of training runs of each recipe.")
@click.option("--only", multiple=True, help="Measure only these recipes.")
@click.option("--against", default="affine 15", show_default=True, help="The recipe that the others are compared with.")
@click.option(
    "--jobs", default=2, type=click.IntRange(min=1), help="Number of training runs at a time, with one thread each."
)
@click.option("--json", "path", default=RESULTS, type=click.Path(path_type=Path, dir_okay=False), show_default=True)
@click.option("--source", default=OMNIGLOT, type=click.Path(path_type=Path, exists=True), help="Omniglot.")
def main(seeds: int, only: tuple[str, ...], against: str, jobs: int, path: Path, source: Path) -> None:
    """Measure the recipes that are not in the JSON file yet; then print all."""
    wanted = [(round_, name) for round_, names in ROUNDS.items() for name in names if not only or name in only]
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        imported = Path(folder) / "omniglot.h5"
        found = open_source(str(source), SourceOptions(WRITER))
        import_source(found, imported, ImportOptions(size=(SIDE, SIDE)), jobs, quiet=True)
        results = Results(path, open_source_file(imported))
        missing = [
            (round_, name, seed) for round_, name in wanted for seed in range(seeds) if seed not in results.of(name)
        ]
        with ProcessPoolExecutor(jobs, get_context("spawn"), _one_thread) as pool:
            tasks = {
                pool.submit(accuracy, imported, name, seed): (round_, name, seed) for round_, name, seed in missing
            }
            try:
                for number, done in enumerate(as_completed(tasks), 1):
                    round_, name, seed = tasks[done]
                    results.add(name, round_, seed, done.result())
                    click.echo(f"{number} of {len(tasks)}: {name}, seed {seed}: {100 * done.result():.2f} %")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    measured = {name: results.of(name) for _, name in wanted if results.of(name)}
    if measured:
        click.echo("\n" + "\n".join(table(measured, against)))


if __name__ == "__main__":
    main()
