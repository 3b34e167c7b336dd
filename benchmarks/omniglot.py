"""What each part of augmentation is worth on Omniglot: error rates on writers that are not in the training set.

    python benchmarks/omniglot.py                   # 406 classes at 32 x 32: each part alone, three seeds
    python benchmarks/omniglot.py --classes 1623    # all classes at 64 x 64: without augmentation, and with what helped
    python benchmarks/omniglot.py --only MixUp --seeds 1 --out /tmp/mine --json /tmp/mine.json
    python benchmarks/omniglot.py --precision float32    # on a processor without instructions for bfloat16

Of 16 writers, twelve are in the training set, two in the validation split and two in the test split. All trainings
have nearly equal numbers of steps of 128 images: about 930 for every fourth class, about 11,000 for all. They are
computed in mixed_bfloat16, each on one core. A processor without instructions for bfloat16 emulates it, which takes
several times as long as float32. Each part is added to `handwriting`, which shows a new stored epoch in each training
epoch, and half originals; with all classes, each of 17 stored epochs is shown two or three times. The model that `train
fit` keeps is that of the epoch with the highest validation accuracy. Finished trainings in --out are not repeated, and
an interrupted one is continued.
"""

import csv
import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click

from machine import machine
from on_cores import OMNIGLOT, WRITER, command, on_each_core, part_of_omniglot

RESULTS = Path(__file__).parent / "results/omniglot.json"
HANDWRITING = ("handwriting", 17)
BATCH, EPOCHS = 128, {"406": 12, "1623": 36}
"""Images per batch; training epochs with half originals by number of classes."""
TEACHERS = {
    "teacher": "handwriting",
    "what helped, teacher": "what helped",
    "what helped, teacher, finish on originals": "what helped",
}
"""Part whose model of the same seed is the teacher."""
ERRORS = ("test", "validation")
RECIPES = {
    f"{name} recipe": (str(Path(__file__).with_name(f"{name}.toml")), 50) for name in ("stronger", "perspective")
}
"""Recipe and number of stored epochs of parts that do not have `handwriting` with 17 stored epochs."""
OF_ALL_CLASSES = (
    "originals only",
    "what helped",
    "what helped, finish on originals",
    "what helped, teacher, finish on originals",
    *RECIPES,
    "earlier cnn, originals only",
)


def parts(epochs: int) -> dict[str, list[str]]:
    """Return the options of `train fit` for each part; `epochs` is the number of training epochs with half originals.

    Such an epoch has twice the steps of one of originals only.
    """
    earlier = ["--model", "omniglot:earlier_cnn"]
    originals = ["--originals", "1", "--epochs", str(2 * epochs)]
    half = ["--originals", "0.5", "--epochs", str(epochs)]
    number = round(1.4 * epochs)
    last = round(0.16 * number)
    fewer = ["--originals", "0.3", "--epochs", str(number)]
    cheap = ["--final", "characters", "--label-smoothing", "0.1"]
    helped = [*fewer, *cheap]
    finish = ["--epochs", str(round(number + 0.3 * last)), "--finish-on-originals", str(last)]
    finished = ["--originals", "0.3", *finish, *cheap]
    distill = ["--distill", "0.7:1"]
    return {
        "earlier cnn, originals only": [*earlier, *originals],
        "what helped": helped,
        "what helped, teacher": [*helped, *distill],
        "what helped, finish on originals": finished,
        "what helped, teacher, finish on originals": [*finished, *distill],
        **dict.fromkeys(RECIPES, helped),
        "originals only": originals,
        "earlier cnn, handwriting": [*earlier, *half],
        "handwriting": half,
        "fewer originals": fewer,
        "final": [*half, "--final", "characters"],
        "MixUp": [*half, "--mixup", "0.2"],
        "CutMix": [*half, "--cutmix", "0.5"],
        "label smoothing": [*half, "--label-smoothing", "0.1"],
        "finish on originals": ["--originals", "0.5", "--epochs", str(epochs + 1), "--finish-on-originals", "2"],
        "teacher": [*half, "--distill", "0.5:2"],
    }


PARTS = {classes: parts(epochs) for classes, epochs in EPOCHS.items()}


def earlier_cnn(shape: tuple[int, int, int], classes: int) -> Any:
    """Build the earlier `cnn`, four convolutions and a dense layer, which a residual network replaced."""
    import keras
    from keras import layers

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

    @property
    def teacher(self) -> "Training | None":
        """The training whose model is the teacher."""
        return Training(TEACHERS[self.part], self.seed) if self.part in TEACHERS else None


def train(one: Training, options: list[str], stored_set: str, precision: str, out: Path) -> dict[str, Any]:
    """Train with `options`, unless it is done; return the error rates in percent, and minutes of training.

    `another_alphabet` is the part of the error in the test that `taken_for_another_alphabet` counts.
    """
    run = out / one.run
    if not (run / "summary.json").exists():
        common = ["--model", "cnn", "--batch-size", str(BATCH), "--precision", precision, "--patience", "0"]
        words = [stored_set, *common, *options, "--threads", "1", "--seed", str(one.seed), "--run", one.run]
        if one.teacher is not None:
            words += ["--teacher", one.teacher.run]
        if (run / "config.json").exists():
            words = ["--resume", one.run, "--trust"]
        command("train", "fit", *words, cwd=out)
    found = json.loads((run / "summary.json").read_text())
    errors = {split: 100 * (1 - found[split]["accuracy"]) for split in ERRORS}
    other = 100 * taken_for_another_alphabet(run / "mistakes.csv") / found["test"]["images"]
    return {**errors, "another_alphabet": other, "minutes": found["seconds"] / 60, "precision": precision}


def taken_for_another_alphabet(mistakes: Path) -> int:
    """Return how many mistakes in the test confuse characters of different alphabets, which may have the same shape."""
    with open(mistakes, newline="", encoding="utf-8") as file:
        pairs = [(Path(row["class"]).parent, Path(row["predicted"]).parent) for row in csv.DictReader(file)]
    return sum(true != predicted for true, predicted in pairs)


def table(rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return the results of each part by seed as Markdown: means with their standard errors."""
    heads = [*(f"error, {one}" for one in ERRORS), "of the test: another alphabet", "seeds", "minutes"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for part, found in rows.items():
        cells = [_mean_and_error([one[split] for one in found.values()]) for split in ERRORS]
        known = [one["another_alphabet"] for one in found.values() if "another_alphabet" in one]
        cells.append(_mean_and_error(known) if known else "")
        minutes = mean(one["minutes"] for one in found.values())
        lines.append(f"| {part} | {' | '.join(cells)} | {len(found)} | {minutes:.0f} |")
    return "\n".join(lines)


def _mean_and_error(values: list[float]) -> str:
    error = f" ± {stdev(values) / sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{error} %"


@click.command()
@click.option(
    "--classes", type=click.Choice(["406", "1623"]), default="406", show_default=True, help="Number of classes."
)
@click.option("--only", multiple=True, type=click.Choice(list(PARTS["406"])), help="Train only these parts.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Number of trainings of each part.")
@click.option("--first-seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the first of them.")
@click.option(
    "--precision", type=click.Choice(["mixed_bfloat16", "float32"]), default="mixed_bfloat16", show_default=True,
    help="Precision of the trainings; results of both are comparable only approximately.",
)  # fmt: skip
@click.option("--out", default="omniglot", show_default=True, type=click.Path(path_type=Path), help="Sets and runs.")
@click.option(
    "--json", "json_path", default=RESULTS, show_default=True, type=click.Path(path_type=Path),
    help="JSON file for the results; other parts and seeds are kept.",
)  # fmt: skip
def main(
    classes: str, only: tuple[str, ...], seeds: int, first_seed: int, precision: str, out: Path, json_path: Path
) -> None:
    """Train on Omniglot with each part, and write the error rates."""
    if not OMNIGLOT.exists():
        raise click.ClickException(f"there is no {OMNIGLOT}; expected the archive of Omniglot.")
    json_path.parent.mkdir(parents=True, exist_ok=True)
    out = (out / classes).resolve()
    out.mkdir(parents=True, exist_ok=True)
    source, side = (OMNIGLOT, 64) if classes == "1623" else (part_of_omniglot(out, 4), 32)
    options_of = PARTS[classes]
    wanted = only or (OF_ALL_CLASSES if classes == "1623" else tuple(set(options_of) - set(RECIPES)))
    sets: dict[tuple[str, int], str] = {}
    for recipe, epochs in {RECIPES.get(part, HANDWRITING) for part in wanted}:
        options = ["--recipe", recipe, "--size", f"{side}x{side}", "--epochs", str(epochs), "--group-pattern", WRITER]
        sets[recipe, epochs] = command("augment", "run", str(source), *options, "--print-path", cwd=out).strip()

    def set_of(part: str) -> str:
        return sets[RECIPES.get(part, HANDWRITING)]

    # Seed by seed, so that there are results for all parts early.
    trainings = [
        Training(part, seed) for seed in range(first_seed, first_seed + seeds) for part in options_of if part in wanted
    ]
    teachers = {one: one.teacher for one in trainings if one.teacher is not None}

    def train_each(trainings: list[Training]) -> dict[Training, dict[str, Any]]:
        def trained(one: Training) -> dict[str, Any]:
            return train(one, options_of[one.part], set_of(one.part), precision, out)

        return dict(zip(trainings, on_each_core(trained, trainings), strict=True))

    others = [one for one in trainings if one not in teachers]
    results = train_each(list(dict.fromkeys([*others, *teachers.values()])))
    for one, teacher in teachers.items():
        command("augment", "teach", set_of(one.part), "--model", teacher.run, "--name", teacher.run, cwd=out)
    results |= train_each(list(teachers))
    rows = {
        part: {str(one.seed): results[one] for one in trainings if one.part == part}
        for part in options_of
        if part in wanted
    }
    before = json.loads(json_path.read_text()) if json_path.exists() else {}
    known = before.get(classes, {}).get("parts", {})
    merged = {part: {**known.get(part, {}), **rows.get(part, {})} for part in {**known, **rows}}
    found = {"machine": machine(), "parts": {part: merged[part] for part in options_of if part in merged}}
    json_path.write_text(json.dumps({**before, classes: found}, indent=1) + "\n")
    click.echo(table(found["parts"]))


if __name__ == "__main__":
    main()
