"""Text in plots: class names, origins and probabilities, as they can be drawn."""

from pathlib import Path

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from ...augment.shared.fonts import drawable
from ...augment.shared.shortened import shortened


def class_text(name: str, size: float) -> tuple[str, FontProperties]:
    """Return the end of a class name as it can be drawn, and a font of `size` points that has its characters."""
    return text_of(end_of("/".join(name.split("/")[-2:])), size)


def text_of(text: str, size: float) -> tuple[str, FontProperties]:
    """Return a text, whose lines may be several, as it can be drawn, and a font of `size` points for it."""
    lines = text.split("\n")
    _, font = drawable("".join(lines))
    shown = (drawable(line, Path(font) if font else None)[0] for line in lines)
    return "\n".join(shown).replace("$", r"\$"), FontProperties(fname=font or None, size=size)


def end_of(text: str, longest: int = 22) -> str:
    """Return the last `longest` characters of a text, with an ellipsis if it is longer."""
    return text if len(text) <= longest else "…" + text[1 - longest :]


def fitted(text: str, size: float, width: float) -> str:
    """Return a line of text, cut in the middle if it is wider than `width` points in a font of `size` points."""

    def fits(line: str) -> bool:
        shown, font = text_of(line, size)
        return bool(text_to_path.get_text_width_height_descent(shown, font, ismath=False)[0] <= width)

    return shortened(text, fits)


def percent(share: float) -> str:
    """Return a share, 0 to 1, in percent; below 1 % with a digit that is not 0: `87 %`, `0.4 %`, `0.02 %`."""
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"
