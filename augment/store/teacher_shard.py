"""A shard of a teacher: one HDF5 file with the labels of the images in a shard of the set.

Datasets: `class` uint16 or uint32 (n, k), the k most probable classes of each image, the most probable first;
`probability` float16 (n, k); `checksum` uint32 (chunks,), the CRC-32 of the classes, then of the probabilities, of the
images in each chunk of the set's shard.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from h5py import h5d
from isal import isal_zlib

from ..errors import EpochbankError
from ..shared.hdf5_output import hdf5_output
from .description import Description
from .digest import file_checksum
from .manifest import Entry
from .presence import fault_of
from .shard import IDENTITY, identity_of, new_format
from .shard_index import offset_of, opened
from .teachers import Teacher, read_teacher, read_teacher_manifest, teacher_names, teacher_path


@dataclass(frozen=True)
class TeacherIndex:
    """Where the labels of one shard are in its file. 4 bytes per chunk."""

    classes: int
    """Byte offset of the classes (n, k)."""
    probabilities: int
    """Byte offset of the probabilities (n, k)."""
    checksums: np.ndarray
    """uint32 (chunks,): see `labels_checksum`."""


def write_teacher_shard(
    path: Path, of: Entry, teacher: Teacher, classes: np.ndarray, probabilities: np.ndarray
) -> Entry:
    """Write the labels of the images in the set's shard `of` to the new file `path`, and return their manifest entry.

    `classes` and `probabilities` are (n, k), of the types in `teacher`. The file is neither synced nor published.
    Raises `OSError` if it cannot be written.
    """
    starts = range(0, of.num_images, of.chunk)
    checksums = [labels_checksum(classes[at : at + of.chunk], probabilities[at : at + of.chunk]) for at in starts]
    digest = xxhash.xxh3_128(classes.tobytes() + probabilities.tobytes()).hexdigest()
    where = f"stored epoch {of.epoch}" if of.split == "epoch" else f"the {of.split} split"
    with hdf5_output(path, "x", create=new_format) as (file, _):
        file["class"], file["probability"] = classes, probabilities
        file["checksum"] = np.array(checksums, np.uint32)
        file.attrs.update(
            about=f"epochbank teacher labels: positions {of.start} to {of.stop - 1} of {where}",
            fingerprint=teacher.fingerprint,
            model=teacher.model,
        )
        file.attrs[IDENTITY] = np.bytes_(identity_of(of, digest))
    return Entry(
        split=of.split,
        epoch=of.epoch,
        start=of.start,
        num_images=of.num_images,
        chunk=of.chunk,
        codec="none",
        file=of.file,
        bytes=path.stat().st_size,
        checksum=file_checksum(path),
        digest=digest,
    )


def labels_checksum(classes: np.ndarray, probabilities: np.ndarray) -> int:
    """Return the CRC-32 of the classes followed by the probabilities, both contiguous (m, k)."""
    return isal_zlib.crc32(probabilities.data.cast("B"), isal_zlib.crc32(classes.data.cast("B")))


def read_teacher_index(directory: Path, entry: Entry, teacher: Teacher) -> TeacherIndex:
    """Return where the labels of a shard are; `directory` is that of the teacher.

    Raises `EpochbankError` if the file is missing, damaged, or not the shard that `entry` describes.
    """
    with opened(directory, entry) as file:
        shape, chunks = (entry.num_images, teacher.top), -(-entry.num_images // entry.chunk)
        offsets = []
        for name, expected, dtype in (
            ("class", shape, teacher.class_dtype),
            ("probability", shape, teacher.probability_dtype),
            ("checksum", (chunks,), "uint32"),
        ):
            dataset = h5d.open(file.id, name.encode())
            if dataset.shape != expected or dataset.dtype != dtype:
                raise ValueError(f"the dataset {name} is {dataset.dtype} {dataset.shape}; expected {dtype} {expected}")
            offsets.append(offset_of(dataset, entry))
        checksums = np.fromfile(directory / entry.file, np.uint32, chunks, offset=offsets[2])
        return TeacherIndex(offsets[0], offsets[1], checksums)


def teacher_faults(directory: Path, description: Description) -> list[str]:
    """Return one sentence for each fault of the teachers of the set in `directory`; every file is read."""
    faults = []
    for name in teacher_names(directory):
        folder = teacher_path(directory, name)
        try:
            teacher, entries = read_teacher(directory, name, description), read_teacher_manifest(directory, name)
        except EpochbankError as error:
            faults.append(str(error))
            continue
        for entry in entries:
            if fault := _fault(folder, entry, teacher):
                faults.append(f"{folder / entry.file}, labels of a teacher: {fault}. {REWRITE}")
    return faults


REWRITE = "Delete this file, then run the same `augment teach` again, which writes it again."
"""The fix in messages about a damaged shard of a teacher."""


def _fault(folder: Path, entry: Entry, teacher: Teacher) -> str:
    if fault := fault_of(folder / entry.file, entry):
        return fault
    try:
        if file_checksum(folder / entry.file) != entry.checksum:
            return "the file was changed: its checksum is wrong"
        read_teacher_index(folder, entry, teacher)
    except EpochbankError as error:
        return str(error.__cause__)
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"
    return ""
