"""Teachers of a set: the labels that a trained model gives to its stored images, in `teachers/NAME/` of the set.

`teacher.json` says which model; it is written once. A manifest like that of the set lists the shards, each of which has
the labels of the images in the set's shard of the same name (`store.teacher_shard`). Nothing else of the set depends on
its teachers.
"""

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..shared.atomic import write_text
from ..shared.closest import did_you_mean
from .description import Description, fingerprint_of, is_digest
from .manifest import Entry, epoch_of_file, first_epoch, published_epochs, read_manifest, unlisted
from .set_files import check_directory

FOLDER = "teachers"
_FILE = "teacher.json"
_FORMAT = 1
_NAME = re.compile(r"\w[\w.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Teacher:
    """What the labels of a teacher are. Which images have them is in its manifest."""

    fingerprint: str
    """Fingerprint of the set."""
    model: str
    """XXH3-128 of the file of the model, hexadecimal."""
    top: int
    """Number of classes that are stored for each image, the most probable ones."""
    classes: int
    """Number of classes of the set."""
    class_dtype: str
    """`uint16`, or `uint32` for more than 65,536 classes."""
    probability_dtype: str = "float16"
    version: str = ""
    """Version of epochbank that wrote the first labels."""

    @property
    def bytes_per_image(self) -> int:
        """Bytes of the labels of one image."""
        return self.top * (4 if self.class_dtype == "uint16" else 6)


def teacher_path(directory: Path, name: str) -> Path:
    """Return the directory of the teacher `name` of the set in `directory`, which need not exist.

    Raises `EpochbankError` unless the name is 1 to 64 ASCII letters, digits, `_`, `.`, `+` and `-`, and does not begin
    with one of the last three.
    """
    if not _NAME.fullmatch(name):
        raise EpochbankError(
            f"teacher name {name!r} is invalid; expected 1 to 64 ASCII letters, digits and `_.+-`, beginning with a "
            "letter, a digit or `_`.",
            usage=True,
        )
    return directory / FOLDER / name


def teacher_names(directory: Path) -> list[str]:
    """Return the names of the teachers of the set in `directory`, sorted."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory / FOLDER) as found:
        return sorted(one.name for one in found if _NAME.fullmatch(one.name) and (Path(one.path) / _FILE).exists())
    return []


def write_teacher(directory: Path, teacher: Teacher) -> None:
    """Write and publish `teacher.json` in `directory`, that of the teacher."""
    document = {"format": _FORMAT, **asdict(teacher)}
    document["checksum"] = fingerprint_of(document)
    write_text(directory / _FILE, json.dumps(document, indent=2) + "\n")


def read_teacher(directory: Path, name: str, description: Description) -> Teacher:
    """Read `teacher.json` of the teacher `name` of the set in `directory`, whose description is `description`.

    Raises `EpochbankError` if there is no such teacher, or it is damaged or that of another set.
    """
    folder = teacher_path(directory, name)
    path = folder / _FILE
    try:
        check_directory(folder.parent)
        check_directory(folder)
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise EpochbankError(
                f"{folder} is a teacher of format {document['format']}; this epochbank reads format {_FORMAT}. Upgrade "
                "epochbank, or write the labels again under another name."
            )
        if document.pop("checksum") != fingerprint_of(document):
            raise ValueError("it was changed: its checksum is wrong")
        del document["format"]
        teacher = Teacher(**document)
        if wrong := [name for name, right in _checks(teacher) if not right]:
            raise ValueError(f"the value of {wrong[0]} is impossible")
    except (FileNotFoundError, NotADirectoryError) as error:
        names = teacher_names(directory)
        there = f"expected one of {', '.join(names)}" if names else "it has none"
        raise EpochbankError(
            f"{directory} has no teacher {name!r}; {there}.{did_you_mean(name, names)} `augment teach` writes the "
            "labels of a model.",
            usage=True,
        ) from error
    except OSError as error:
        raise EpochbankError(
            f"{path} cannot be read: {error.strerror or error}. Check the disk and the permissions."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the JSON that `augment teach` wrote. Restore it from a copy, or "
            f"remove {folder} and run `augment teach` again."
        ) from error
    if teacher.fingerprint != description.fingerprint or teacher.classes != len(description.class_names):
        raise EpochbankError(
            f"{folder} is a teacher of another set (fingerprint {teacher.fingerprint[:8]} instead of "
            f"{description.fingerprint[:8]}). Remove it, and write the labels again with `augment teach`."
        )
    return teacher


def _checks(teacher: Teacher) -> Iterable[tuple[str, bool]]:
    """Yield the name of each field, and whether it can have its value."""
    yield "fingerprint", isinstance(teacher.fingerprint, str)
    yield "model", is_digest(teacher.model)
    yield "classes", type(teacher.classes) is int and 2 <= teacher.classes < 1 << 31
    yield "top", type(teacher.top) is int and 1 <= teacher.top <= teacher.classes
    yield "class_dtype", teacher.class_dtype == class_dtype(teacher.classes)
    yield "probability_dtype", teacher.probability_dtype == "float16"
    yield "version", isinstance(teacher.version, str)


def class_dtype(classes: int) -> str:
    """Return the type in which class numbers below `classes` are stored."""
    return "uint16" if classes <= 1 << 16 else "uint32"


def read_teacher_manifest(directory: Path, name: str) -> list[Entry]:
    """Return the published shards of a teacher of the set in `directory`, without those of retired epochs.

    Raises `EpochbankError` if a manifest is damaged.
    """
    first, folder = first_epoch(directory), teacher_path(directory, name)
    try:
        entries = read_manifest(folder)
    except EpochbankError as error:
        what = str(error).partition(". ")[0]
        raise EpochbankError(
            f"{what}. Restore it from a copy, or remove {folder} and run `augment teach` again."
        ) from error
    return [entry for entry in entries if entry.split == "train" or (entry.split == "epoch" and entry.epoch >= first)]


def untaught(shards: Iterable[Entry], taught: Iterable[Entry]) -> list[Entry]:
    """Return those of the set's `shards` whose images have no labels among `taught`, the shards of a teacher."""
    have = {(entry.file, entry.num_images, entry.chunk) for entry in taught}
    return [entry for entry in shards if (entry.file, entry.num_images, entry.chunk) not in have]


def shards_to_teach(directory: Path, description: Description) -> list[Entry]:
    """Return the shards of the undistorted training split and of the published epochs of the set in `directory`."""
    entries, count = read_manifest(directory), description.num_images["train"]
    published = {epoch.epoch for epoch in published_epochs(entries, count)}
    return [one for one in entries if one.split == "train" or (one.split == "epoch" and one.epoch in published)]


def teacher_facts(directory: Path, description: Description) -> list[dict[str, Any]]:
    """Return `name`, `model`, `top`, `train`, `epochs` and `bytes` of each teacher of the set in `directory`.

    `train` says whether the undistorted training split has labels, and `epochs` which stored epochs have them. Raises
    `EpochbankError` if a teacher is damaged.
    """
    facts: list[dict[str, Any]] = []
    names = teacher_names(directory)
    wanted = shards_to_teach(directory, description) if names else []
    parts = {(one.split, one.epoch) for one in wanted}
    for name in names:
        teacher, entries = read_teacher(directory, name, description), read_teacher_manifest(directory, name)
        complete = sorted(parts - {(one.split, one.epoch) for one in untaught(wanted, entries)})
        facts.append(
            {
                "name": name,
                "model": teacher.model,
                "top": teacher.top,
                "train": ("train", 0) in complete,
                "epochs": [epoch for split, epoch in complete if split == "epoch"],
                "bytes": sum(entry.bytes for entry in entries),
            }
        )
    return facts


def stale_teacher_shards(directory: Path) -> dict[str, str]:
    """Return the shards of teachers that nothing needs, as paths relative to the set's `directory`, and why.

    Raises `EpochbankError` if a manifest is damaged.
    """
    names = teacher_names(directory)
    first = first_epoch(directory) if names else 0
    return {
        f"{FOLDER}/{name}/{file}": "labels of a teacher that its manifest does not list, or of a retired epoch"
        for name in names
        for file in unlisted(directory / FOLDER / name, read_teacher_manifest(directory, name))
        # A training that follows the set may still read a retired epoch whose folder is there.
        if not (epoch_of_file(file) < first and (directory / file).parent.exists())
    }
