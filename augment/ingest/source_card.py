"""A source file in one line, and as HTML for notebooks."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EpochbankError
from ..shared.html.card import Card, Picture, some
from ..shared.html.thumbnails import webp_data_uri
from ..shared.progress import counted, size
from ..shared.spacing import evenly_spaced
from ..shared.types import shape_text

if TYPE_CHECKING:
    from .source_file import SourceFile

_PICTURES, _SIDE = 8, 64


def source_text(source: "SourceFile") -> str:
    """Return a source file in one line."""
    groups = "" if source.group_names is None else f", groups={len(source.group_names)}"
    return (
        f"SourceFile({_shown(source.path)!r}, images={source.num_images}, shape={source.shape}, "
        f"classes={len(source.class_names)}{groups})"
    )


def source_card(source: "SourceFile") -> Card:
    """Return what a source file contains, with a few images. A damaged image is a problem of the card."""
    try:
        pictures, problems = _pictures(source), []
    except EpochbankError as error:
        pictures, problems = [], [str(error)]
    groups = source.group_names or []
    duplicates = "unknown" if source.duplicates is None else f"{source.duplicates:,}" if source.duplicates else ""
    return Card(
        "SourceFile",
        _shown(source.path),
        [
            ("images", f"{source.num_images:,} of {shape_text(source.shape)}"),
            ("classes", some(source.class_names, len(source.class_names))),
            ("groups", some(groups, len(groups)) if groups else "none"),
            ("splits", f"{', '.join(source.splits)}, as the source defines them" if source.splits else ""),
            ("import", source.decided),
            ("exact duplicates", duplicates),
            ("left out", f"{counted(source.skipped, 'unusable image')}" if source.skipped else ""),
            ("size", size(source.num_images * source.image_bytes)),
            ("digest", source.digest[:16]),
        ],
        pictures,
        notes=[note for note in source.notes if note != source.decided],
        problems=problems,
    )


def _pictures(source: "SourceFile") -> list[Picture]:
    """Return a few images, evenly spaced. Raises `EpochbankError` if the file is damaged."""
    rows = evenly_spaced(source.num_images, _PICTURES)
    labels = source.column("label")[rows].tolist()
    images = source.read(rows)
    return [
        Picture(webp_data_uri(image, side=_SIDE), source.class_names[label])
        for image, label in zip(images, labels, strict=True)
    ]


def _shown(path: Path) -> str:
    """Return the path relative to the working directory if it is below it."""
    with suppress(OSError, ValueError):  # The working directory may no longer exist.
        return str(path.relative_to(Path.cwd()))
    return str(path)
