"""Matplotlib figures as SVG within a page: its colors follow the theme, its text is text.

Matplotlib is installed anyway, and its SVG is static and small: some kilobytes for a curve, no JavaScript.
"""

import re
import warnings
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

BLUE, ORANGE, GRAY, BLACK = "#2a6f97", "#d1603d", "#777777", "#222222"
"""Colors of the plots."""

_VARIABLES = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GRAY: "var(--muted)",
    BLACK: "currentColor",
    "#000000": "currentColor",
    "#b0b0b0": "var(--line)",  # Matplotlib's color of a grid.
    "#cccccc": "var(--line)",  # The frame of a legend.
    "#ffffff": "var(--page)",
}
"""Color of a figure to color of the page."""
_COLOR = re.compile("|".join(_VARIABLES), re.I)
_STYLE = re.compile(r'(?<= style=")[^"]*')
_FAMILY = re.compile(r"font-family: [^;]*(?:; )?")


def svg(figure: "Figure", name: str, label: str, *, interactive: bool = False) -> "Markup":
    """Return a figure as an SVG element.

    Parameters
    ----------
    figure
        Its background becomes transparent. The colors of this module, black, white and those of a grid follow the theme
        of the page; others stay as they are. An artist with a `gid` is a `<g>` with the id `NAME-GID`.
    name
        Prefix of all ids, unique in the page.
    label
        What a screen reader says: what the figure shows.
    interactive
        Whether a script makes parts of the figure buttons, which a screen reader then lists.
    """
    import matplotlib as mpl
    from markupsafe import Markup, escape

    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    file = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # A font of the browser draws the text, so it does not matter which characters Matplotlib's font has.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\b(id=")([^"]+)', rf"\1{name}-\2", text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{name}-", text)
    text = _STYLE.sub(_themed, text)
    # Without a fixed size, the style sheet determines it.
    head, rest = text.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    role = "group" if interactive else "img"
    return Markup(f'{head} role="{role}" aria-label="{escape(label)}">{rest}')


def _themed(style: re.Match[str]) -> str:
    """Return a style attribute with the colors of the page and its font, in the size that the figure has."""
    colored = _COLOR.sub(lambda color: _VARIABLES[color[0].lower()], style[0])
    return _FAMILY.sub("", colored)
