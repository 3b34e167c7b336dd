"""Draw the two diagrams of docs/concepts.md as SVG, with `python docs/make_diagrams.py` or `make docs`.

The background is transparent, and the colors have enough contrast on white and on black.
"""

from pathlib import Path
from xml.sax.saxutils import escape

_HERE = Path(__file__).parent
_BLUE, _TEAL, _PURPLE, _ORANGE, _GRAY, _LINE = "#2f6db3", "#1f7a6d", "#7a4fa3", "#b4501c", "#5c6570", "#7a828b"
_EPOCH_COLORS = (_BLUE, _TEAL, _PURPLE)
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
_TRAINING_EPOCHS = 5


def text(x: float, y: float, words: str, *, color: str = _LINE, size: int = 14, anchor: str = "middle") -> str:
    """Return a line of text whose baseline is at `y`."""
    return f"<text x='{x}' y='{y}' fill='{color}' font-size='{size}' text-anchor='{anchor}'>{escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, lines: list[str], color: str) -> str:
    """Return a filled box with centered lines, of which the first is bold."""
    first = y + height / 2 + 5 - 9 * (len(lines) - 1)
    shape = f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6' fill='{color}'/>"
    words = [
        text(x + width / 2, first + 18 * number, line, color="#fff", size=13 if number else 14)
        for number, line in enumerate(lines)
    ]
    if lines:
        words[0] = words[0].replace("<text", "<text font-weight='600'")
    return shape + "".join(words)


def frame(y: float, title: str) -> str:
    """Return an outlined area of full width, with its title inside."""
    shape = f"<rect x='10' y='{y}' width='880' height='112' rx='8' fill='none' stroke='{_LINE}'/>"
    return shape + text(30, y + 24, title, anchor="start")


def arrow(*points: tuple[float, float]) -> str:
    """Return a line through `points` with a head at its end."""
    path = " ".join(f"{x},{y}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{_LINE}' stroke-width='1.5' marker-end='url(#head)'/>"


def drawing(width: int, height: int, title: str, parts: list[str]) -> str:
    """Return the SVG document."""
    head = (
        "<marker id='head' markerWidth='9' markerHeight='8' refX='8' refY='4' orient='auto'>"
        f"<path d='M0,0 L9,4 L0,8 z' fill='{_LINE}'/></marker>"
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"{_FONT} role='img'>\n<title>{escape(title)}</title>\n<defs>{head}</defs>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def two_stages() -> str:
    """Return the way of the images from the source to a training step."""
    stage_1 = [
        frame(10, "Stage 1, augment: once, on all cores"),
        box(30, 46, 170, 60, ["Source", "folders, arrays, ETL ..."], _GRAY),
        box(240, 46, 180, 60, ["Source file", "images, labels, groups"], _GRAY),
        box(460, 46, 180, 60, ["Split", "whole groups"], _GRAY),
        box(690, 46, 180, 60, ["Recipe", "distorts training images"], _ORANGE),
        *(arrow((start, 76), (end, 76)) for start, end in ((200, 239), (420, 459), (640, 689))),
    ]
    stored = [
        arrow((550, 106), (550, 169)),
        text(540, 150, "undistorted", anchor="end"),
        arrow((780, 106), (780, 169)),
        text(770, 150, "distorted", anchor="end"),
        frame(170, "The set on disk: compressed HDF5 shards and a manifest"),
        box(30, 206, 110, 60, ["Validation"], _GRAY),
        box(155, 206, 110, 60, ["Test"], _GRAY),
        box(280, 206, 140, 60, ["Originals", "for training"], _GRAY),
        box(460, 206, 110, 60, ["Epoch 0"], _BLUE),
        box(585, 206, 110, 60, ["Epoch 1"], _TEAL),
        text(727.5, 240, "..."),
        box(760, 206, 110, 60, ["Epoch N - 1"], _PURPLE),
    ]
    stage_2 = [
        arrow((120, 282), (120, 329)),
        text(132, 310, "read in chunks", anchor="start"),
        frame(330, "Stage 2, train: as often as you like, at the speed of the GPU"),
        box(30, 366, 180, 60, ["Threads", "verify and decompress"], _GRAY),
        box(250, 366, 180, 60, ["Batches", "shuffled, with originals"], _GRAY),
        box(470, 366, 180, 60, ["Final augmentation", "optional, cheap"], _ORANGE),
        box(690, 366, 180, 60, ["Training step", "Keras, PyTorch, tf.data"], _GRAY),
        *(arrow((start, 396), (end, 396)) for start, end in ((210, 249), (430, 469), (650, 689))),
    ]
    return drawing(900, 452, "From the source to a training step", stage_1 + stored + stage_2)


def training_epochs() -> str:
    """Return which stored epochs the first training epochs show, with three stored epochs and half originals."""
    parts = [text(20, 30, "On disk", anchor="start"), text(330, 30, "Training epochs, originals = 0.5", anchor="start")]
    for number, color in enumerate(_EPOCH_COLORS):
        parts.append(box(20, 46 + 56 * number, 220, 40, [f"Stored epoch {number}"], color))
    parts.append(box(20, 214, 220, 40, ["Originals"], _GRAY))
    for epoch in range(_TRAINING_EPOCHS):
        x, color = 330 + 112 * epoch, _EPOCH_COLORS[epoch % len(_EPOCH_COLORS)]
        parts.append(text(x + 48, 58, f"epoch {epoch}"))
        for step in range(8):
            y = 70 + 23 * step
            parts += [box(x, y, 46, 18, [], color), box(x + 50, y, 46, 18, [], _GRAY)]
    parts += [
        text(330, 278, "Each row is a batch: half distorted images (in color), half originals (gray).", anchor="start"),
        text(330, 298, "Epoch 3 shows stored epoch 0 again, in a new order.", anchor="start"),
    ]
    return drawing(900, 312, "Stored epochs and training epochs", parts)


if __name__ == "__main__":
    (_HERE / "two-stages.svg").write_text(two_stages())
    (_HERE / "training-epochs.svg").write_text(training_epochs())
