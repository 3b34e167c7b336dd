"""Chart of the number of images per class: a bar for each class; for many classes a curve, or a bar for each number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...shared.contact_sheet import ACCENT, PAPER
from ...shared.fonts import drawable
from ...shared.progress import counted

_MOST_BARS, _ROWS = 300, 50
"""Largest number of classes with a bar each, and of bars in one column."""
_FEW_SIZES = 10
"""Largest number of different numbers of images for which many classes have a bar for each number, not a curve."""
_SKEWED = 20
"""The scale is logarithmic if the largest class has at least this many times the images of the smallest."""
_MOST_CHARACTERS = 22
"""Longest class name; of a longer one the end is shown."""


def histogram(name: str, class_names: Sequence[str], counts: np.ndarray, font: Path | None = None) -> Image.Image:
    """Draw the number of images of each class (int (K,)), the largest class first, RGB.

    Up to 300 classes have a labeled bar each. More classes have a bar for each number of images, if these are few, with
    the number of classes; else a curve. `font` is a font file that is searched first for the characters of names.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    def text_of(text: str, size: float) -> tuple[str, FontProperties]:
        shown, path = drawable(text, font)
        shown = shown if len(shown) <= _MOST_CHARACTERS or text == title else f"...{shown[3 - _MOST_CHARACTERS :]}"
        return shown.replace("$", r"\$"), FontProperties(fname=path or None, size=size)

    order = np.argsort(-counts, kind="stable")
    sizes, median = counts[order], f"{np.median(counts):,.10g}"
    each = f"{sizes[-1]:,} to {sizes[0]:,} each (median {median})"
    title = f"{name}: {counted(int(sizes.sum()), 'image')} of {counted(len(sizes), 'class')}, {each}"
    if sizes[0] == sizes[-1]:
        title = f"{name}: {counted(len(sizes), 'class')} with {counted(int(sizes[0]), 'image')} each"
    different, frequency = (found[::-1] for found in np.unique(sizes, return_counts=True))
    by_size = len(sizes) > _MOST_BARS and len(different) <= _FEW_SIZES
    logarithmic = bool(sizes[0] >= _SKEWED * max(1, sizes[-1])) and not by_size
    title += ", log scale" if logarithmic else ""
    scale = {"value": "function", "functions": (np.log1p, np.expm1)} if logarithmic else {"value": "linear"}
    color, paper = (f"#{bytes(rgb).hex()}" for rgb in (ACCENT, PAPER))
    figure = Figure((10, 5), dpi=100, layout="constrained", facecolor=paper)
    if len(sizes) <= _MOST_BARS:
        columns = -(-len(sizes) // _ROWS)
        rows = -(-len(sizes) // columns)
        figure.set_size_inches(max(8.0, 3.9 * columns), 0.17 * rows + 0.8)
        for number, axes in enumerate(figure.subplots(1, columns, sharex=True, squeeze=False)[0]):
            some = order[number * rows : (number + 1) * rows]
            axes.bar_label(axes.barh(range(len(some)), counts[some], color=color), fmt="{:,.0f}", padding=3, fontsize=8)
            texts, fonts = zip(*(text_of(class_names[label], 9) for label in some.tolist()), strict=True)
            axes.set_yticks(range(len(some)), texts)
            for label, properties in zip(axes.get_yticklabels(), fonts, strict=True):
                label.set_fontproperties(properties)
            axes.set(ylim=(rows - 0.5, -0.5), frame_on=False)
            axes.set_xscale(**scale)
            axes.margins(x=0.2)
            axes.tick_params(left=False, bottom=False, labelbottom=False)
    elif by_size:
        figure.set_size_inches(8, 0.35 * len(different) + 0.8)
        axes = figure.subplots()
        classes = [counted(int(count), "class") for count in frequency]
        axes.bar_label(axes.barh(range(len(different)), frequency, color=color), classes, padding=3, fontsize=9)
        axes.set_yticks(range(len(different)), [counted(int(count), "image") for count in different], fontsize=9)
        axes.set(ylim=(len(different) - 0.5, -0.5), frame_on=False)
        axes.margins(x=0.2)
        axes.tick_params(left=False, bottom=False, labelbottom=False)
    else:
        axes = figure.subplots()
        axes.stairs(sizes, fill=True, color=color)
        axes.set(xlim=(0, len(sizes)), xlabel="classes, the largest first", ylabel="images per class", frame_on=False)
        axes.set_yscale(**scale)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            axes.set_yticks([0, *(10**power for power in range(len(str(sizes[0]))))])
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
    text, properties = text_of(title, 11)
    figure.suptitle(text, fontproperties=properties, wrap=True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
