"""Which files of a folder are IDX files, and which belong together, by their names.

`train-images-idx3-ubyte` belongs with `train-labels-idx1-ubyte`, `t10k-` or `test-` stands for the test part, and the
names of a data set may begin with its own (`emnist-balanced-`); `.` may stand for `-` before `idx`, `.gz` may follow.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import EpochbankError

_NAME = re.compile(
    r"(?P<family>.*?)[-_.]?(?P<part>train|test|t10k)[-_.](?P<what>images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?", re.I
)
_PARTS = {"train": 0, "test": 2, "t10k": 2}
_EXAMPLE = "train-images-idx3-ubyte and train-labels-idx1-ubyte, or .gz of them"


class Pair(NamedTuple):
    """The files of one part."""

    part: int
    images: Path
    labels: Path


class _Named(NamedTuple):
    """What a file's name says of it; the texts in small letters."""

    family: str
    part: int
    what: str
    """`images` or `labels`."""
    path: Path


def is_idx(path: Path) -> bool:
    """Whether a file's name is that of pictures or labels in IDX format."""
    return _NAME.fullmatch(path.name) is not None


def find_pairs(place: Path) -> tuple[str, list[Pair]]:
    """What the names of the files begin with, and the files, by part. `EpochbankError` where it cannot be told."""
    folder, files = place if place.is_dir() else place.parent, []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            family, part, what = (match[key].lower() for key in ("family", "part", "what"))
            files.append(_Named(family, _PARTS[part], what[:6], path))
    families = sorted({file.family for file in files})
    if not families:
        raise EpochbankError(f"{folder} holds no IDX files; expected {_EXAMPLE}.")
    only = None
    if place.is_file():
        only = next((file for file in files if file.path == place and file.what == "images"), None)
        if only is None:
            raise EpochbankError(
                f"{place} is no IDX file of pictures by its name; expected one like {_EXAMPLE}. Name the "
                "folder, or rename the file.",
                words=True,
            )
        files = [only, *(file for file in files if file.what == "labels" and file.part == only.part)]
    family = only.family if only else _family(place, folder, families)
    return family, _pairs([file for file in files if file.family == family])


def _family(place: Path, folder: Path, families: list[str]) -> str:
    """The one that is meant."""
    asked = None if place.is_dir() else place.name.lower().rstrip("-_.")
    if asked in families:
        return asked
    if asked is None and len(families) == 1:
        return families[0]
    choices = ", ".join(f"idx:{folder / family}" for family in families if family)
    plain = "" if "" not in families else " Those whose names begin with train- or t10k- want a folder of their own."
    found = f"{folder} holds several data sets" if asked is None else f"no IDX files begin with {place}"
    raise EpochbankError(f"{found}; expected one of {choices or folder}.{plain}", words=True)


def _pairs(files: list[_Named]) -> list[Pair]:
    """Pictures and labels of each part; of a file that is there packed and laid bare, the bare one."""
    found: dict[tuple[int, str], Path] = {}
    for file in sorted(files, key=lambda file: _packed_by_name(file.path)):
        known = found.setdefault((file.part, file.what), file.path)
        if known != file.path and _packed_by_name(known) == _packed_by_name(file.path):
            raise EpochbankError(f"{known} and {file.path} are the same by name; expected one. Remove the other.")
    pairs = []
    for part in sorted({part for part, _ in found}):
        images, labels = found.get((part, "images")), found.get((part, "labels"))
        if images is None or labels is None:
            there, lacking = (labels, "pictures") if images is None else (images, "labels")
            raise EpochbankError(f"{there} has no {lacking} beside it; expected {_EXAMPLE}. Fetch them as well.")
        pairs.append(Pair(part, images, labels))
    return pairs


def _packed_by_name(path: Path) -> bool:
    return path.suffix.lower() == ".gz"
