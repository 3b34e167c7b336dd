"""A small card of HTML: facts, notes and a few images. Notebooks show it for an object.

All text is escaped. The colors are those of the page, light or dark. There is no script, and without its style, which
some viewers remove, the card is still a readable table.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..shortened import shortened

_MOST_LINES = 5
"""Number of notes, and of problems, that are shown."""
_LONGEST, _LONGEST_CAPTION = 400, 24
"""Most characters of a text, and of the caption of an image; names in sets of other people may be long."""
_STYLE = (
    ".epochbank{border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:.6em .9em;max-width:60em;"
    "font-size:13px;line-height:1.45}"
    ".epochbank table{border-collapse:collapse;margin:.4em 0;border:0}"
    ".epochbank tr{background:none!important}"
    ".epochbank th,.epochbank td{text-align:left!important;vertical-align:top;padding:.05em 1.2em .05em 0;border:0;"
    "unicode-bidi:isolate;overflow-wrap:anywhere;max-width:46em;white-space:normal}"
    ".epochbank th{font-weight:normal;opacity:.7;white-space:nowrap}"
    ".epochbank figure{display:inline-block;margin:.3em .5em 0 0;text-align:center;vertical-align:top}"
    ".epochbank figure img{display:block;margin:auto;height:64px;width:auto;image-rendering:pixelated}"
    ".epochbank figcaption{font-size:11px;opacity:.8;max-width:72px;overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap;unicode-bidi:isolate}"
    ".epochbank p{margin:.3em 0}"
    ".epochbank .problem{border-left:4px solid #c44e1e;padding-left:.6em}"
)


@dataclass(frozen=True)
class Picture:
    """An image of a card."""

    uri: str
    """A data URI (`thumbnails.webp_data_uri`)."""
    caption: str


@dataclass(frozen=True)
class Card:
    """What a card shows."""

    kind: str
    """What the object is, such as `AugmentedSet`."""
    name: str
    facts: Sequence[tuple[str, str]]
    """Names and values, in order; those with an empty value are left out."""
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    problems: Sequence[str] = ()
    """What is wrong, one sentence each."""
    chart: str = field(default="", repr=False)
    """HTML, which is not escaped, of a chart."""

    def to_html(self) -> str:
        """Return the card as HTML."""
        rows = "".join(
            f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in self.facts if value
        )
        pictures = "".join(map(_figure, self.pictures))
        return (
            f'<div class="epochbank"><style>{_STYLE}</style><strong>{escaped(self.kind)}</strong> '
            f"<code>{escaped(self.name)}</code><table>{rows}</table>{self.chart}"
            f"{_lines(self.problems, 'problem', 'Problem: ')}{_lines(self.notes, 'note', '')}{pictures}</div>"
        )


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Return `text` for HTML, shortened to `longest` characters; a path need not be UTF-8."""
    text = shortened(text, lambda some: len(some) <= longest)
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _lines(texts: Sequence[str], kind: str, before: str) -> str:
    more = [f"{len(texts) - _MOST_LINES:,} more"] if len(texts) > _MOST_LINES else []
    shown = [before + text for text in texts[:_MOST_LINES]] + more
    return "".join(f'<p class="{kind}">{escaped(text)}</p>' for text in shown)


def _figure(picture: Picture) -> str:
    caption = escaped(picture.caption, _LONGEST_CAPTION)
    return (
        f'<figure><img src="{html.escape(picture.uri)}" alt="{caption}" title="{escaped(picture.caption)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def some(names: Iterable[str], count: int, most: int = 12) -> str:
    """Return a number of things, and the first of their names: `3: a, b, c`."""
    shown = [
        shortened(name, lambda text: len(text) <= _LONGEST_CAPTION) for name, _ in zip(names, range(most), strict=False)
    ]
    return f"{count:,}: {', '.join(shown)}{', ...' if count > len(shown) else ''}"
