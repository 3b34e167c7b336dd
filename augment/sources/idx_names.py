"""The characters that the labels of IDX files stand for, where a file beside them tells.

EMNIST has `emnist-balanced-mapping.txt`: a label and one or more code points in each line. KMNIST has
`kmnist_classmap.csv` and `k49_classmap.csv`: the columns `index`, `codepoint` and `char`.
"""

import csv
from pathlib import Path

from ..errors import EpochbankError


def find_name_files(folder: Path, family: str) -> list[Path]:
    """The files beside those whose names begin with `family` (in small letters, may be empty)."""
    wanted = [f"{family}-mapping.txt"] if family else []
    wanted += ["kmnist_classmap.csv", "k49_classmap.csv"]
    found = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
    return [found[name] for name in wanted if name in found]


def names_of(folder: Path, family: str, labels: list[int]) -> tuple[list[str], list[str]]:
    """The names of `labels`, and a note: from the first file that has them all, or else the numbers themselves.

    `EpochbankError` where there are files, and none has them all, or one cannot be read.
    """
    files = find_name_files(folder, family)
    for path in files:
        names = _read(path)
        if names.keys() >= set(labels):
            return _distinct(path, [names[label] for label in labels]), [f"class names are from {path.name}"]
    if files:
        strange = sorted(set(labels) - _read(files[0]).keys())
        raise EpochbankError(
            f"{files[0]} has no name for the labels {', '.join(map(str, strange[:10]))}; expected one for each label. "
            "Fetch it again, or move it away for classes named by their numbers."
        )
    return [str(label) for label in labels], []


def _read(path: Path) -> dict[int, str]:
    """The name of each label; several code points in a row."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                return {int(row["index"]): row["char"] for row in csv.DictReader(file)}
            lines = [list(map(int, line.split())) for line in file if line.strip()]
            return {label: "".join(map(chr, points)) for label, *points in lines}
    except (ValueError, KeyError, TypeError, OverflowError, csv.Error) as error:
        expected = "columns index and char" if path.suffix.lower() == ".csv" else "a label and code points in each line"
        raise EpochbankError(
            f"{path} cannot be read: {error or type(error).__name__}; expected {expected}. Fetch it again."
        ) from error


def _distinct(path: Path, names: list[str]) -> list[str]:
    faulty = sorted({name for name in names if names.count(name) > 1 or not name or "\0" in name})
    if faulty:
        raise EpochbankError(
            f"{path} has the names {', '.join(map(repr, faulty[:10]))} for several labels, or for none; expected a "
            "name of its own for each label. Fetch it again."
        )
    return names
