"""Samples: one image each, encoded, with what is known of it, for the formats that have records."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .blocks import Block
from .png import encode_png


@dataclass(frozen=True)
class Sample:
    """One image of an export."""

    number: int
    """Number in the exported split."""
    png: bytes
    label: int
    """Class index."""
    name: str
    """Name of the class."""
    group: str | None
    """None if the export has no groups."""
    row: int
    """Row in the source file."""
    epoch: int
    """Number of the stored epoch; -1 for an undistorted image."""
    position: int
    """Position in the stored epoch or split."""


def samples(blocks: Iterable[Block], class_names: list[str]) -> Iterator[Sample]:
    """Yield the samples of `blocks` in order."""
    for block in blocks:
        for place, image in enumerate(block.images):
            label = int(block.labels[place])
            yield Sample(
                number=block.start + place,
                png=encode_png(image),
                label=label,
                name=class_names[label],
                group=None if block.groups is None else block.groups[place],
                row=int(block.rows[place]),
                epoch=block.epoch,
                position=block.position + place,
            )
