"""Finds the IDX files of a folder, and pairs images with labels, by their names.

`train-images-idx3-ubyte` belongs to `train-labels-idx1-ubyte`. `t10k-` and `test-` name the test split. The names may
begin with a prefix for the dataset (`emnist-balanced-`), have `.` instead of `-` before `idx`, and end with `.gz`.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import EpochbankError

_NAME = re.compile(
    r"(?P<prefix>.*?)[-_.]?(?P<split>train|test|t10k)[-_.](?P<content>images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?", re.I
)
_SPLITS = {"train": 0, "test": 2, "t10k": 2}
_EXAMPLE = "train-images-idx3-ubyte and train-labels-idx1-ubyte, or .gz of them"


class Pair(NamedTuple):
    """The files of one split."""

    split: int
    images: Path
    labels: Path


class _File(NamedTuple):
    """An IDX file, described by its name; the texts are in lower case."""

    prefix: str
    split: int
    content: str
    """`images` or `labels`."""
    path: Path


def is_idx(path: Path) -> bool:
    """Return whether a file has the name of an IDX file of images or labels."""
    return _NAME.fullmatch(path.name) is not None


def find_pairs(place: Path) -> tuple[str, list[Pair]]:
    """Return the prefix of the files of a dataset, and the files of each split.

    `place` is a folder, a file of images, or a folder and a prefix. Raises `EpochbankError` if files are missing, or
    if several datasets match.
    """
    folder, files = place if place.is_dir() else place.parent, []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            prefix, split, content = (match[key].lower() for key in ("prefix", "split", "content"))
            files.append(_File(prefix, _SPLITS[split], content[:6], path))
    prefixes = sorted({file.prefix for file in files})
    if not prefixes:
        raise EpochbankError(f"{folder} holds no IDX files; expected {_EXAMPLE}.")
    only = None
    if place.is_file():
        only = next((file for file in files if file.path == place and file.content == "images"), None)
        if only is None:
            raise EpochbankError(
                f"{place} does not have the name of an IDX file of images; expected a name like {_EXAMPLE}. Rename the "
                "file, or use its folder as SOURCE.",
                usage=True,
            )
        files = [only, *(file for file in files if file.content == "labels" and file.split == only.split)]
    prefix = only.prefix if only else _choose_prefix(place, folder, prefixes)
    return prefix, _pairs([file for file in files if file.prefix == prefix])


def _choose_prefix(place: Path, folder: Path, prefixes: list[str]) -> str:
    requested = None if place.is_dir() else place.name.lower().rstrip("-_.")
    if requested in prefixes:
        return requested
    if requested is None and len(prefixes) == 1:
        return prefixes[0]
    choices = ", ".join(f"idx:{folder / prefix}" for prefix in prefixes if prefix)
    move = "" if "" not in prefixes else " Move the files that begin with train- or t10k- to a separate folder."
    found = f"{folder} holds several datasets" if requested is None else f"no IDX files begin with {place}"
    raise EpochbankError(f"{found}; expected one of {choices or folder}.{move}", usage=True)


def _pairs(files: list[_File]) -> list[Pair]:
    """Pair the files of each split. An uncompressed file takes precedence over its .gz."""
    found: dict[tuple[int, str], Path] = {}
    for file in sorted(files, key=lambda file: _is_gz(file.path)):
        known = found.setdefault((file.split, file.content), file.path)
        if known != file.path and _is_gz(known) == _is_gz(file.path):
            raise EpochbankError(
                f"{known} and {file.path} have names for the same data; expected one of them. Remove the other."
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


def _is_gz(path: Path) -> bool:
    return path.suffix.lower() == ".gz"
