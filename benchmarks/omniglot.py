"""What each part of augmentation is worth on Omniglot: accuracy on people whose handwriting is not in the training set.

    python benchmarks/omniglot.py                   # 406 classes at 32 x 32: each part alone, three seeds
    python benchmarks/omniglot.py --classes 1623    # all classes at 64 x 64, without and with all that helped
    python benchmarks/omniglot.py --only MixUp --seeds 1 --out /tmp/mine

Of 16 people, twelve are in the training set, two in the validation split and two in the test split. All trainings have
equal numbers of steps of 128 images: 912 for every fourth class, 3,660 for all. They are computed in mixed_bfloat16, on
one core each. Each part is added to `handwriting`, which shows a new stored epoch in each training epoch. Finished
trainings in --out are not repeated, and an interrupted one is continued.
"""

import json
import time
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
import keras
from keras import layers

from machine import machine
from on_cores import OMNIGLOT, WRITERS, command, on_each_core, part_of_omniglot

RESULTS = Path(__file__).parent / "results/omniglot.json"
BATCH, EPOCHS = 128, 12
TEACHER = "handwriting"

ORIGINALS = ["--originals", "1", "--epochs", str(2 * EPOCHS)]
HALF = ["--originals", "0.5", "--epochs", str(EPOCHS)]
PARTS: dict[str, list[str]] = {
    "cnn before, originals only": ["--model", "omniglot:earlier_cnn", *ORIGINALS],
    "cnn before, handwriting": ["--model", "omniglot:earlier_cnn", *HALF],
    "originals only": ORIGINALS,
    "handwriting": HALF,
    "fewer originals": ["--originals", "0.3", "--epochs", "17"],
    "final": [*HALF, "--final", "characters"],
    "MixUp": [*HALF, "--mixup", "0.2"],
    "CutMix": [*HALF, "--cutmix", "0.5"],
    "label smoothing": [*HALF, "--label-smoothing", "0.1"],
    "finish on originals": [*HALF, "--finish-on-originals", "2"],
    "teacher": [*HALF, "--teacher", TEACHER, "--distill", "0.5:2"],
}
"""Options of `train fit` for each part. An epoch of half originals has twice the steps of one of originals only."""


def earlier_cnn(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the earlier `cnn`, four convolutions and a dense layer, which a residual network replaced."""
    inputs = keras.Input(shape, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for width, kernel, stride in ((32, 5, 2), (64, 3, 1), (128, 3, 1), (256, 3, 1)):
        x = layers.Conv2D(width, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
        if stride == 1:
            x = layers.MaxPooling2D(padding="same")(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(512, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.Dropout(0.3)(layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x)))
    return keras.Model(inputs, layers.Dense(classes, dtype="float32")(x), name="earlier-cnn")


@dataclass(frozen=True)
class Training:
    """One training."""

    part: str
    seed: int

    @property
    def run(self) -> str:
        """Name of the run directory."""
        return f"{self.part.replace(', ', '-').replace(' ', '-')}-{self.seed}"


def train(one: Training, stored_set: str, out: Path, core: int) -> dict[str, Any]:
    """Train, unless it is done; return accuracies, 0 to 1, and minutes."""
    run, minutes = out / one.run, out / f"{one.run}.minutes"
    if not (run / "summary.json").exists():
        started = time.monotonic()
        common = ["--model", "cnn", "--batch-size", str(BATCH), "--precision", "mixed_bfloat16", "--patience", "0"]
        words = [stored_set, *common, *PARTS[one.part], "--threads", "1", "--seed", str(one.seed), "--run", one.run]
        if (run / "config.json").exists():
            words = ["--resume", one.run, "--trust"]
        command("train", "fit", *words, core=core, cwd=out)
        minutes.write_text(f"{(time.monotonic() - started) / 60:.1f}")
    found = json.loads((run / "summary.json").read_text())
    accuracy = {split: found[split]["accuracy"] for split in ("validation", "test")}
    return {**accuracy, "minutes": float(minutes.read_text())}


def row(part: str, found: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the results of all seeds of a part: error rates in percent, with their standard errors."""
    values: dict[str, Any] = {"part": part, "seeds": found}
    for split in ("test", "validation"):
        errors = [100 * (1 - one[split]) for one in found.values()]
        values[split] = mean(errors)
        values[f"{split} standard error"] = stdev(errors) / sqrt(len(errors)) if len(errors) > 1 else None
    return values


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as Markdown."""
    lines = ["| | error, test | error, validation | seeds | minutes |", "|---|---|---|---|---|"]
    for one in rows:
        cells = [
            f"{one[split]:.2f}{'' if (error := one[f'{split} standard error']) is None else f' ± {error:.2f}'} %"
            for split in ("test", "validation")
        ]
        minutes = mean(found["minutes"] for found in one["seeds"].values())
        lines.append(f"| {one['part']} | {' | '.join(cells)} | {len(one['seeds'])} | {minutes:.0f} |")
    return "\n".join(lines)


@click.command()
@click.option(
    "--classes", type=click.Choice(["406", "1623"]), default="406", show_default=True, help="Number of classes."
)
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Parts; the default is all.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Trainings of each part.")
@click.option(
    "--out", default="omniglot", show_default=True, type=click.Path(path_type=Path), help="Directory for sets and runs."
)
@click.option(
    "--json", "json_path", default=RESULTS, type=click.Path(path_type=Path), help="The results; others in it stay."
)
def main(classes: str, only: tuple[str, ...], seeds: int, out: Path, json_path: Path) -> None:
    """Train on Omniglot with each part, and write the accuracies."""
    if not OMNIGLOT.exists():
        raise click.ClickException(f"{OMNIGLOT} is missing; it has the images.")
    out = (out / classes).resolve()
    out.mkdir(parents=True, exist_ok=True)
    source, side = (OMNIGLOT, 64) if classes == "1623" else (part_of_omniglot(out, 4), 32)
    options = ["--recipe", "handwriting", "--size", f"{side}x{side}", "--epochs", "17", "--group-pattern", WRITERS]
    stored_set = command("augment", "run", str(source), *options, "--print-path", core=0, cwd=out).strip()
    parts = [part for part in PARTS if part in (only or PARTS)]
    results: dict[str, dict[int, dict[str, Any]]] = {part: {} for part in parts}

    def on_a_core(one: Training, core: int) -> None:
        results[one.part][one.seed] = train(one, stored_set, out, core)

    # Seed by seed, so that there are results for all parts early.
    trainings = [Training(part, seed) for seed in range(seeds) for part in parts]
    on_each_core(on_a_core, [one for one in trainings if one.part != "teacher"])
    if "teacher" in parts:
        labels = ["--model", Training("handwriting", 0).run, "--name", TEACHER]
        command("augment", "teach", stored_set, *labels, core=0, cwd=out)
        on_each_core(on_a_core, [one for one in trainings if one.part == "teacher"])
    rows = [row(part, dict(sorted(results[part].items()))) for part in parts]
    before = json.loads(json_path.read_text()) if json_path.exists() else {}
    kept = [one for one in before.get(classes, []) if one["part"] not in parts]
    json_path.write_text(json.dumps({**before, "machine": machine(), classes: [*kept, *rows]}, indent=1) + "\n")
    click.echo(table(rows))


if __name__ == "__main__":
    main()
