"""Names of IDX files, and the names of their classes, which are in a file next to them.

EMNIST has `emnist-balanced-mapping.txt`: in each line a label and one or more code points. KMNIST has
`kmnist_classmap.csv` and `k49_classmap.csv`, with the columns `index`, `codepoint` and `char`.
"""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO, Protocol, TypeVar

from ...errors import EpochbankError

IDX_NAME = re.compile(
    r"(?P<prefix>.*?)[-_.]?(?P<split>train|test|t10k)[-_.]"
    r"(?P<content>images[-.]idx3[-.]ubyte|labels[-.]idx1[-.]ubyte|labels[-.]idx2[-.]int)(\.gz)?",
    re.IGNORECASE,
)


def is_idx_name(name: str) -> bool:
    """Return whether a name is that of an IDX file of images or labels."""
    return IDX_NAME.fullmatch(name) is not None


class NameFile(Protocol):
    """A file with names of classes."""

    @property
    def name(self) -> str:
        """Name of the file."""
        ...

    def open(self) -> AbstractContextManager[tuple[IO[bytes], bool]]:
        """Open the file."""
        ...


File = TypeVar("File", bound=NameFile)


def find_name_files(files: Sequence[File], prefix: str) -> list[File]:
    """Return those of `files` with class names for the dataset whose files begin with `prefix`.

    The prefix is in lower case, and may be empty.
    """
    wanted = [f"{prefix}-mapping.txt"] if prefix else []
    wanted += ["kmnist_classmap.csv", "k49_classmap.csv"]
    found = {file.name.lower(): file for file in files}
    return [found[name] for name in wanted if name in found]


def read_class_names(names_in: Sequence[NameFile], labels: list[int]) -> tuple[list[str], list[str]]:
    """Return the names of `labels` and notes: from the first file that has all labels, or else the labels as text.

    Raises `EpochbankError` if a file cannot be read, or if there are files but none has all labels.
    """
    for path in names_in:
        names = _read(path)
        if names.keys() >= set(labels):
            return _check(path, [names[label] for label in labels]), [f"class names are from {path.name}"]
    if names_in:
        unnamed = sorted(set(labels) - _read(names_in[0]).keys())
        raise EpochbankError(
            f"{names_in[0]} has no name for the labels {', '.join(map(str, unnamed[:10]))}; expected one for each "
            "label. Download it again, or remove it to name the classes by their labels."
        )
    return [str(label) for label in labels], []


def _read(path: NameFile) -> dict[int, str]:
    """Read the name of each label. Several code points form one name."""
    try:
        with path.open() as (raw, _), io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            if path.name.lower().endswith(".csv"):
                return {int(row["index"]): row["char"] for row in csv.DictReader(file)}
            lines = [list(map(int, line.split())) for line in file if line.strip()]
            return {label: "".join(map(chr, points)) for label, *points in lines}
    except (ValueError, KeyError, TypeError, OverflowError, csv.Error) as error:
        expected = (
            "columns index and char" if path.name.lower().endswith(".csv") else "a label and code points in each line"
        )
        raise EpochbankError(
            f"{path} cannot be read: {error or type(error).__name__}; expected {expected}. Download it again."
        ) from error


def _check(path: NameFile, names: list[str]) -> list[str]:
    invalid = sorted({name for name in names if names.count(name) > 1 or not name or "\0" in name})
    if invalid:
        raise EpochbankError(
            f"{path} has the names {', '.join(map(repr, invalid[:10]))}, which are repeated, empty or contain NUL; "
            "expected a different name for each label. Download it again."
        )
    return names
