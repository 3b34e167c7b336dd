"""The mistakes of an evaluation: an image of the most confident ones, and a table of all of them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...augment.shared.atomic import new_file
from ...augment.shared.html.charts import BLACK
from ...augment.shared.progress import counted
from .evaluate import Evaluation, Mistake
from .plot_text import fitted, percent, text_of

Origins = Callable[[np.ndarray], list[str]]
"""Returns where the images at these positions of the split (int64 (n,)) come from; '' where that is unknown."""

_COLUMNS = 8
_CELL = 1.8
"""Inches from one image to the next."""
_TEXT = 66 * _CELL
"""Width of the text of an image, in points: the cell without a gap."""
_BLOCK = 4096


def write_mistakes(path: Path, result: Evaluation, names: list[str], origins: Origins) -> None:
    """Write a CSV of all mistakes, the most confident first: `origin`, `class`, `predicted`, `probability`, `position`.

    A confident mistake is often a wrong label.
    """
    order = np.argsort(-result.mistakes["probability"], kind="stable")
    with new_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["origin", "class", "predicted", "probability", "position"])
        for start in range(0, len(order), _BLOCK):
            some = result.mistakes[order[start : start + _BLOCK]]
            for origin, one in zip(origins(some["position"]), some.tolist(), strict=True):
                position, true, predicted, probability = one
                writer.writerow([origin, names[true], names[predicted], f"{probability:.4f}", position])


def mistakes_sheet(result: Evaluation, split: str, names: list[str], origins: Origins) -> Figure:
    """Plot the most confident mistakes: the true class above; below, the predicted class and the origin.

    `result` has at least one mistake.
    """
    wrong = len(result.mistakes)
    title = f"{split}: {wrong:,} of {counted(result.num_images, 'image')} misclassified"
    title += f" ({100 * (1 - result.accuracy):.2f} %)"
    rows, columns = -(-len(result.worst) // _COLUMNS), min(_COLUMNS, len(result.worst))
    figure = Figure((max(_CELL * columns, 8.5), 2.4 * rows + 0.9), layout="constrained")
    most = "; the most confident ones" if wrong > len(result.worst) else ""
    below = "below: predicted class, its probability, and the origin of the image"
    figure.suptitle(f"{title}{most}\nabove: true class; {below}", fontsize=11)
    all_axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    places = origins(np.array([mistake.position for mistake in result.worst]))
    for axes, mistake, origin in zip(all_axes, result.worst, places, strict=False):
        _show(axes, mistake, names, origin)
    for axes in all_axes[len(result.worst) :]:
        axes.axis("off")
    return figure


def _show(axes: Axes, mistake: Mistake, names: list[str], origin: str) -> None:
    image = mistake.image
    axes.imshow(image[:, :, 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[], frame_on=False)
    points = 11 if max(map(len, names)) <= 2 else 8
    true, font = text_of(fitted(names[mistake.true], points, _TEXT), points)
    axes.set_title(true, fontproperties=font, color=BLACK)
    probability = f"  {percent(mistake.confidence)}"
    predicted = fitted(names[mistake.predicted], 7, _TEXT - 4 * len(probability)) + probability
    below, font = text_of(f"{predicted}\n{fitted(origin, 7, _TEXT)}", 7)
    axes.set_xlabel(below, fontproperties=font, color=BLACK)
