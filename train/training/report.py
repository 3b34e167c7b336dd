"""The report of a training run: learning curves, the mistakes, the most confused classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...augment.shared.atomic import new_file
from ...augment.shared.html.charts import BLACK
from .confused import confused_pairs, matrix_classes
from .evaluate import Evaluation
from .learning_curves import learning_curves
from .mistakes import Origins, mistakes_sheet, write_mistakes
from .plot_text import class_text


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


def confusions(result: Evaluation, split: str, names: list[str]) -> Figure:
    """Plot the confusion matrix of the most confused classes: mistakes orange, correct predictions blue.

    `result` has at least one mistake.
    """
    pairs = confused_pairs(result.confusions)
    shown = matrix_classes(result.confusions, len(names))
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
    if len(shown) == len(names):
        title = "all classes"
    elif max(pairs.values()) > 1:
        title = f"the {len(shown)} most confused classes"
    else:
        title = f"no two classes confused more than once;\nthe {len(shown)} classes with the most mistakes"
    axes.set_title(f"{split}: {title}\nblue: correct; orange: misclassified", fontsize=11)
    return figure
