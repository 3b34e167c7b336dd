"""Small curves as SVG, in the color of the text around them, without Matplotlib, whose import takes a second."""

import math
from collections.abc import Sequence

from .card import escaped

_WIDTH, _HEIGHT, _EDGE = 220, 56, 3
"""Size of the drawing, and the margin that keeps its lines inside, in pixels."""
_DASHES = ("", "4 3")
"""Of the first curve, and of the second one."""


def curves(label: str, series: Sequence[Sequence[float]], low: float, high: float) -> str:
    """Return one or two curves over the same epochs as an SVG element; values that are not finite leave gaps.

    Parameters
    ----------
    label
        What a screen reader says: what the curves show.
    series
        The values of each curve, by epoch. The first is solid, the second dashed.
    low, high
        The values at the bottom and at the top.
    """
    longest = max(map(len, series))
    lines = "".join(
        f'<polyline points="{" ".join(points)}" stroke-dasharray="{dashes}"/>'
        for values, dashes in zip(series, _DASHES, strict=False)
        for points in _pieces(values, longest, low, high)
    )
    return (
        f'<svg role="img" aria-label="{escaped(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" fill="none" stroke="currentColor" stroke-width="1.5" '
        f'stroke-linejoin="round">{lines}</svg>'
    )


def _pieces(values: Sequence[float], longest: int, low: float, high: float) -> list[list[str]]:
    """Return the points of the curve, `x,y`, in pieces without gaps. A single value is a short line."""
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if not math.isfinite(value):
            pieces.append([])
            continue
        share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        x = _EDGE + number / max(1, longest - 1) * (_WIDTH - 2 * _EDGE)
        pieces[-1].append(f"{x:.1f},{_EDGE + (1 - share) * (_HEIGHT - 2 * _EDGE):.1f}")
    return [piece if len(piece) > 1 else [*piece, f"{float(piece[0].split(',')[0]) + 2:.1f},{piece[0].split(',')[1]}"]
            for piece in pieces if piece]  # fmt: skip
