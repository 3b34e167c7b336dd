"""The charts of a comparison: learning curves over each other, and accuracies with their confidence intervals."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ....augment.shared.html.charts import svg
from ..learning_curves import by_epoch, scale_loss
from ..run_report.charts import new_chart
from .comparison import Comparison

if TYPE_CHECKING:
    from markupsafe import Markup

_COLORS = ("#3f8fc4", "#d0653f", "#3d9a6b", "#a06bd0", "#b08a1e", "#c75c9a", "#2fa3a3", "#8f7a5e")
"""Colors that differ from a white and from a black background, and are not among those that follow the theme."""
_LINES = ("solid", "dashed", "dotted")
_CURVES = {
    "val_accuracy": "Validation accuracy (%)",
    "val_loss": "Validation loss (nats)",
    "accuracy": "Training accuracy (%)",
    "loss": "Training loss (nats)",
}


class Style(NamedTuple):
    """How the curve of a run is drawn."""

    color: str
    line: str
    """`solid`, `dashed` or `dotted`, as in CSS and in Matplotlib."""


def styles(comparison: Comparison) -> list[Style]:
    """Return a style for each run. Runs that differ in the seed only have the same one."""
    group_of = {run: group.runs[0] for group in comparison.groups for run in group.runs}
    firsts = list(dict.fromkeys(group_of.get(run, run) for run in range(len(comparison.records))))
    if len(firsts) == 1:  # The comparison is one of seeds.
        group_of, firsts = {}, list(range(len(comparison.records)))
    numbers = [firsts.index(group_of.get(run, run)) for run in range(len(comparison.records))]
    return [Style(_COLORS[number % len(_COLORS)], _LINES[number // len(_COLORS) % len(_LINES)]) for number in numbers]


def curves(comparison: Comparison) -> "list[Markup]":
    """Return the learning curves of all runs over each other, for each value that some of them have."""
    return [
        _curve(comparison, key, title)
        for key, title in _CURVES.items()
        if any(key in record.history for record in comparison.records)
    ]


def _curve(comparison: Comparison, key: str, title: str) -> "Markup":
    figure, axes = new_chart()
    longest, ends = 1, []
    unit = 100 if "accuracy" in key else 1
    histories = [record.history.get(key, []) for record in comparison.records]
    for name, history, style in zip(comparison.names, histories, styles(comparison), strict=True):
        if history:
            longest = max(longest, len(history))
            ends.append(f"{name} {unit * history[-1]:.4g}")
            axes.plot(
                np.arange(1, len(history) + 1),
                unit * np.asarray(history, float),
                color=style.color,
                linestyle=style.line,
                marker="o" if len(history) < 30 else None,
                ms=3,
                alpha=0.9,
            )
    axes.set_title(title)
    by_epoch(axes, longest)
    if key.endswith("loss"):
        scale_loss(axes, [value for history in histories for value in history])
    return svg(figure, f"curve-{key}", f"{title} by epoch. In the last epoch: {', '.join(ends)}")


def intervals(comparison: Comparison) -> "Markup":
    """Return the accuracies of all runs with their confidence intervals."""
    count = len(comparison.results)
    figure = Figure((6, 0.6 + 0.3 * count))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.spines[["top", "right", "left"]].set_visible(False)
    for place, (result, style) in enumerate(zip(comparison.results, styles(comparison), strict=True)):
        axes.plot([100 * result.low, 100 * result.high], [place, place], color=style.color, lw=2)
        axes.plot([100 * result.accuracy], [place], color=style.color, marker="o", ms=7)
    axes.set_yticks(range(count), [name.replace("$", r"\$") for name in comparison.names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_title(f"{comparison.split.capitalize()} accuracy (%) with its 95 % confidence interval")
    axes.grid(axis="x", alpha=0.25)
    texts = [
        f"{name} {100 * result.accuracy:.2f} % ({100 * result.low:.2f} to {100 * result.high:.2f})"
        for name, result in zip(comparison.names, comparison.results, strict=True)
    ]
    return svg(figure, "intervals", f"{comparison.split} accuracy: {'; '.join(texts)}")
