"""The learning curves of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ...augment.shared.html.charts import BLUE, GRAY, ORANGE
from .history import best_epoch

TITLES = {"loss": "Loss (cross-entropy, nats)", "accuracy": "Accuracy (%)"}
_DECADE = 8
"""The loss has a logarithmic axis if its largest value is at least this many times the smallest."""


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plot loss and accuracy of training and validation by epoch, with the best epoch marked."""
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_curve(left, history, "loss")
    plot_curve(right, history, "accuracy")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_curve(axes: Axes, history: Mapping[str, Sequence[float]], key: str) -> None:
    """Plot `loss` or `accuracy` of training and validation by epoch, with the best epoch marked."""
    epochs, unit = np.arange(1, len(history[key]) + 1), 100 if key == "accuracy" else 1
    # One epoch is a point, not a line.
    style: dict[str, Any] = {"marker": "o" if len(epochs) < 30 else None, "ms": 8 if len(epochs) == 1 else 3}
    axes.plot(epochs, unit * np.asarray(history[key]), color=BLUE, label="training", **style)
    if f"val_{key}" in history:
        axes.plot(epochs, unit * np.asarray(history[f"val_{key}"]), color=ORANGE, label="validation", **style)
    best = best_epoch([dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)])
    if best is not None:
        axes.axvline(best + 1, color=GRAY, lw=1, ls=":", label=f"best epoch: {best + 1}", zorder=0)
    axes.set_title(TITLES[key])
    by_epoch(axes, len(epochs))
    if key == "loss":
        scale_loss(axes, [*history["loss"], *history.get("val_loss", [])])


def by_epoch(axes: Axes, epochs: int) -> None:
    """Give `axes` a grid, and epochs 1 to `epochs` as the horizontal axis."""
    margin = max(0.5, 0.03 * epochs)
    axes.set_xlabel("epoch")
    axes.set_xlim(1 - margin, epochs + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)


def scale_loss(axes: Axes, losses: Sequence[float]) -> None:
    """Make the vertical axis logarithmic, with ticks at 1, 2 and 5, if the losses differ much."""
    positive = [loss for loss in losses if np.isfinite(loss) and loss > 0]
    if not positive or max(positive) < _DECADE * min(positive):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
