"""The report of a training run: learning curves, the mistakes, the most confused classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from .evaluate import Evaluation
from .mistakes import Origins, message, mistakes_sheet, write_mistakes
from .plot_text import BLACK, BLUE, GRAY, ORANGE, class_text

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
    finds the origins of its images.
    """
    figures = {"learning-curves.png": learning_curves(history)}
    if result is not None:
        figures["mistakes.png"] = mistakes_sheet(result, split, names, origins)
        figures["confusions.png"] = confusions(result, split, names)
    for name, figure in figures.items():
        figure.savefig(directory / name, dpi=120, facecolor="white")
    paths = [directory / name for name in figures]
    if result is not None:
        paths.insert(2, directory / "mistakes.csv")
        write_mistakes(paths[2], result, names, origins)
    return paths


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plot loss and accuracy of training and validation by epoch, with the best epoch marked."""
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history["loss"]) + 1)
    validated = "val_loss" in history
    best = int(np.argmin(history["val_loss" if validated else "loss"]))
    # One epoch is a point, not a line.
    style = {"marker": "o" if len(epochs) < 30 else None, "ms": 8 if len(epochs) == 1 else 3}
    for axes, key, title in ((left, "loss", "Loss (cross-entropy, nats)"), (right, "accuracy", "Accuracy")):
        axes.plot(epochs, history[key], color=BLUE, label="training, distorted and originals", **style)
        if validated:
            axes.plot(epochs, history[f"val_{key}"], color=ORANGE, label="validation", **style)
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
    """Plot the confusion matrix of the most confused classes: mistakes orange, correct predictions blue."""
    if not result.confusions:
        return message(f"{split}: no mistakes in {result.num_images:,} images")
    shown = sorted(range(len(names)) if len(names) <= _CONFUSED_CLASSES else _most_confused(result.confusions))
    counts = np.array([[result.per_class[a, 0] if a == b else result.confusions[a, b] for b in shown] for a in shown])
    diagonal = np.eye(len(shown), dtype=bool)
    figure = Figure((0.42 * len(shown) + 3.8, 0.42 * len(shown) + 2.4), layout="constrained")
    axes = figure.subplots()
    most = max(5, int(counts[~diagonal].max(initial=0)))
    correct = max(1, int(counts[diagonal].max()))
    axes.imshow(np.ma.masked_array(counts, ~diagonal), cmap="Blues", vmin=-correct, vmax=4 * correct)
    drawn = axes.imshow(np.ma.masked_array(counts, diagonal), cmap="Oranges", vmin=0, vmax=most)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="images misclassified", ticks=MaxNLocator(5, integer=True))
    for y, x in np.ndindex(counts.shape):
        if counts[y, x]:
            dark = x != y and counts[y, x] > 0.6 * most
            color = BLUE if x == y else "white" if dark else BLACK
            axes.text(x, y, f"{counts[y, x]}", ha="center", va="center", fontsize=8, color=color)
    points = 11 if max(len(names[number]) for number in shown) <= 2 else 8
    labels, fonts = zip(*(class_text(names[number], points) for number in shown), strict=True)
    axes.set_xticks(range(len(shown)), labels, rotation=90 if max(map(len, labels)) > 2 else 0)
    axes.set_yticks(range(len(shown)), labels)
    for label, font in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], [*fonts, *fonts], strict=True):
        label.set_fontproperties(font)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    every = len(shown) == len(names)
    title = f"{split}: {'all classes' if every else f'the {len(shown)} most confused classes'}"
    axes.set_title(f"{title}\nblue: correct; orange: misclassified", fontsize=11)
    return figure


def _most_confused(confusions: Counter[tuple[int, int]]) -> set[int]:
    """Return up to `_CONFUSED_CLASSES` classes, those of the most often confused pairs."""
    pairs: Counter[tuple[int, int]] = Counter()
    for (true, predicted), count in confusions.items():
        pairs[min(true, predicted), max(true, predicted)] += count
    shown: set[int] = set()
    for pair, _ in pairs.most_common():
        if len(shown | set(pair)) <= _CONFUSED_CLASSES:
            shown.update(pair)
    return shown
