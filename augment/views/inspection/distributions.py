"""Charts of an inspection's page: the sizes of the images, and the values of their pixels."""

from typing import TYPE_CHECKING

import numpy as np

from ...shared.html.charts import BLUE, ORANGE, svg
from .page_images import ValueCounts

if TYPE_CHECKING:
    from markupsafe import Markup

_SIZE = (4.6, 2.4)
"""Inches of a chart."""
_BINS = 64
_LEAST = 1e-4
"""Smallest share on the axis."""
_CHANNELS = (("red", "#d0453a"), ("green", "#3a9e4f"), ("blue", "#4479d8"))


def size_chart(heights: np.ndarray, widths: np.ndarray) -> "Markup | None":
    """Return the distribution of heights and widths (int (n,)) in pixels; None if all images have one size."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if not len(heights) or (np.ptp(heights) == 0 and np.ptp(widths) == 0):
        return None
    least, most = min(heights.min(), widths.min()), max(heights.max(), widths.max())
    edges = np.geomspace(least, most + 1, 33) if most > 8 * least else np.linspace(least, most + 1, 33)
    figure = Figure(_SIZE)
    axes = figure.subplots()
    for name, values, color in (("height", heights, BLUE), ("width", widths, ORANGE)):
        axes.stairs(np.histogram(values, edges)[0], edges, color=color, label=name, linewidth=1.5)
    if most > 8 * least:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda side, _: f"{side:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="pixels", ylabel="images")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    label = (
        f"Heights from {heights.min()} to {heights.max()} pixels, widths from {widths.min()} to {widths.max()} pixels"
    )
    return svg(figure, "sizes", label)


def value_chart(values: ValueCounts) -> "Markup | None":
    """Return the distribution of pixel values, 0 to 255; None if there are none."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if not values.num_images:
        return None
    shares = values.counts.reshape(3, _BINS, -1).sum(axis=2) / values.counts.sum(axis=1, keepdims=True)
    edges = np.linspace(0, 256, _BINS + 1)
    figure = Figure(_SIZE)
    axes = figure.subplots()
    for (name, color), share in zip(_CHANNELS, shares, strict=True):
        if values.has_color:
            axes.stairs(share, edges, color=color, label=name, linewidth=1.2)
    if values.has_color:
        axes.legend(frameon=False)
    else:
        axes.stairs(shares[0], edges, color=BLUE, fill=True)
    axes.set(xlabel="pixel value", ylabel="share of the pixels", yscale="log", xlim=(0, 256), ylim=(_LEAST, 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    mean = float(shares[0] @ (edges[:-1] + edges[1:]) / 2)
    return svg(figure, "values", f"Shares of the pixel values 0 to 255 of {values.num_images} images, mean {mean:.0f}")
