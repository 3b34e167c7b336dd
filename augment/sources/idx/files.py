"""Finds the IDX files of a folder, and pairs images with labels, by their names.

`train-images-idx3-ubyte` belongs to `train-labels-idx1-ubyte`. `t10k-` and `test-` name the test split. The names may
begin with a prefix for the dataset (`emnist-balanced-`), have `.` instead of `-` before `idx`, and end with `.gz`.
"""

from pathlib import Path
from typing import NamedTuple

from ...errors import EpochbankError
from .names import IDX_NAME
from .places import Container, Place, find_container

_SPLITS = {"train": 0, "test": 2, "t10k": 2}
_EXAMPLE = "train-images-idx3-ubyte and train-labels-idx1-ubyte, or .gz of them"


class Pair(NamedTuple):
    """The files of one split."""

    split: int
    images: Place
    labels: Place


class IdxFiles(NamedTuple):
    """The files of a dataset."""

    container: Container
    prefix: str
    """What the names of the files begin with, in lower case: `emnist-balanced`, or empty."""
    pairs: list[Pair]


class _File(NamedTuple):
    """An IDX file, described by its name; the texts are in lower case."""

    prefix: str
    split: int
    content: str
    """`images` or `labels`."""
    place: Place


def find_pairs(path: Path) -> IdxFiles:
    """Return the files of a dataset.

    `path` is a folder or an archive, a folder that leads to one, a file of images, or a folder or an archive and a
    prefix. Raises `EpochbankError` if files are missing, or if several datasets match.
    """
    container, files = find_container(path), []
    for place in container.places:
        match = IDX_NAME.fullmatch(place.name)
        if match:
            prefix, split, content = (match[key].lower() for key in ("prefix", "split", "content"))
            files.append(_File(prefix, _SPLITS[split], content[:6], place))
    prefixes = sorted({file.prefix for file in files})
    if not prefixes:
        raise EpochbankError(f"{container.path} holds no IDX files; expected {_EXAMPLE}.")
    only = None
    if path.is_file() and path != container.path:
        only = next((file for file in files if file.place.path == path and file.content == "images"), None)
        if only is None:
            raise EpochbankError(
                f"{path} does not have the name of an IDX file of images; expected a name like {_EXAMPLE}. Rename the "
                "file, or use its folder as SOURCE.",
                usage=True,
            )
        files = [only, *(file for file in files if file.content == "labels" and file.split == only.split)]
    prefix = only.prefix if only else _choose_prefix(path, container.path, prefixes)
    return IdxFiles(container, prefix, _pairs([file for file in files if file.prefix == prefix]))


def _choose_prefix(place: Path, folder: Path, prefixes: list[str]) -> str:
    requested = None if place.exists() else place.name.lower().rstrip("-_.")
    if requested in prefixes:
        return requested
    if requested is None and len(prefixes) == 1:
        return prefixes[0]
    choices = ", ".join(f"idx:{folder / prefix}" for prefix in prefixes if prefix)
    move = "" if "" not in prefixes else " Move the files that begin with train- or t10k- to a separate folder."
    found = f"{folder} holds several datasets" if requested is None else f"no IDX files begin with {place}"
    raise EpochbankError(f"{found}; expected one of {choices or folder}.{move}", usage=True)


def _pairs(files: list[_File]) -> list[Pair]:
    """Pair the files of each split. A .gz, or a file in a folder of its own name, is used only without another copy."""
    found: dict[tuple[int, str], Place] = {}
    for file in sorted(files, key=lambda file: _rank(file.place)):
        known = found.setdefault((file.split, file.content), file.place)
        if known != file.place and _rank(known) == _rank(file.place):
            raise EpochbankError(
                f"{known} and {file.place} have names for the same data; expected one of them. Remove the other."
            )
    pairs = []
    for split in sorted({split for split, _ in found}):
        images, labels = found.get((split, "images")), found.get((split, "labels"))
        if images is None or labels is None:
            present, missing = (labels, "images") if images is None else (images, "labels")
            raise EpochbankError(
                f"{present} has no {missing} in the same folder; expected {_EXAMPLE}. Download them as well."
            )
        pairs.append(Pair(split, images, labels))
    return pairs


def _rank(place: Place) -> tuple[bool, bool]:
    return place.is_nested, place.name.lower().endswith(".gz")
