"""The report of a training run: learning curves, the mistakes, the most confused classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ...augment.shared.atomic import new_file
from ...augment.shared.html.charts import BLACK, BLUE, GRAY, ORANGE
from .evaluate import Evaluation
from .history import best_epoch
from .mistakes import Origins, mistakes_sheet, write_mistakes
from .plot_text import class_text

_CONFUSED_CLASSES = 20
_DECADE = 8
"""The loss has a logarithmic axis if its largest value is at least this many times the smallest."""


def write_report(
    directory: Path,
    history: Mapping[str, Sequence[float]],
    result: Evaluation | None,
    split: str,
    names: list[str],
    origins: Origins,
) -> list[Path]:
    """Write the plots (PNG) and the table of mistakes (CSV) to `directory` and return their paths.

    `result` is the evaluation on `split`, None if there is no held-out split; `names` are the class names; `origins`
    finds the origins of its images. Without a mistake there is no picture of mistakes.
    """
    figures = {"learning-curves.png": learning_curves(history)}
    if result is not None and result.confusions:
        figures["mistakes.png"] = mistakes_sheet(result, split, names, origins)
        figures["confusions.png"] = confusions(result, split, names)
    for name, figure in figures.items():
        with new_file(directory / name) as temporary:
            figure.savefig(temporary, dpi=120, facecolor="white", bbox_inches="tight", pad_inches=0.15)
    paths = [directory / name for name in figures]
    if result is not None:
        table = directory / "mistakes.csv"
        write_mistakes(table, result, names, origins)
        paths.insert(2, table)
    return paths


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plot loss and accuracy of training and validation by epoch, with the best epoch marked."""
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history["loss"]) + 1)
    validated = "val_loss" in history
    rows = [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]
    best = best_epoch(rows)
    # One epoch is a point, not a line.
    style = {"marker": "o" if len(epochs) < 30 else None, "ms": 8 if len(epochs) == 1 else 3}
    for axes, key, title in ((left, "loss", "Loss (cross-entropy, nats)"), (right, "accuracy", "Accuracy (%)")):
        unit = 100 if key == "accuracy" else 1
        axes.plot(epochs, unit * np.asarray(history[key]), color=BLUE, label="training", **style)
        if validated:
            axes.plot(epochs, unit * np.asarray(history[f"val_{key}"]), color=ORANGE, label="validation", **style)
        if best is not None:
            axes.axvline(best + 1, color=GRAY, lw=1, ls=":", label=f"best epoch: {best + 1}", zorder=0)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_xlim(1 - max(0.5, 0.03 * len(epochs)), len(epochs) + max(0.5, 0.03 * len(epochs)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.25)
    _scale_loss(left, [*history["loss"], *history.get("val_loss", [])])
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _scale_loss(axes: Axes, losses: list[float]) -> None:
    """Make the axis logarithmic, with ticks at 1, 2 and 5, if the losses differ much."""
    positive = [loss for loss in losses if np.isfinite(loss) and loss > 0]
    if not positive or max(positive) < _DECADE * min(positive):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def confusions(result: Evaluation, split: str, names: list[str]) -> Figure:
    """Plot the confusion matrix of the most confused classes: mistakes orange, correct predictions blue.

    `result` has at least one mistake.
    """
    pairs = _confused_pairs(result.confusions)
    every = len(names) <= _CONFUSED_CLASSES
    shown = sorted(range(len(names)) if every else _most_confused(pairs, result.confusions))
    counts = np.array([[result.per_class[a, 0] if a == b else result.confusions[a, b] for b in shown] for a in shown])
    diagonal = np.eye(len(shown), dtype=bool)
    figure = Figure((0.42 * len(shown) + 3.8, 0.42 * len(shown) + 2.4), layout="compressed")
    axes = figure.subplots()
    most, correct = int(counts[~diagonal].max()), max(1, int(counts[diagonal].max()))
    axes.imshow(np.ma.masked_array(counts, ~diagonal), cmap="Blues", vmin=-correct, vmax=4 * correct)
    drawn = axes.imshow(np.ma.masked_array(counts, diagonal), cmap="Oranges", vmin=0, vmax=most)
    ticks = MaxNLocator(5, integer=True, min_n_ticks=1)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="images misclassified", ticks=ticks)
    for y, x in np.ndindex(counts.shape):
        if counts[y, x] or x == y:
            color = "white" if x != y and counts[y, x] > 0.6 * most else BLACK
            axes.text(x, y, f"{counts[y, x]}", ha="center", va="center", fontsize=8, color=color)
    points = 11 if max(len(names[number]) for number in shown) <= 2 else 8
    labels, fonts = zip(*(class_text(names[number], points) for number in shown), strict=True)
    axes.set_xticks(range(len(shown)), labels, rotation=90 if max(map(len, labels)) > 2 else 0)
    axes.set_yticks(range(len(shown)), labels)
    for label, font in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], [*fonts, *fonts], strict=True):
        label.set_fontproperties(font)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if every:
        title = "all classes"
    elif max(pairs.values()) > 1:
        title = f"the {len(shown)} most confused classes"
    else:
        title = f"no two classes confused more than once;\nthe {len(shown)} classes with the most mistakes"
    axes.set_title(f"{split}: {title}\nblue: correct; orange: misclassified", fontsize=11)
    return figure


def _confused_pairs(confusions: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
    """Return the number of mistakes between two classes, the smaller label first, in both directions together."""
    pairs: Counter[tuple[int, int]] = Counter()
    for (true, predicted), count in confusions.items():
        pairs[min(true, predicted), max(true, predicted)] += count
    return pairs


def _most_confused(pairs: Counter[tuple[int, int]], confusions: Counter[tuple[int, int]]) -> set[int]:
    """Return up to `_CONFUSED_CLASSES` classes, those of the most often confused pairs.

    Of pairs that are equally often confused, those of classes with the most mistakes come first.
    """
    mistakes: Counter[int] = Counter()
    for (true, _), count in confusions.items():
        mistakes[true] += count
    shown: set[int] = set()
    order = sorted(pairs, key=lambda pair: (-pairs[pair], -mistakes[pair[0]] - mistakes[pair[1]], pair))
    for pair in order:
        if len(shown | set(pair)) <= _CONFUSED_CLASSES:
            shown.update(pair)
    return shown
