"""The plot of a study: accuracy by number of stored epochs."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...augment.shared.atomic import new_file
from ...augment.shared.html.charts import BLUE, GRAY, ORANGE
from .results import POINTS, Row


def write_plot(path: Path, rows: list[Row], fresh: int, split: str, title: str) -> None:
    """Plot the accuracies on `split` with their 95 % confidence intervals into the PNG file `path`."""
    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    plot_rows(axes, rows, fresh)
    axes.set_ylabel(f"accuracy on the {split} split (%)")
    axes.set_title(title, loc="left")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    with new_file(path) as temporary:
        figure.savefig(temporary, dpi=120, facecolor="white")


def plot_rows(axes: Axes, rows: list[Row], fresh: int) -> None:
    """Plot accuracies in percent by number of stored epochs, of which `fresh` stands for fresh distortion."""
    for final, color, label in ((False, BLUE, "stored epochs alone"), (True, ORANGE, "with final augmentation")):
        shown = [row for row in rows if row.final == final and row.stored]
        if not shown:
            continue
        x, y = [row.stored for row in shown], POINTS * np.array([row.mean for row in shown])
        margin = POINTS * np.nan_to_num([row.interval for row in shown])
        axes.plot(x, y, "o-", color=color, label=label, ms=5)
        axes.fill_between(x, y - margin, y + margin, color=color, alpha=0.15, lw=0)
    for row in rows:
        if not row.stored:
            name = "originals only" + (", with final augmentation" if row.final else "")
            style = "--" if row.final else ":"
            axes.axhline(POINTS * row.mean, color=GRAY, ls=style, lw=1, label=name)
    numbers = sorted({row.stored for row in rows if row.stored})
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, [f"{number}\nfresh" if number == fresh else str(number) for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("stored epochs")
    axes.grid(alpha=0.25)
