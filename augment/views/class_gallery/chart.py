"""The chart of the number of images per class: rows with a bar each, which the script turns into buttons."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...shared.html.charts import BLUE, GRAY, svg
from ...shared.progress import counted
from ...shared.shortened import shortened
from ..bins import bins_of

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_BARS = 60
"""Largest number of classes with a bar each."""
_COLUMN = 20
"""Rows of one figure; figures are side by side if there is room."""
_WIDTH, _ROW = 4.6, 0.27
"""Width of a figure and height of a row, in inches."""
_NAME, _BAR = 0.29, 0.54
"""Shares of the width for the name and for the longest bar."""
_CELLS = 17
"""Widest name, in characters; characters of Chinese, Japanese and Korean count twice."""


@dataclass(frozen=True)
class Bar:
    """A bar, and the classes that it stands for: one class, or all with `least` to `most` images."""

    id: str
    """Id of its element in the page."""
    label: str
    """What a screen reader says."""
    class_index: int | None = None
    least: int = 0
    most: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields for the script."""
        return {"id": self.id, "label": self.label, "class": self.class_index, "least": self.least, "most": self.most}


@dataclass(frozen=True)
class ClassChart:
    """Figures with the bars in them; no bar if all of many classes have the same number of images."""

    figures: list["Markup"]
    bars: list[Bar]
    what: str
    """What a bar stands for: `class` or `size`."""


def class_chart(names: Sequence[str], counts: np.ndarray) -> ClassChart:
    """Return the chart of the number of images (int64 (classes,)) of the classes with these names."""
    if len(names) <= MOST_BARS:
        rows = [
            (name, count, f"{name}: {counted(count, 'image')}")
            for name, count in zip(names, counts.tolist(), strict=True)
        ]
        bars = [Bar(_id(number), label, class_index=number) for number, (_, _, label) in enumerate(rows)]
        return ClassChart(_figures(rows, "Number of images of each class"), bars, "class")
    bins = bins_of(counts)
    if len(bins) == 1:
        return ClassChart([], [], "size")
    rows, bars = [], []
    for number, (least, most, count) in enumerate(bins):
        sizes = counted(least, "image") if least == most else f"{least:,} to {most:,} images"
        label = f"{counted(count, 'class')} with {sizes}"
        rows.append((sizes, count, label))
        bars.append(Bar(_id(number), label, least=least, most=most))
    return ClassChart(_figures(rows, "Number of classes by their number of images"), bars, "size")


def _id(number: int) -> str:
    return f"classes-{number // _COLUMN}-hit-{number}"


def _figures(rows: list[tuple[str, int, str]], label: str) -> list["Markup"]:
    most = max(count for _, count, _ in rows)
    parts = [rows[start : start + _COLUMN] for start in range(0, len(rows), _COLUMN)]
    return [
        _figure(part, number * _COLUMN, max(1, most), f"classes-{number}", label) for number, part in enumerate(parts)
    ]


def _figure(rows: list[tuple[str, int, str]], first: int, most: int, name: str, label: str) -> "Markup":
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure((_WIDTH, _ROW * len(rows)))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(len(rows), 0))
    axes.axis("off")
    for row, (text, count, _) in enumerate(rows):
        length, middle = _BAR * count / most, row + 0.5
        axes.text(_NAME - 0.015, middle, _short(text), ha="right", va="center_baseline", fontsize=10, parse_math=False)
        axes.add_patch(Rectangle((_NAME, row + 0.14), length, 0.72, facecolor=BLUE))
        axes.text(_NAME + length + 0.015, middle, f"{count:,}", va="center_baseline", fontsize=10, color=GRAY)
        # The whole row is the button, above the text.
        axes.add_patch(Rectangle((0, row), 1, 1, facecolor="none", zorder=9, gid=f"hit-{first + row}"))
    return svg(figure, name, label, interactive=True)


def _short(name: str) -> str:
    """Return a name that fits beside its bar, without line breaks and control characters."""
    printable = "".join(one if one.isprintable() else " " for one in name[:1000]) or "''"
    return shortened(printable, lambda text: _cells(text) <= _CELLS)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
