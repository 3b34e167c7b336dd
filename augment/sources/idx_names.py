"""Class names of IDX files, read from a file in the same folder.

EMNIST has `emnist-balanced-mapping.txt`: in each line a label and one or more code points. KMNIST has
`kmnist_classmap.csv` and `k49_classmap.csv`, with the columns `index`, `codepoint` and `char`.
"""

import csv
from pathlib import Path

from ..errors import EpochbankError


def find_name_files(folder: Path, prefix: str) -> list[Path]:
    """Return the files with class names for the dataset whose files begin with `prefix` (lower case, may be empty)."""
    wanted = [f"{prefix}-mapping.txt"] if prefix else []
    wanted += ["kmnist_classmap.csv", "k49_classmap.csv"]
    found = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
    return [found[name] for name in wanted if name in found]


def read_class_names(folder: Path, prefix: str, labels: list[int]) -> tuple[list[str], list[str]]:
    """Return the names of `labels` and notes: from the first file that has all labels, or else the labels as text.

    Raises `EpochbankError` if a file cannot be read, or if there are files but none has all labels.
    """
    files = find_name_files(folder, prefix)
    for path in files:
        names = _read(path)
        if names.keys() >= set(labels):
            return _check(path, [names[label] for label in labels]), [f"class names are from {path.name}"]
    if files:
        unnamed = sorted(set(labels) - _read(files[0]).keys())
        raise EpochbankError(
            f"{files[0]} has no name for the labels {', '.join(map(str, unnamed[:10]))}; expected one for each label. "
            "Download it again, or remove it to name the classes by their labels."
        )
    return [str(label) for label in labels], []


def _read(path: Path) -> dict[int, str]:
    """Read the name of each label. Several code points form one name."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                return {int(row["index"]): row["char"] for row in csv.DictReader(file)}
            lines = [list(map(int, line.split())) for line in file if line.strip()]
            return {label: "".join(map(chr, points)) for label, *points in lines}
    except (ValueError, KeyError, TypeError, OverflowError, csv.Error) as error:
        expected = "columns index and char" if path.suffix.lower() == ".csv" else "a label and code points in each line"
        raise EpochbankError(
            f"{path} cannot be read: {error or type(error).__name__}; expected {expected}. Download it again."
        ) from error


def _check(path: Path, names: list[str]) -> list[str]:
    invalid = sorted({name for name in names if names.count(name) > 1 or not name or "\0" in name})
    if invalid:
        raise EpochbankError(
            f"{path} has the names {', '.join(map(repr, invalid[:10]))}, which are repeated, empty or contain NUL; "
            "expected a different name for each label. Download it again."
        )
    return names
