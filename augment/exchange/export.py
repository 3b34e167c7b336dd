"""Export a set to a new directory with its images in another format, which appears when it is complete."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ..errors import EpochbankError
from ..ingest.workspace import workspace_for
from ..shared.atomic import make_directory, sync_directory, write_text
from ..shared.disk_space import bytes_below, check_disk_space
from ..shared.progress import Progress, counted, size
from ..shared.reading_lock import ReadingLock
from ..shared.workers import on_all_cores
from ..sources.class_names import read_class_names
from ..store.description import Description, read_description
from ..store.manifest import read_manifest
from ..store.presence import check_presence
from ..store.split_file import read_group_names, read_split
from . import npz, parquet
from .blocks import Grouping, grouping_of, read_blocks, row_group
from .formats import FILE_NAMES, OVERHEAD, FileTask, check_format, write_file
from .place import naming, new_place, publish
from .png import encode_png
from .selection import Epochs, Piece, Selection, divided, select

ABOUT = "epochbank.json"
"""File that describes the set of an export."""
_CLASS_NAMES = "class_names"
"""File with the names of the classes: `.txt`, one per line, or `.json` if a name contains a line break."""

_FILE_BYTES = 256 * 10**6
"""Maximum number of bytes of a file, if no PNG has more bytes than its pixels."""
_SAMPLE = 32
"""Images that are encoded for the estimate, of the first and of the last shard of each split."""
_SPARE = 1.1
"""Free space that an export needs, as a multiple of the estimate."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: Path
    format: str
    epochs: tuple[int, ...]
    """Stored epochs."""
    originals: bool
    """Whether the undistorted training split is included."""
    num_images: dict[str, int]
    """Number of images of each split."""
    files: int
    """Number of files with images."""
    bytes: int
    """Bytes of all files."""


def export_set(
    directory: Path,
    dest: Path,
    format: str,
    jobs: int,
    *,
    epochs: Epochs = None,
    originals: bool = False,
    splits: Iterable[str] | None = None,
) -> Exported:
    """Write images of the set in `directory` to the new directory `dest`, with `jobs` processes.

    `dest` is written beside its place and renamed when it is complete and synced. The shards that are read are
    protected from `refresh` and `gc`. Memory does not grow with the set.

    Parameters
    ----------
    directory
        The set.
    dest
        Directory that does not exist, or is empty.
    format
        `webdataset`, `tfrecord`, `parquet` or `npz`.
    jobs
        Number of worker processes; `npz` is written by one.
    epochs, originals, splits
        See `selection.select`.

    Raises
    ------
    EpochbankError
        If the set or one of its shards is missing or damaged, nothing is selected, `dest` is not empty, the disk has
        no room, or a package is not installed.
    OSError
        If `dest` cannot be written.
    """
    check_format(format)
    with closing(_reading(directory)):  # Before the manifest is read: from then on no command deletes a listed shard.
        description = read_description(directory)
        if description.shape[2] not in (1, 3):
            raise EpochbankError(f"{directory} has images of {description.shape[2]} channels; expected 1 or 3.")
        selection = select(directory, description, read_manifest(directory), epochs, originals, splits)
        check_presence(directory, [piece.entry for pieces in selection.pieces.values() for piece in pieces])
        dest = new_place(dest, directory)
        needed = _estimate(directory, description, selection, format)
        check_disk_space(dest.parent, needed, "the export", "export fewer epochs, or choose another disk for DEST")
        make_directory(dest.parent)
        with naming(dest), workspace_for(dest, what="export") as workspace:
            content = workspace / "export"
            files = _write(content, directory, description, selection, format, jobs)
            for folder in (*(path for path in content.iterdir() if path.is_dir()), content):
                sync_directory(folder)
            written = bytes_below(content)
            publish(content, dest)
    return Exported(dest, format, selection.epochs, selection.originals, selection.num_images, files, written)


def export_lines(result: Exported) -> list[str]:
    """Return the result as lines of text."""
    parts = [f"epoch {number}" for number in result.epochs[:1]] if len(result.epochs) == 1 else []
    parts += [counted(len(result.epochs), "epoch")] if len(result.epochs) > 1 else []
    train = ", ".join([*(["originals"] if result.originals else []), *parts])
    listed = ", ".join(f"{split} {count:,}" for split, count in result.num_images.items())
    return [
        f"{result.path}: {counted(sum(result.num_images.values()), 'image')} ({listed})"
        + (f", train: {train}" if train else ""),
        f"{result.format}, {counted(result.files, 'file')}, {size(result.bytes)}",
    ]


def _reading(directory: Path) -> ReadingLock:
    try:
        return ReadingLock(directory)
    except FileNotFoundError as error:
        raise EpochbankError(f"{directory} does not exist; expected a set. `augment list` shows all sets.") from error


def _estimate(directory: Path, description: Description, selection: Selection, format: str) -> int:
    """Return about how many bytes an export takes, from the PNG of some images."""
    height, width, channels = description.shape
    total = 0.0
    for split, pieces in selection.pieces.items():
        each: float = height * width * channels
        if format != "npz":
            ends = [Piece(one.entry, one.first, min(one.last, one.first + _SAMPLE)) for one in (pieces[0], pieces[-1])]
            blocks = read_blocks(directory, description, ends, 0)
            sizes = [len(encode_png(image)) for block in blocks for image in block.images]
            each = sum(sizes) / len(sizes)
        total += selection.num_images[split] * (each + OVERHEAD[format])
    return round(total * _SPARE)


def _write(
    content: Path, directory: Path, description: Description, selection: Selection, format: str, jobs: int
) -> int:
    """Write all files of an export to the new directory `content`; return the number of those with images."""
    content.mkdir()
    grouping = grouping_of(directory, description, selection)
    counts = selection.num_images
    with Progress("export", sum(counts.values())) as progress:
        if format == "npz":
            with open(content / npz.FILE, "xb") as file:
                splits = {
                    split: (counts[split], read_blocks(directory, description, pieces, 0, grouping))
                    for split, pieces in selection.pieces.items()
                }
                width = _group_bytes(directory, selection, grouping)
                npz.write(
                    file, splits, description.shape, description.class_names, width, content.parent, progress.advance
                )
                file.flush()
                os.fsync(file.fileno())
            files = 1
        else:
            tasks = list(_tasks(content, directory, description, selection, format, grouping))
            for folder in {task.path.parent for task in tasks}:
                folder.mkdir(exist_ok=True)
            for _, count in on_all_cores(write_file, tasks, len(tasks), jobs):
                progress.advance(count)
            files = len(tasks)
    if format == "parquet":
        write_text(content / "README.md", parquet.card(description.name, selection.pieces))
    if format != "npz":
        _write_class_names(content, description.class_names)
    about = _about(description, selection, format, grouping)
    write_text(content / ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return files


def _group_bytes(directory: Path, selection: Selection, grouping: Grouping) -> int | None:
    """Return the most bytes of the name of a group, in UTF-8; None if the export has no groups."""
    if grouping == "none":
        return None
    if grouping == "source":
        return max(len(name.encode()) for name in read_group_names(directory))
    return max(len(row_group(int(read_split(directory, split).row.max(initial=0)))) for split in selection.pieces)


def _tasks(
    content: Path, directory: Path, description: Description, selection: Selection, format: str, grouping: Grouping
) -> Iterator[FileTask]:
    """Yield the files to write, each with as many images as surely fit into `_FILE_BYTES`, in order."""
    height, width, channels = description.shape
    most = max(1, _FILE_BYTES // (height * width * channels + OVERHEAD[format]))
    for split, pieces in selection.pieces.items():
        total = selection.num_images[split]
        each = -(-total // -(-total // most))  # Files of one split have the same number of images.
        files = divided(pieces, each)
        for number, inside in enumerate(files):
            path = content / FILE_NAMES[format](split, number, len(files))
            yield FileTask(path, format, directory.absolute(), description, grouping, inside, number * each)


def _about(description: Description, selection: Selection, format: str, grouping: Grouping) -> dict[str, object]:
    return {
        "format": format,
        "set": description.name,
        "fingerprint": description.fingerprint,
        "source": description.source["name"],
        "recipe": description.recipe,
        "seed": description.identity.get("seed"),
        "shape": list(description.shape),
        "epochs": list(selection.epochs),
        "originals": selection.originals,
        "images": selection.num_images,
        "groups": grouping,
        "class_names": description.class_names,
        "epochbank": __version__,
    }


def _write_class_names(content: Path, class_names: list[str]) -> None:
    """Write the names as text, one per line, or as JSON if `--class-names` would read other names from the text."""
    path = content / f"{_CLASS_NAMES}.txt"
    write_text(path, "".join(f"{name}\n" for name in class_names))
    try:
        same = list(read_class_names(path).items()) == list(enumerate(class_names))
    except EpochbankError as error:  # Such as a name with a line break.
        if isinstance(error.__cause__, OSError):
            raise EpochbankError(f"{path} cannot be read back: {error.__cause__}. Check the disk.") from error
        same = False
    if not same:
        path.unlink()
        write_text(path.with_suffix(".json"), json.dumps(class_names, ensure_ascii=False, indent=1) + "\n")
