"""Labels, class names and groups of the samples in shards, collected sample by sample into a `Scan`."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ..base import Reader, Scan, SourceOptions
from ..class_names import name_labels
from ..lists.fields import as_integer, integer_or_text
from ..names import Names, check_text, is_integer

_NAME_FILES = ("class_names.txt", "class_names.json", "label.labels.txt")
"""Names of files with class names, beside the shards: of epochbank's exports, and of TensorFlow Datasets."""
CLASS_TEXT = ("class", "class_name", "classname", "label_name", "text")
"""Keys of the name of a class beside its number: the preferred key first."""


class Samples:
    """The samples of a source. Takes 9 bytes per sample."""

    def __init__(self, path: Path, options: SourceOptions):
        self._path, self._options = path, options
        self._labels, self._groups = Names(), Names()
        self._texts: dict[str, str] = {}
        """Name of each label, as the samples have it."""
        self._ambiguous = ""
        self._splits: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, label: Any, text: Any, group: Any) -> None:
        """Append a sample: its label, the name of its class and its group; None for what it does not have.

        Raises `ValueError` for values that are neither integers nor text, and for text that cannot be stored.
        """
        named = isinstance(text, str) and bool(text.strip())
        if named:
            check_text(text)
        number = integer_or_text("label", label)
        key = str(as_integer(number) if self._options.class_names is not None else number)
        if isinstance(group, int | str) and not isinstance(group, bool) and str(group).strip():
            if len(self._groups) < len(self._labels):
                raise ValueError("has a group, but earlier samples have none; expected a group for each, or none")
            self._groups.add(str(group))
        elif len(self._groups):
            raise ValueError("has no group, but earlier samples have one; expected a group for each, or none")
        self._labels.add(key)
        if named and self._texts.setdefault(key, text) != text:
            self._ambiguous = self._ambiguous or f"label {key} has the names {self._texts[key]!r} and {text!r}"

    def end_of_file(self, split: int) -> None:
        """Assign `split`, an index into `SPLITS` or -1, to the samples since the last call."""
        known = sum(map(len, self._splits))
        self._splits.append(np.full(len(self._labels) - known, split, np.int8))

    def scan(self, reader: Reader, notes: list[str], bad: list[tuple[str, str]]) -> Scan:
        """Return the scan. There must be at least one sample."""
        index, numbers = self._labels.sorted_index(by_value=True)
        class_names, names_notes = self._class_names(numbers)
        group_index, group_names = self._groups.sorted_index() if len(self._groups) else (None, None)
        splits = np.concatenate(self._splits)
        use_splits = self._options.split == "source" and len(np.unique(splits)) > 1
        return Scan(
            reader=reader,
            labels=index,
            class_names=class_names,
            groups=group_index,
            group_names=group_names,
            splits=splits if use_splits else None,
            bad=bad,
            notes=[*names_notes, *notes],
        )

    def _class_names(self, numbers: list[str]) -> tuple[list[str], list[str]]:
        """Return the names of the distinct labels, and notes."""
        if self._options.class_names is not None:
            return name_labels(self._options.class_names, [int(number) for number in numbers]), []
        if not all(map(is_integer, numbers)):
            return numbers, []
        texts = [self._texts.get(number, "") for number in numbers]
        problem = self._ambiguous
        if not problem and any(texts):
            twice = sorted({text for text in texts if text and texts.count(text) > 1}) if _repeat(texts) else []
            problem = (
                f"several labels have the name {twice[0]!r}" if twice else "" if all(texts) else "some have no name"
            )
        if any(texts) and not problem:
            return texts, []
        notes = [f"class names in the samples are not used: {problem}"] if problem else []
        for file in name_files(self._path):
            try:
                names = name_labels(file, [int(number) for number in numbers])
            except EpochbankError as error:
                raise EpochbankError(str(error).removeprefix("--class-names ")) from error
            return names, [*notes, f"class names are from {file.name}"]
        return numbers, notes


def _repeat(texts: list[str]) -> bool:
    return len(set(texts)) < len(texts)


def name_files(path: Path) -> list[Path]:
    """Return the file of class names beside the shards of a source, or nothing."""
    folder = path if path.is_dir() else path.parent
    return [folder / name for name in _NAME_FILES if (folder / name).is_file()][:1]
