"""The labels of a teacher, read with the images that they belong to: chunk by chunk, and verified."""

import threading
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.store.manifest import NAME, Entry
from ...augment.store.presence import fault_of, lost_shards
from ...augment.store.teacher_shard import REWRITE, TeacherIndex, labels_checksum, read_teacher_index
from ...augment.store.teachers import Teacher, read_teacher, read_teacher_manifest, teacher_path, untaught
from .chunk_table import ChunkTable, Distort
from .disk import Disk
from .stored_set import StoredSet


@dataclass(frozen=True)
class TeacherLabels:
    """The labels of a teacher of a set. Picklable."""

    directory: Path
    """Directory of the set."""
    name: str
    teacher: Teacher

    @property
    def dtype(self) -> np.dtype:
        """Type of what is known of an image: `label` int32, `class` (k,), `probability` float16 (k,)."""
        top = (self.teacher.top,)
        return np.dtype([("label", "i4"), ("class", self.teacher.class_dtype, top), ("probability", "f2", top)])

    def check(self, shards: list[Entry]) -> None:
        """Raise `EpochbankError` unless all images of the set's `shards` have labels, whose files exist."""
        listed = self._by_file()
        taught = [listed[one.file] for one in shards if one.file in listed]
        if missing := untaught(shards, taught):
            first = missing[0]
            where = f"stored epoch {first.epoch}" if first.split == "epoch" else "the undistorted training split"
            raise EpochbankError(
                f"teacher {self.name!r} of {self.directory} has no labels for {where}. Add them: augment teach "
                f"{self.directory} --name {self.name} --model MODEL"
            )
        folder = teacher_path(self.directory, self.name)
        if lost := lost_shards(folder, taught):
            path = folder / lost[0].file
            raise EpochbankError(f"{path}, labels of a teacher: {fault_of(path, lost[0])}. {REWRITE}")

    def table(self, images: ChunkTable) -> "TeacherTable":
        """Return a table that reads the chunks of `images` together with their labels.

        Raises `EpochbankError` if some images have no labels.
        """
        self.check(list(images.shards))  # Again: a set that is followed has epochs that were not there before.
        listed = self._by_file()
        return TeacherTable(images, self, [listed[one.file] for one in images.shards])

    def _by_file(self) -> dict[str, Entry]:
        """Return the shards of the teacher by the names of their files. The manifests are read if they have changed."""
        states = tuple(_state(folder / NAME) for folder in (self.directory, teacher_path(self.directory, self.name)))
        return _listed(self.directory, self.name, states)


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a manifest is extended or replaced."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)
def _listed(directory: Path, name: str, states: tuple[tuple[int, ...], ...]) -> dict[str, Entry]:
    return {entry.file: entry for entry in read_teacher_manifest(directory, name)}


def open_teacher(stored_set: StoredSet, name: str) -> TeacherLabels:
    """Return the labels of the teacher `name` of a set.

    Raises `EpochbankError` if there is no such teacher, it is damaged, or some training images have no labels.
    """
    labels = TeacherLabels(stored_set.path, name, read_teacher(stored_set.path, name, stored_set.description))
    shown = [entry for entry in stored_set.entries if entry.split == "train"]
    shown += [entry for entry in stored_set.entries if entry.split == "epoch" and entry.epoch in stored_set.epochs]
    labels.check(shown)
    return labels


class TeacherTable:
    """A chunk table that reads labels of `TeacherLabels.dtype` instead of int32. Thread-safe."""

    def __init__(self, images: ChunkTable, labels: TeacherLabels, shards: list[Entry]):
        """`shards` are the teacher's, in the order of `images.shards`."""
        self.chunk_sizes, self.chunk_bytes, self.shards = images.chunk_sizes, images.chunk_bytes, images.shards
        self._images, self._labels, self._shards = images, labels, shards
        self._folder = teacher_path(labels.directory, labels.name)
        self._first = [0, *accumulate(-(-entry.num_images // entry.chunk) for entry in shards)]
        self._lock = threading.Lock()
        self._indexes: dict[int, TeacherIndex] = {}

    @property
    def chunks_per_shard(self) -> np.ndarray:
        """int64 (shards,): number of chunks in each shard."""
        return self._images.chunks_per_shard

    def read(
        self,
        number: int,
        images: np.ndarray,
        labels: np.ndarray,
        disk: Disk,
        slots: np.ndarray | None = None,
        distort: Distort | None = None,
    ) -> None:
        """Read chunk `number` like `ChunkTable.read`; `labels` have `TeacherLabels.dtype`."""
        classes, probabilities = self._read(number, disk)
        if slots is None:
            plain = np.empty(len(labels), np.int32)
            self._images.read(number, images, plain, disk)
            labels["label"] = plain
        else:
            self._images.read(number, images, labels["label"], disk, slots, distort)
        where = slice(None) if slots is None else slots
        labels["class"][where], labels["probability"][where] = classes, probabilities

    def _read(self, number: int, disk: Disk) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes and probabilities (m, k) of a chunk. Raises `EpochbankError` if they are damaged."""
        shard = bisect_right(self._first, number) - 1
        entry, within, teacher = self._shards[shard], number - self._first[shard], self._labels.teacher
        if shard not in self._indexes:
            with disk.waiting(), self._lock:
                if shard not in self._indexes:
                    self._indexes[shard] = read_teacher_index(self._folder, entry, teacher)
        index, path, at = self._indexes[shard], str(self._folder / entry.file), within * entry.chunk * teacher.top
        shape = int(self.chunk_sizes[number]), teacher.top
        classes, probabilities = np.empty(shape, teacher.class_dtype), np.empty(shape, np.float16)
        try:
            disk.read(path, classes.data.cast("B"), index.classes + classes.itemsize * at)
            disk.read(path, probabilities.data.cast("B"), index.probabilities + 2 * at)
            if labels_checksum(classes, probabilities) != index.checksums[within]:
                raise ValueError("the checksum of the labels is wrong")
            # A checksum shows damage, but not what somebody wrote on purpose.
            if classes.max() >= teacher.classes or not (probabilities >= 0).all() or not (probabilities <= 1).all():
                raise ValueError("a class or a probability is out of range")
        except (OSError, ValueError) as error:
            start = entry.start + within * entry.chunk
            raise EpochbankError(
                f"{path}, labels of a teacher for positions {start} to {start + shape[0] - 1}, cannot be used: "
                f"{error}. {REWRITE}"
            ) from error
        return classes, probabilities
