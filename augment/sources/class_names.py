"""Reads the names of integer labels from a file that the user names with --class-names.

The file is one of:

- text: one name per line, beginning with label 0; or `label<TAB>name` in every line; or, as EMNIST has it, a label and
  one or more Unicode code points in every line (`36 65 97` names label 36 `Aa`);
- JSON: a list of names, beginning with label 0; or an object, `{"0": "zero"}` or `{"zero": 0}`;
- CSV or TSV: a column of labels and a column of names, with or without a header.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from .names import check_text

_NUMBER = ("index", "label", "class", "classid", "class_id", "id", "number", "target", "value", "code", "class_index")
_NAME = ("char", "character", "name", "class_name", "classname", "label_name", "signname", "class", "label", "text")
"""Headers of the columns of labels and of names, in lower case: the preferred header first."""

_EXPECTED = "one name per line, a JSON list or object, or a CSV file with a column of labels and one of names"


def read_class_names(path: str | Path) -> dict[int, str]:
    """Return the name of each label in the file `path`. Raises `EpochbankError` if it cannot be read."""
    path = Path(path).expanduser()
    if path.exists() and not path.is_file():  # Opening a pipe would wait for its writer.
        raise EpochbankError(f"--class-names {path} is not a file; expected one. Check the path.", usage=True)
    try:
        text = path.read_text(encoding="utf-8-sig")
        pairs = _PARSERS.get(path.suffix.lower(), _from_text)(text)
    except OSError as error:
        raise EpochbankError(
            f"--class-names {path} cannot be read: {error.strerror}. Check the path.", usage=True
        ) from error
    except (ValueError, OverflowError, RecursionError, csv.Error) as error:
        raise EpochbankError(
            f"--class-names {path} cannot be read: {error}; expected {_EXPECTED}. Fix the file.", usage=True
        ) from error
    _check(path, pairs)
    return dict(pairs)


def name_labels(path: str | Path, labels: Sequence[int]) -> list[str]:
    """Return the names of `labels`, which must be distinct.

    Raises `EpochbankError` if the file `path` cannot be read, or lacks one of the labels.
    """
    names = read_class_names(path)
    unnamed = [label for label in labels if label not in names]
    if unnamed:
        listed = ", ".join(map(str, unnamed[:10])) + (f" and {len(unnamed) - 10:,} more" if len(unnamed) > 10 else "")
        known = f"{min(names)} to {max(names)}" if names else "none"
        raise EpochbankError(
            f"--class-names {path} has no name for the labels {listed}; expected one for each label, received names "
            f"for {known}. Add the missing ones.",
            usage=True,
        )
    return [names[label] for label in labels]


Pairs = list[tuple[int, str]]


def _from_text(text: str) -> Pairs:
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    words = [line.split() for line in lines]
    if lines and all(len(row) > 1 and all(map(_is_int, row)) for row in words):
        return [(int(label), "".join(chr(int(point)) for point in points)) for label, *points in words]
    tabbed = [line.split("\t") for line in lines]
    if lines and all(len(row) == 2 and _is_int(row[0]) for row in tabbed):
        return [(int(label), name.strip()) for label, name in tabbed]
    return list(enumerate(lines))


def _from_json(text: str) -> Pairs:
    read: Any = json.loads(text)
    if isinstance(read, list):
        return [(number, _as_name(name)) for number, name in enumerate(read)]
    if not isinstance(read, dict):
        raise ValueError(f"it is a JSON {type(read).__name__}")
    if all(map(_is_int, read)):
        return [(int(label), _as_name(name)) for label, name in read.items()]
    if all(isinstance(label, int) and not isinstance(label, bool) for label in read.values()):
        return [(label, name) for name, label in read.items()]
    raise ValueError("its keys are not all integers, and neither are its values")


def _as_name(value: Any) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"it has {value!r} where a name is expected")


def _from_table(text: str) -> Pairs:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    if not rows or min(map(len, rows)) < 2:
        raise ValueError("it has a line without two columns" if rows else "it is empty")
    number, name = _columns(rows)
    return [(int(row[number]), row[name].strip()) for row in rows[0 if _is_int(rows[0][number]) else 1 :]]


def _columns(rows: list[list[str]]) -> tuple[int, int]:
    """Return the positions of the columns of labels and of names: integers below, the preferred header, or the only
    candidate."""
    width = min(map(len, rows))
    header = [cell.strip().lower().replace(" ", "_") for cell in rows[0][:width]]
    integers = [place for place in range(width) if all(_is_int(row[place]) for row in rows[1:] or rows)]
    if not integers:
        raise ValueError("it has no column of integers")
    number = _preferred(header, integers, _NUMBER)
    others = [place for place in range(width) if place != number]
    return number, _preferred(header, others, _NAME)


def _preferred(header: list[str], places: Sequence[int], names: Iterable[str]) -> int:
    found = [place for name in names for place in places if header[place] == name]
    if not found and len(places) > 1:
        raise ValueError(f"several columns may be meant: {', '.join(header[place] for place in places)}")
    return (found or places)[0]


def _is_int(text: str) -> bool:
    text = text.strip()
    return text.removeprefix("-").isdecimal() and text.isascii()


def _check(path: Path, pairs: Pairs) -> None:
    """Raise `EpochbankError` for labels or names that occur twice, and for names that cannot be stored."""
    seen: dict[str, int] = {}
    numbers: set[int] = set()
    for label, name in pairs:
        invalid = _invalid(name)
        if not name:
            problem = f"gives label {label} the name ''; expected text"
        elif invalid:
            problem = f"gives label {label} a name that {invalid}"
        elif label in numbers:
            problem = f"names label {label} twice; expected one name for each label"
        elif name in seen:
            problem = f"gives labels {seen[name]} and {label} the same name {name!r}; expected different names"
        else:
            numbers.add(label)
            seen[name] = label
            continue
        raise EpochbankError(f"--class-names {path} {problem}. Fix the file.", usage=True)


def _invalid(name: str) -> str:
    """Return why a name cannot be stored; '' if it can be."""
    try:
        check_text(name)
    except ValueError as error:
        return str(error)
    return ""


_PARSERS = {".json": _from_json, ".csv": _from_table, ".tsv": _from_table}
