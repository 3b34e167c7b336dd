"""Text in plots: class names and origins, as they can be drawn."""

from pathlib import Path

from matplotlib.font_manager import FontProperties

from ...augment.shared.fonts import drawable

BLUE, ORANGE, GRAY, BLACK = "#2a6f97", "#d1603d", "#777777", "#222222"
"""Colors of the plots."""


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
