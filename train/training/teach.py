"""Write the labels of a trained model for every stored image of a set: the overlay `teachers/NAME/`.

The shards are those of the set, one by one. Each is published like any other shard, so the same call continues after a
kill, and adds the labels of epochs that were generated since.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import make_directory, move, refuse_links, sweep, sync, sync_directory, temporary_beside
from ...augment.shared.disk_space import check_disk_space
from ...augment.shared.lock import LOCK, writing
from ...augment.shared.progress import Progress, counted, size
from ...augment.shared.signals import interrupted
from ...augment.store.manifest import Entry, ManifestWriter
from ...augment.store.presence import lost_shards
from ...augment.store.shard_read import read_chunks
from ...augment.store.teacher_shard import write_teacher_shard
from ...augment.store.teachers import (
    Teacher,
    class_dtype,
    read_teacher,
    read_teacher_manifest,
    shards_to_teach,
    teacher_names,
    teacher_path,
    untaught,
    write_teacher,
)
from ..reading.stored_set import StoredSet
from .outputs import returns_probabilities
from .teacher_model import TeacherModel, load_teacher_model

DEFAULT_TOP = 10
_BLOCK = 64
"""Images in each call of the model. The last bits of its outputs depend on their number, so it is always the same."""
_OVERHEAD = 8192
"""Bytes of a shard beside the labels, at most."""


@dataclass(frozen=True)
class TeachResult:
    """What `teach` did."""

    directory: Path
    """Directory of the set."""
    name: str
    teacher: Teacher
    images: int
    """Number of images whose labels were written; 0 if none was missing."""
    shards: int
    epochs: list[int]
    """Stored epochs with labels."""
    bytes: int
    """Bytes of all labels."""

    def to_json(self) -> dict[str, Any]:
        """Return what `augment teach --json` prints."""
        return {
            "set": str(self.directory),
            "name": self.name,
            "path": str(teacher_path(self.directory, self.name)),
            "model": self.teacher.model,
            "top": self.teacher.top,
            "bytes_per_image": self.teacher.bytes_per_image,
            "images": self.images,
            "shards": self.shards,
            "epochs": self.epochs,
            "bytes": self.bytes,
        }

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        done = f"{self.images:,} images in {counted(self.shards, 'shard')}" if self.shards else "nothing was missing"
        return [
            f"teacher      {teacher_path(self.directory, self.name)}",
            f"written      {done}",
            f"labels       the top {self.teacher.top} of {counted(self.teacher.classes, 'class')}, "
            f"{self.teacher.bytes_per_image} bytes per image, {size(self.bytes)} in all",
            f"epochs       originals and {counted(len(self.epochs), 'stored epoch')}",
        ]


def teach(
    stored_set: StoredSet, found: TeacherModel, name: str, top: int | None, batch_size: int, version: str
) -> TeachResult:
    """Write the labels of a model that the teacher `name` of a set lacks.

    Parameters
    ----------
    stored_set
        The set.
    found
        The model.
    name
        Name of the teacher.
    top
        Number of classes to store for each image; None for 10, or as many as the teacher has.
    batch_size
        Number of images that are read and classified at a time; it does not change the labels.
    version
        Version of epochbank.

    Raises
    ------
    EpochbankError
        If the teacher is that of another model, the model does not fit, a shard of the set is damaged, the disk is too
        small, or another process writes the set.
    """
    directory, description = stored_set.path, stored_set.description
    folder = teacher_path(directory, name)
    with writing(directory / LOCK), _described(folder):
        refuse_links([folder.parent, folder])
        teacher = _teacher(stored_set, found, name, top, version)
        wanted = shards_to_teach(directory, description)
        taught = read_teacher_manifest(directory, name) if folder.exists() else []
        lost = {entry.file for entry in lost_shards(folder, taught)}
        missing = untaught(wanted, [entry for entry in taught if entry.file not in lost])
        if missing:
            needed = sum(entry.num_images * teacher.bytes_per_image + _OVERHEAD for entry in missing)
            check_disk_space(directory, needed, "the labels", "or choose a smaller --top")
            model = load_teacher_model(found, stored_set)
            make_directory(folder)
            sync_directory(folder.parent)
            sync_directory(directory)
            sweep(folder)
            if name not in teacher_names(directory):
                write_teacher(folder, teacher)
            _write(directory, folder, teacher, model, missing, batch_size)
        entries = read_teacher_manifest(directory, name)
    return TeachResult(
        directory,
        name,
        teacher,
        sum(entry.num_images for entry in missing),
        len(missing),
        sorted({entry.epoch for entry in wanted if entry.split == "epoch"}),
        sum(entry.bytes for entry in entries),
    )


def _teacher(stored_set: StoredSet, found: TeacherModel, name: str, top: int | None, version: str) -> Teacher:
    """Return the teacher that there is, or else a new one. Raises `EpochbankError` if there is another one."""
    classes = len(stored_set.class_names)
    if name not in teacher_names(stored_set.path):
        folder = teacher_path(stored_set.path, name)
        if folder.exists() and read_teacher_manifest(stored_set.path, name):
            raise EpochbankError(
                f"{folder} has labels, but no teacher.json that says of which model. Restore it from a copy, or remove "
                "this directory."
            )
        count = min(DEFAULT_TOP if top is None else top, classes)
        fingerprint = stored_set.description.fingerprint
        return Teacher(fingerprint, found.digest, count, classes, class_dtype(classes), version=version)
    teacher = read_teacher(stored_set.path, name, stored_set.description)
    if teacher.model != found.digest:
        raise EpochbankError(
            f"teacher {name!r} of {stored_set.path} is another model (digest {teacher.model[:8]}) than {found.file} "
            f"(digest {found.digest[:8]}). Choose another --name, or remove {teacher_path(stored_set.path, name)}.",
            usage=True,
        )
    if top is not None and min(top, classes) != teacher.top:
        raise EpochbankError(
            f"teacher {name!r} of {stored_set.path} has the top {teacher.top} classes of each image; expected --top "
            f"{teacher.top} instead of {top}. Omit --top, or choose another --name.",
            usage=True,
        )
    return teacher


def _write(
    directory: Path, folder: Path, teacher: Teacher, model: keras.Model, missing: list[Entry], batch_size: int
) -> None:
    """Write and publish the labels of each shard in `missing`."""
    with (
        closing(ManifestWriter(folder)) as manifest,
        Progress("teach", sum(entry.num_images for entry in missing)) as progress,
    ):
        for of in missing:
            classes, probabilities = _labels(directory, of, teacher, model, batch_size, progress)
            path = folder / of.file
            refuse_links([path.parent])
            if not path.parent.exists():
                path.parent.mkdir()
                sync_directory(folder)
            temporary = temporary_beside(path)
            try:
                entry = write_teacher_shard(temporary, of, teacher, classes, probabilities)
                sync(temporary)
                move(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            manifest.append(entry)


def _labels(
    directory: Path, of: Entry, teacher: Teacher, model: keras.Model, batch_size: int, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and probabilities (n, k) of the images in a shard of the set."""
    classes = np.empty((of.num_images, teacher.top), teacher.class_dtype)
    probabilities = np.empty(classes.shape, np.float16)
    at = 0
    for images in _blocks(directory, of, -(-batch_size // _BLOCK) * _BLOCK):
        for first in range(0, len(images), _BLOCK):
            block = images[first : first + _BLOCK]
            rows = slice(at, at + len(block))
            classes[rows], probabilities[rows] = most_probable(model, block, teacher.top)
            at = rows.stop
        progress.advance(len(images))
    return classes, probabilities


def _blocks(directory: Path, of: Entry, count: int) -> Iterator[np.ndarray]:
    """Yield the images of a shard, `count` at a time; the last may be fewer."""
    kept: list[np.ndarray] = []
    for _, (images, _, _) in read_chunks(directory, of, of.start, of.stop):
        kept.append(images)
        while sum(map(len, kept)) >= count:
            whole = np.concatenate(kept)
            yield whole[:count]
            kept = [whole[count:]]
    if sum(map(len, kept)):
        yield np.concatenate(kept)


def most_probable(model: keras.Model, images: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `top` most probable classes, and their probabilities float64, both (n, top), in descending order.

    `images` are uint8 (n, H, W, C), at most 64. Raises `EpochbankError` if the model returns NaN.
    """
    padded = np.zeros((_BLOCK, *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    probable = returns_probabilities(model, images)
    outputs = np.asarray(model.predict_on_batch(padded), np.float64)[: len(images)]
    if not np.isfinite(outputs).all():
        raise EpochbankError(
            f"model {model.name} returns NaN or infinity for images of the set; expected a logit or a probability per "
            "class. Check the model."
        )
    if not probable:
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs /= outputs.sum(1, keepdims=True)
    classes = np.sort(np.argpartition(-outputs, top - 1, axis=1)[:, :top], axis=1)  # Sorting all takes far longer.
    found = np.take_along_axis(outputs, classes, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    classes, found = np.take_along_axis(classes, order, axis=1), np.take_along_axis(found, order, axis=1)
    return classes, np.clip(found, 0, 1)


@contextmanager
def _described(folder: Path) -> Iterator[None]:
    """Say in the error how to continue."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise interrupted(error, f"Complete shards in {folder} are kept. Run the same command to continue.") from None
    except OSError as error:
        raise EpochbankError(
            f"writing to {folder} failed: {error}. Complete shards are kept. Fix the problem, then run the same "
            "command to continue."
        ) from error
