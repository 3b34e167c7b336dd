"""The plots of a training run: learning curves, the most confident mistakes, the most confused classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator

from ...augment.shared.fonts import drawable
from .evaluate import Evaluation, Mistake

_BLUE, _ORANGE, _GRAY, _BLACK = "#2a6f97", "#d1603d", "#777777", "#222222"
_CONFUSED_CLASSES = 20
_COLUMNS = 8


def write_report(
    directory: Path, history: Mapping[str, Sequence[float]], result: Evaluation | None, split: str, names: list[str]
) -> list[Path]:
    """Write the plots as PNG files to `directory` and return their paths.

    `result` is the evaluation on `split`, None if there is no held-out split; `names` are the class names.
    """
    figures = {"learning-curves.png": learning_curves(history)}
    if result is not None:
        figures["mistakes.png"] = mistakes_sheet(result, split, names)
        figures["confusions.png"] = confusions(result, split, names)
    for name, figure in figures.items():
        figure.savefig(directory / name, dpi=120, facecolor="white")
    return [directory / name for name in figures]


def learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plot loss and accuracy of training and validation by epoch, with the best epoch marked."""
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
        axes.axvline(best + 1, color=_GRAY, lw=1, ls=":", label=f"best epoch: {best + 1}")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    if any(np.isfinite(value) and value > 0 for value in history["loss"]):
        left.set_yscale("log")
    right.legend(loc="lower right", frameon=False)
    return figure


def mistakes_sheet(result: Evaluation, split: str, names: list[str]) -> Figure:
    """Plot the most confident mistakes, each with its true class above and its predicted class below."""
    wrong = result.num_images - int(result.per_class[:, 0].sum())
    title = f"{split}: {wrong:,} of {result.num_images:,} images misclassified ({100 * (1 - result.accuracy):.2f} %)"
    if not result.worst:
        return _message(title)
    rows, columns = -(-len(result.worst) // _COLUMNS), min(_COLUMNS, len(result.worst))
    figure = Figure((max(1.8 * columns, 6.5), 2.2 * rows + 0.9), layout="constrained")
    most = "; the most confident ones" if wrong > len(result.worst) else ""
    figure.suptitle(f"{title}{most}\nabove: true class; below: predicted class and its probability", fontsize=11)
    all_axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, mistake in zip(all_axes, result.worst, strict=False):
        _show(axes, mistake, names)
    for axes in all_axes[len(result.worst) :]:
        axes.axis("off")
    return figure


def _show(axes: Axes, mistake: Mistake, names: list[str]) -> None:
    image = mistake.image
    axes.imshow(image[:, :, 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[], frame_on=False)
    true, font = _class_name(names[mistake.true], 7.5)
    axes.set_title(true, fontproperties=font, color=_BLACK)
    predicted, font = _class_name(names[mistake.predicted], 7.5)
    axes.set_xlabel(f"{predicted}  {100 * mistake.confidence:.0f} %", fontproperties=font, color=_BLACK)


def confusions(result: Evaluation, split: str, names: list[str]) -> Figure:
    """Plot the confusion matrix of the most confused classes, with correct predictions on the diagonal."""
    if not result.confusions:
        return _message(f"{split}: no mistakes in {result.num_images:,} images")
    shown = sorted(range(len(names)) if len(names) <= _CONFUSED_CLASSES else _most_confused(result.confusions))
    counts = np.array([[result.per_class[a, 0] if a == b else result.confusions[a, b] for b in shown] for a in shown])
    figure = Figure((0.42 * len(shown) + 3.2, 0.42 * len(shown) + 2.4), layout="constrained")
    axes = figure.subplots()
    mistakes = counts * (1 - np.eye(len(shown), dtype=int))
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(5, mistakes.max()))
    for y, x in np.ndindex(counts.shape):
        if counts[y, x]:
            dark = x != y and mistakes[y, x] > 0.6 * max(5, mistakes.max())
            color = _GRAY if x == y else "white" if dark else _BLACK
            axes.text(x, y, f"{counts[y, x]}", ha="center", va="center", fontsize=8, color=color)
    labels, fonts = zip(*(_class_name(names[number], 8) for number in shown), strict=True)
    axes.set_xticks(range(len(shown)), labels, rotation=90)
    axes.set_yticks(range(len(shown)), labels)
    for label, font in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], [*fonts, *fonts], strict=True):
        label.set_fontproperties(font)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    every = len(shown) == len(names)
    axes.set_title(f"{split}: {'all classes' if every else f'the {len(shown)} most confused classes'}", fontsize=11)
    return figure


def _most_confused(confusions: Counter[tuple[int, int]]) -> set[int]:
    """Return up to `_CONFUSED_CLASSES` classes, those of the most often confused pairs."""
    pairs: Counter[tuple[int, int]] = Counter()
    for (true, predicted), count in confusions.items():
        pairs[min(true, predicted), max(true, predicted)] += count
    shown: set[int] = set()
    for pair, _ in pairs.most_common():
        if len(shown | set(pair)) <= _CONFUSED_CLASSES:
            shown.update(pair)
    return shown


def _class_name(name: str, size: float) -> tuple[str, FontProperties]:
    """Return a class name, or the end of a long path, as it can be drawn, and a font that has its characters."""
    tail = "/".join(name.split("/")[-2:])
    text, font = drawable(tail if len(tail) <= 22 else "…" + tail[-21:])
    return text.replace("$", r"\$"), FontProperties(fname=font or None, size=size)


def _message(text: str) -> Figure:
    figure = Figure((7, 2))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    return figure
