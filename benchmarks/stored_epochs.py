"""How many stored epochs suffice: accuracy for 1, 2, 4, 8 and 16 stored epochs and for fresh distortion.

    python benchmarks/stored_epochs.py                      # all of docs/results.md; an interrupted run is continued
    python benchmarks/stored_epochs.py --only digits --seeds 1
    python benchmarks/stored_epochs.py --final mine.toml --out /tmp/mine

Three data sets, each at 32 x 32 with `handwriting` and `cnn-small`, 30 training epochs, half originals, by `train
study`: every number is trained with and without final augmentation, in equal numbers of steps; 0 stands for originals
only.

- digits: scikit-learn's, 10 classes. 180 images for training, 1,438 for the test.
- omniglot: every sixth class of Omniglot (271), split by the people who drew. Only where ../shared/data is.
- fonts: 148 letters in twelve fonts for training and in four of another family for the test (`font_images.py`).

Each data set is studied on a core of its own. The results go into --json, one entry for each data set, and are drawn
into --chart; the table is printed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from font_images import write_font_images
from machine import machine
from on_cores import OMNIGLOT, WRITERS, command, on_each_core, part_of_omniglot

RESULTS = Path(__file__).parent / "results/stored_epochs.json"
CHART = Path(__file__).parents[1] / "docs/stored-epochs.png"
SIDE, EPOCHS = 32, 30
BLUE, ORANGE, GRAY = "#2a6f97", "#d1603d", "#777777"


@dataclass(frozen=True)
class DataSet:
    """A data set of the benchmark."""

    source: Callable[[Path], str]
    """Writes the source into a directory, if it must, and returns what `augment run` is given."""
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
    "omniglot": DataSet(lambda directory: str(part_of_omniglot(directory, 6)), ["--group-pattern", WRITERS], 128),
    "fonts": DataSet(_fonts, ["--validation", "0"], 128),
    "digits": DataSet(lambda _: "digits", ["--validation", "0.1", "--test", "0.8"], 32),
}
"""The longest first."""


def study(name: str, out: Path, final: str, seeds: int, core: int) -> dict[str, Any]:
    """Generate the set of a data set, study it, and return the results of `train study`, with the facts of the set."""
    data = DATA_SETS[name]
    started = time.monotonic()
    options = ["--recipe", "handwriting", "--size", f"{SIDE}x{SIDE}", "--epochs", "1", "--print-path"]
    path = command("augment", "run", data.source(out), *options, *data.splits, core=core, cwd=out).strip()
    options = ["--final", final, "--epochs-stored", "0,1,2,4,8,16", "--epochs", str(EPOCHS), "--seeds", str(seeds)]
    options += ["--batch-size", str(data.batch_size), "--threads", "1", "--jobs", "1", "--out", name, "--json"]
    found: dict[str, Any] = json.loads(command("train", "study", path, *options, core=core, cwd=out))
    facts = json.loads(command("augment", "info", path, "--json", core=core, cwd=out))
    images = {split: facts["images"][split] for split in ("train", "validation", "test")}
    return {**found, "classes": facts["classes"], "images": images, "minutes": (time.monotonic() - started) / 60}


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
    figure = Figure((4 * len(results), 3.8), layout="constrained")
    for axes, (name, found) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        fresh = found["training_epochs"]
        for final, color, label in ((False, BLUE, "stored epochs alone"), (True, ORANGE, "with final augmentation")):
            rows = [row for row in found["rows"] if row["final"] == final and row["stored_epochs"]]
            x, y = [row["stored_epochs"] for row in rows], [100 * row["mean"] for row in rows]
            margin = [100 * (row["interval_95"] or 0) for row in rows]
            axes.errorbar(x, y, margin, fmt="o-", color=color, ms=4, lw=1.5, capsize=2, label=label)
            originals = next(row["mean"] for row in found["rows"] if row["final"] == final and not row["stored_epochs"])
            axes.axhline(100 * originals, color=color, ls=":", lw=1, label=f"originals only, {label.split()[0]}")
        numbers = sorted({row["stored_epochs"] for row in found["rows"]} - {0})
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, [f"{number}\nfresh" if number == fresh else str(number) for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(
            f"{name}: {found['classes']:,} classes, {found['images']['train']:,} images", loc="left", size=10
        )
        axes.set_xlabel("stored epochs")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("test accuracy (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=120, facecolor="white")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(DATA_SETS)), help="Data sets; the default is all.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Trainings of each number.")
@click.option("--final", default="characters", show_default=True, help="Final augmentation: a name or a file.")
@click.option(
    "--out",
    default="stored-epochs",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Directory for sets and runs.",
)
@click.option(
    "--json", "json_path", default=RESULTS, type=click.Path(path_type=Path), help="The results; others in it stay."
)
@click.option("--chart", default=CHART, type=click.Path(path_type=Path), help="The chart of all results.")
def main(only: tuple[str, ...], seeds: int, final: str, out: Path, json_path: Path, chart: Path) -> None:
    """Study the data sets, and write the results and the chart."""
    names = [name for name in DATA_SETS if name in (only or DATA_SETS)]
    if "omniglot" in names and not OMNIGLOT.exists():
        names.remove("omniglot")
        click.echo(f"{OMNIGLOT} is missing, so Omniglot is left out.", err=True)
    final = str(Path(final).resolve()) if Path(final).is_file() else final
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found = dict(zip(names, on_each_core(lambda name, core: study(name, out, final, seeds, core), names), strict=True))
    before = json.loads(json_path.read_text())["results"] if json_path.exists() else {}
    results = {name: {**before, **found}[name] for name in DATA_SETS if name in {**before, **found}}
    json_path.write_text(json.dumps({"machine": machine(), "seeds": seeds, "results": results}, indent=1) + "\n")
    draw(results, chart)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
