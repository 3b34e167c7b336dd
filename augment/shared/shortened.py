"""Text that is too long for its place, with an ellipsis in the middle. Pure."""

from bisect import bisect_left
from collections.abc import Callable

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def shortened(text: str, fits: Callable[[str], bool], ellipsis: str = _ELLIPSIS) -> str:
    """Return `text` if it fits, else as much of its two ends as fits, twice as much of the last as of the first.

    `fits` is true for every text that is shorter than one for which it is true.
    """
    if fits(text):
        return text

    def ends(count: int) -> str:
        last = -(-2 * count // 3)
        return text[: count - last] + ellipsis + text[len(text) - last :]

    return ends(max(0, bisect_left(range(len(text)), True, key=lambda count: not fits(ends(count))) - 1))
