"""The charts of the report: learning curves, and the time that steps waited for data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....augment.shared.html.charts import ORANGE, svg
from ....augment.shared.progress import duration
from ..history import best_epoch
from ..learning_curves import by_epoch, plot_curve

if TYPE_CHECKING:
    from markupsafe import Markup

SIZE = (5, 3.3)
"""Inches of a chart. Its text is readable on a phone."""
_BARS = 100
"""Number of epochs from which the waits are a line, not bars."""


def curves(history: Mapping[str, Sequence[float]]) -> "list[Markup]":
    """Return the curves of loss and accuracy."""
    return [_curve(history, key) for key in ("loss", "accuracy")]


def _curve(history: Mapping[str, Sequence[float]], key: str) -> "Markup":
    figure, axes = new_chart()
    plot_curve(axes, history, key)
    axes.legend(frameon=False, fontsize=9)
    return svg(figure, f"curve-{key}", _curve_label(history, key))


def _curve_label(history: Mapping[str, Sequence[float]], key: str) -> str:
    """Return what a screen reader says of a curve."""
    unit, sign = (100, " %") if key == "accuracy" else (1, "")
    parts = []
    for name, split in ((key, "training"), (f"val_{key}", "validation")):
        if name in history:
            first, last = unit * history[name][0], unit * history[name][-1]
            parts.append(f"{split} from {first:.4g}{sign} to {last:.4g}{sign}")
    best = best_epoch([dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)])
    ending = "" if best is None else f"; best epoch: {best + 1}"
    return f"{key.capitalize()} over {len(history[key])} epochs: {', '.join(parts)}{ending}"


def data_wait(history: Mapping[str, Sequence[float]]) -> "Markup | None":
    """Return the seconds of each epoch: waiting for data, and the rest; None if the run did not record them."""
    if not {"data_wait", "data_wait_share"} <= set(history):
        return None
    waited, share = (np.asarray(history[name], float) for name in ("data_wait", "data_wait_share"))
    figure, axes = new_chart()
    epochs = np.arange(1, len(waited) + 1)
    axes.set_title("Share of time waiting for data (%)")
    if len(epochs) < _BARS:
        axes.bar(epochs, 100 * share, color=ORANGE, width=0.8)
    else:
        axes.fill_between(epochs, 100 * share, color=ORANGE, lw=0)
    by_epoch(axes, len(epochs))
    axes.set_ylim(0, max(1.0, 105 * float(np.nanmax(share, initial=0))))
    total = duration(float(np.nansum(waited)))
    most = 100 * float(np.nanmax(share, initial=0))
    return svg(
        figure, "data-wait", f"Waiting for data: {total} in {len(epochs)} epochs; at most {most:.2g} % of an epoch"
    )


def new_chart() -> tuple[Figure, Axes]:
    """Return a figure of one chart, and its axes."""
    figure = Figure(SIZE)  # `svg` cuts the margins: a layout engine would take longer than the chart.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
