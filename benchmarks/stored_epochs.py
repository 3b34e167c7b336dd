"""How many stored epochs suffice: accuracy for 1, 2, 4, 8 and 16 stored epochs and for fresh distortion.

    python benchmarks/stored_epochs.py              # the curves of docs/results.md; an interrupted run is continued
    python benchmarks/stored_epochs.py --only digits --seeds 1 --out /tmp/mine --json /tmp/mine.json

Three data sets, each at 32 x 32 with `handwriting` and `cnn-small`, 30 training epochs, half originals, by `train
study`: every number is trained with and without final augmentation, in equal numbers of steps; 0 stands for originals
only.

- omniglot: every sixth class of Omniglot (271), split by writer; left out if ../shared/data is missing.
- fonts: 148 characters in twelve fonts for training and in four of another family for the test (`font_images.py`).
- digits: scikit-learn's, 10 classes. 180 images for training, 179 for validation, 1,438 for the test.

Each data set is studied on one core. Results go into --json, one entry for each data set, and all of its entries are
drawn into --chart; the table is printed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure

import checkout  # noqa: F401
from epochbank.train.study.plot import plot_rows
from epochbank.train.study.results import Row
from font_images import write_font_images
from machine import machine
from on_cores import OMNIGLOT, WRITER, command, on_each_core, part_of_omniglot

RESULTS = Path(__file__).parent / "results/stored_epochs.json"
CHART = Path(__file__).parents[1] / "docs/stored-epochs.png"
SIDE, EPOCHS = 32, 30


@dataclass(frozen=True)
class DataSet:
    """A data set of the benchmark."""

    source: Callable[[Path], str]
    """Writes the source into a directory unless it is there; returns the SOURCE of `augment run`."""
    splits: list[str]
    """Further options of `augment run`."""
    batch_size: int


def _fonts(directory: Path) -> str:
    images = directory / "images" / "fonts"
    if not images.exists():
        write_font_images(images.with_suffix(".partial"), SIDE)
        images.with_suffix(".partial").rename(images)
    return str(images)


DATA_SETS = {
    "omniglot": DataSet(lambda directory: str(part_of_omniglot(directory, 6)), ["--group-pattern", WRITER], 128),
    "fonts": DataSet(_fonts, ["--validation", "0"], 128),
    "digits": DataSet(lambda _: "digits:", ["--validation", "0.1", "--test", "0.8"], 32),
}
"""In order of duration, the longest first."""


def study(name: str, out: Path, final: str, seeds: int) -> dict[str, Any]:
    """Generate the set of a data set, study it, and return the results of `train study`, with the facts of the set."""
    data = DATA_SETS[name]
    options = ["--recipe", "handwriting", "--size", f"{SIDE}x{SIDE}", "--epochs", "1", "--print-path"]
    path = command("augment", "run", data.source(out), *options, *data.splits, cwd=out).strip()
    options = ["--final", final, "--epochs-stored", "0,1,2,4,8,16", "--epochs", str(EPOCHS), "--seeds", str(seeds)]
    options += ["--batch-size", str(data.batch_size), "--threads", "1", "--jobs", "1", "--out", name, "--json"]
    found: dict[str, Any] = json.loads(command("train", "study", path, *options, cwd=out))
    facts = json.loads(command("augment", "info", path, "--json", cwd=out))
    images = {split: facts["images"][split] for split in ("train", "validation", "test")}
    seconds = sum(json.loads(run.read_text())["seconds"] for run in (out / name).glob("*/summary.json"))
    return {**found, "classes": facts["classes"], "images": images, "minutes": seconds / 60, "machine": machine()}


def tables(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = []
    for name, found in results.items():
        lines += [
            f"**{name}**: {found['verdict']}",
            "",
            "| stored epochs | alone | with final augmentation |",
            "|---|---|---|",
        ]
        rows = {(row["stored_epochs"], row["final"]): row for row in found["rows"]}
        for stored in sorted({stored for stored, _ in rows}):
            label = {0: "originals only", found["training_epochs"]: "fresh"}.get(stored, str(stored))
            lines.append(f"| {label} | {_cell(rows[stored, False])} | {_cell(rows[stored, True])} |")
        lines.append("")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    plus_minus = "" if row["standard_error"] is None else f" ± {100 * row['standard_error']:.2f}"
    return f"{100 * row['mean']:.2f}{plus_minus} %"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw a panel for each data set: accuracy by number of stored epochs, with 95 % confidence intervals."""
    figure = Figure((4.2 * len(results), 4), layout="constrained")
    for axes, (name, found) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        rows = [
            Row(row["stored_epochs"], row["final"], {int(seed): value for seed, value in row["accuracy"].items()})
            for row in found["rows"]
        ]
        plot_rows(axes, rows, found["training_epochs"])
        axes.set_title(
            f"{name}: {found['classes']:,} classes, {found['images']['train']:,} images", loc="left", size=10
        )
    figure.axes[0].set_ylabel("accuracy on the test split (%)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120, facecolor="white")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(DATA_SETS)), help="Data sets; the default is all.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Trainings of each number.")
@click.option("--final", default="characters", show_default=True, help="Final augmentation: a name or a file.")
@click.option(
    "--out", default="stored-epochs", show_default=True, type=click.Path(path_type=Path), help="Sets and runs."
)
@click.option(
    "--json", "json_path", default=RESULTS, show_default=True, type=click.Path(path_type=Path),
    help="JSON file for the results; other entries are kept.",
)  # fmt: skip
@click.option("--chart", type=click.Path(path_type=Path), help="PNG file  [default: that of docs/, or beside --json]")
def main(only: tuple[str, ...], seeds: int, final: str, out: Path, json_path: Path, chart: Path | None) -> None:
    """Study the data sets, and write the results and the chart."""
    names = [name for name in DATA_SETS if name in (only or DATA_SETS)]
    if "omniglot" in names and not OMNIGLOT.exists():
        names.remove("omniglot")
        click.echo(f"there is no {OMNIGLOT}, so Omniglot is left out", err=True)
    if not names:
        raise click.ClickException("no data set is left.")
    final = str(Path(final).resolve()) if Path(final).is_file() else final
    chart = chart or (CHART if json_path == RESULTS else json_path.with_suffix(".png"))
    out = out.resolve()
    for directory in (out, json_path.parent, chart.parent):
        directory.mkdir(parents=True, exist_ok=True)
    found = dict(zip(names, on_each_core(lambda name: study(name, out, final, seeds), names), strict=True))
    merged = {**(json.loads(json_path.read_text()) if json_path.exists() else {}), **found}
    results = {name: merged[name] for name in DATA_SETS if name in merged}
    json_path.write_text(json.dumps(results, indent=1) + "\n")
    draw(results, chart)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
