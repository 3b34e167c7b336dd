"""A set as training sees it: opened once, streamed as often as one likes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import EpochbankError
from augment.store.catalogue import find_set
from augment.store.description import Description, read_description
from augment.store.manifest import Entry, published_epochs, read_manifest
from train.chunks import ChunkTable

if TYPE_CHECKING:
    from train.sequence import EvaluationSequence


@dataclass(frozen=True)
class Bank:
    """A set that is open for training: what is published when it is opened, and nothing that comes later."""

    path: Path
    description: Description
    entries: tuple[Entry, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        return self.description.shape

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, by label."""
        return self.description.class_names

    @property
    def images(self) -> dict[str, int]:
        """Pictures in each of the parts `train`, `validation`, `test`."""
        return self.description.images

    @cached_property
    def epochs(self) -> tuple[int, ...]:
        """Numbers of the published epochs."""
        return tuple(epoch.epoch for epoch in published_epochs(self.entries, self.images["train"]))

    @cached_property
    def _shards(self) -> dict[tuple[str, int], list[Entry]]:
        shards: dict[tuple[str, int], list[Entry]] = {}
        for entry in self.entries:
            shards.setdefault((entry.part, entry.epoch), []).append(entry)
        return shards

    def table(self, part: str, epoch: int = 0) -> ChunkTable:
        """Where the chunks of a part, or of a stored epoch (`part="epoch"`), lie.

        `EpochbankError` where it is not wholly published.
        """
        entries = self._shards.get((part, epoch), [])
        expected = self.images["train" if part == "epoch" else part]
        if sum(entry.images for entry in entries) != expected:
            raise EpochbankError(
                f"{self.path}: {f'epoch {epoch}' if part == 'epoch' else f'the {part} part'} is unfinished. "
                "Give the same `augment run` again, which completes it."
            )
        return ChunkTable(self.path, entries, self.shape)

    def validation(self, batch_size: int = 256) -> "EvaluationSequence":
        """The validation part, undistorted, in order, for Keras."""
        return self.part("validation", batch_size)

    def test(self, batch_size: int = 256) -> "EvaluationSequence":
        """The test part, undistorted, in order, for Keras."""
        return self.part("test", batch_size)

    def part(self, part: str, batch_size: int = 256) -> "EvaluationSequence":
        """An undistorted part, in its stored order, for Keras; `EpochbankError` where it is empty."""
        from train.sequence import EvaluationSequence

        return EvaluationSequence(self, part, batch_size)


def open_set(path: str | Path | None = None, sets: str | Path = "sets") -> Bank:
    """Open the set at `path`, or called so in `sets`, or the newest there.

    `EpochbankError` where there is none, it is damaged or of a newer format, or no epoch is published.
    """
    directory = find_set(path, Path(sets))
    bank = Bank(directory, read_description(directory), tuple(read_manifest(directory)))
    if not bank.epochs:
        raise EpochbankError(
            f"{directory} has no published epoch: its `augment run` has not ended, or was stopped in the first one. "
            "Give the same `augment run` again, which goes on from there."
        )
    return bank
