"""Counts files with several images: documents of several pages, and animations. Only their first image is used."""

from collections.abc import Callable, Sequence
from typing import IO

from PIL import Image

from ...shared.progress import counted
from ...shared.spacing import evenly_spaced

_SUFFIXES = (b".tif", b".tiff", b".gif", b".webp", b".apng")
_FORMATS = ("TIFF", "GIF", "WEBP", "PNG")
_MOST = 10_000
"""Maximum number of files that are checked; of more, an evenly spaced sample."""


def may_have_frames(name: bytes) -> bool:
    """Return whether a file has the suffix of a format that can hold several images."""
    return name.lower().endswith(_SUFFIXES)


def frames_note(indices: Sequence[int], read: Callable[[int], bytes | IO[bytes] | None]) -> list[str]:
    """Return a note that counts the files with several images; empty if there are none.

    Parameters
    ----------
    indices
        Images whose format can hold several.
    read
        Returns path, open file or content of an image; None if it cannot be read, which its import reports.
    """
    checked = [indices[place] for place in evenly_spaced(len(indices), _MOST)]
    count = sum(map(_has_several, map(read, checked)))
    if not count:
        return []
    of = f" of {len(checked):,} checked ones" if len(checked) < len(indices) else ""
    verb = "has" if count == 1 else "have"
    return [f"{counted(count, 'image file')}{of} {verb} several pages or frames; only the first of each is used"]


def _has_several(file: bytes | IO[bytes] | None) -> bool:
    if file is None:
        return False
    try:
        with Image.open(file, formats=_FORMATS) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow raises many types for damaged files; importing the image reports it.
        return False
