"""The pictures that a training leaves: learning curves, the worst mistakes, the classes most confused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .evaluate import Evaluation, Mistake

_BLUE, _ORANGE, _GREY = "#2a6f97", "#d1603d", "#777777"
_CONFUSED_CLASSES = 20
_COLUMNS = 8


def write_report(
    directory: Path, history: Mapping[str, Sequence[float]], result: Evaluation | None, part: str, names: list[str]
) -> list[Path]:
    """Write the three PNGs into `directory`; `result` is the evaluation on `part`, None without a held-out part.

    Returns the files written.
    """
    figures = {"learning-curves.png": learning_curves(history)}
    if result is not None:
        figures["mistakes.png"] = mistakes_sheet(result, part, names)
        figures["confusions.png"] = confusions(result, part, names)
    for name, figure in figures.items():
        with matplotlib.rc_context({"font.family": _families()}):
            figure.savefig(directory / name, dpi=120, facecolor="white")
    return [directory / name for name in figures]


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Loss and accuracy by epoch, training and validation, with the best epoch marked."""
    figure = Figure((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history["loss"]) + 1)
    validated = "val_loss" in history
    best = int(np.argmin(history["val_loss" if validated else "loss"]))
    for axes, key, title in ((left, "loss", "Loss (cross-entropy, nats)"), (right, "accuracy", "Accuracy")):
        marker = "o" if len(epochs) < 30 else None
        axes.plot(epochs, history[key], color=_BLUE, marker=marker, ms=3, label="training, distorted and originals")
        if validated:
            axes.plot(epochs, history[f"val_{key}"], color=_ORANGE, marker=marker, ms=3, label="validation")
        axes.axvline(best + 1, color=_GREY, lw=1, ls=":", label=f"best epoch: {best + 1}")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    if any(np.isfinite(value) and value > 0 for value in history["loss"]):
        left.set_yscale("log")
    right.legend(loc="lower right", frameon=False)
    return figure


def mistakes_sheet(result: Evaluation, part: str, names: list[str]) -> Figure:
    """The most confident mistakes, each with its true and predicted class."""
    wrong = result.images - int(result.per_class[:, 0].sum())
    title = f"{part}: {wrong:,} of {result.images:,} pictures mistaken ({100 * (1 - result.accuracy):.2f} %)"
    if not result.worst:
        return _message(f"{title}\nNothing to show.")
    rows = -(-len(result.worst) // _COLUMNS)
    columns = min(_COLUMNS, len(result.worst))
    figure = Figure((max(1.8 * columns, 6.5), 2.2 * rows + 0.9), layout="constrained")
    most = "; the most confident ones" if wrong > len(result.worst) else ""
    figure.suptitle(f"{title}{most}\ntrue class → what it was taken for, and how surely", fontsize=11)
    for axes in np.atleast_1d(figure.subplots(rows, columns)).ravel():
        axes.axis("off")
    for axes, mistake in zip(figure.axes, result.worst, strict=False):
        _show(axes, mistake, names)
    return figure


def _show(axes, mistake: Mistake, names: list[str]) -> None:  # type: ignore[no-untyped-def]
    picture = mistake.picture
    axes.imshow(picture[:, :, 0] if picture.shape[2] == 1 else picture, cmap="gray", vmin=0, vmax=255)
    axes.set_title(
        f"{display(names[mistake.true])}\n→ {display(names[mistake.predicted])}  {100 * mistake.confidence:.0f} %",
        fontsize=7.5,
        color="#222222",
    )


def confusions(result: Evaluation, part: str, names: list[str]) -> Figure:
    """How often the classes most confused were taken for one another; right answers on the diagonal."""
    if not result.confusions:
        return _message(f"{part}: no class was confused with another, in {result.images:,} pictures.")
    shown = sorted(range(len(names)) if len(names) <= _CONFUSED_CLASSES else _most_confused(result.confusions))
    counts = np.array([[result.per_class[a, 0] if a == b else result.confusions[a, b] for b in shown] for a in shown])
    figure = Figure((0.42 * len(shown) + 3.2, 0.42 * len(shown) + 2.4), layout="constrained")
    axes = figure.subplots()
    mistakes = counts * (1 - np.eye(len(shown), dtype=int))
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(5, mistakes.max()))
    for y, x in np.ndindex(counts.shape):
        if counts[y, x]:
            dark = x != y and mistakes[y, x] > 0.6 * max(5, mistakes.max())
            colour = _GREY if x == y else "white" if dark else "#222222"
            axes.text(x, y, f"{counts[y, x]}", ha="center", va="center", fontsize=8, color=colour)
    labels = [display(names[number]) for number in shown]
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    every = len(shown) == len(names)
    axes.set_title(f"{part}: {'all classes' if every else f'the {len(shown)} classes most confused'}", fontsize=11)
    return figure


def _most_confused(confusions: Counter[tuple[int, int]]) -> set[int]:
    """Up to `_CONFUSED_CLASSES` classes, pair by pair, the pairs most often confused either way first."""
    pairs: Counter[tuple[int, int]] = Counter()
    for (true, predicted), count in confusions.items():
        pairs[min(true, predicted), max(true, predicted)] += count
    shown: set[int] = set()
    for pair, _ in pairs.most_common():
        if len(shown | set(pair)) <= _CONFUSED_CLASSES:
            shown.update(pair)
    return shown


def display(name: str) -> str:
    """A class name that fits over a picture: the end of a long path; code points where no font has the letter."""
    tail = "/".join(name.split("/")[-2:])
    short = tail if len(tail) <= 22 else "…" + tail[-21:]
    return "".join(letter if _has_glyph(letter) else f"U+{ord(letter):04X}" for letter in short).replace("$", r"\$")


def _message(text: str) -> Figure:
    figure = Figure((7, 2))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    return figure


@lru_cache(maxsize=1)
def _families() -> list[str]:
    """Matplotlib's own font, then one with Chinese characters and kana where the machine has it."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    wanted = ("Noto Sans CJK JP", "Noto Serif CJK JP", "IPAexGothic", "IPAGothic", "TakaoGothic", "Hiragino Sans")
    return ["DejaVu Sans", *(name for name in wanted if name in installed)]


@lru_cache(maxsize=8192)
def _has_glyph(letter: str) -> bool:
    paths = (font_manager.findfont(family, fallback_to_default=False) for family in _families())
    return any(font_manager.get_font(path).get_char_index(ord(letter)) for path in paths)
