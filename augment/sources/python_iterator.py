"""Sources in Python: any iterable, named by import path, such as a dataset of TensorFlow Datasets or Hugging Face.

It is iterated once, in this process. The decoded images are kept in temporary files until they are imported.
"""

import traceback
from array import array
from collections.abc import Iterator, Mapping
from operator import length_hint
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import EpochbankError
from ..shared.import_path import import_by_path, source_digest
from ..shared.progress import Progress
from .base import Scan, SourceOptions
from .decode import BadImage
from .items import EXPECTED, Item, find_class_names, parse_item, separate_info, to_pixels
from .names import Names, check_text, split_number
from .spool import Spool

_MAX_BAD_AT_START = 256
"""If this many images at the start are bad and none is good, the iterable is wrong."""


class _Iterable(NamedTuple):
    """An iterable of items; a mapping of splits has several."""

    item_name: str
    """`item`, or `train item`."""
    split: int | None
    """Index into `SPLITS`; None if each item names its split."""
    items: Any


class PythonSource:
    """`python:module:attribute`: an iterable of items, a mapping from splits to iterables, or a function of either."""

    def __init__(self, path: str, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.spec = f"python:{path}"

    def identity(self) -> Any:
        """Return import path, digest of the module's source file, and the fingerprints of Hugging Face datasets.

        Functions are not called, so changes of the data alone are detected only by a fingerprint.
        """
        try:
            module, attribute = import_by_path(self.path)
            digest = source_digest(module, attribute)
        except ValueError as error:
            raise self._not_importable(error) from error
        data_sets = list(attribute.values()) if isinstance(attribute, Mapping) else [attribute]
        return ["python", self.path, digest, [str(getattr(one, "_fingerprint", "")) for one in data_sets]]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Iterate over all items, and store the images in `workspace`. Bad images are listed in the scan.

        Raises `EpochbankError` for exceptions of the iterable, and for invalid items.
        """
        iterables, class_names, total = self._open()
        columns = _Columns(class_names)
        with Spool(workspace) as spool, Progress("read", total, "items") as progress:
            for place, iterable in enumerate(iterables):
                for number, item in self._iterate(iterable):
                    self._add(columns, spool, iterable, place, number, item)
                    progress.advance(1)
        if not len(columns.labels):
            raise EpochbankError(f"{self.spec} yields no usable image; expected at least one.{_listed(columns.bad)}")
        return columns.scan(spool.reader(tuple(iterable.item_name for iterable in iterables)))

    def _open(self) -> tuple[list[_Iterable], list[str] | None, int | None]:
        """Return the iterables, their class names and their total length; None if these are unknown."""
        try:
            _, attribute = import_by_path(self.path)
        except ValueError as error:
            raise self._not_importable(error) from error
        try:
            data, info = separate_info(attribute() if callable(attribute) else attribute)
            named = data if isinstance(data, Mapping) else {"": data}
            names = [one for one in map(find_class_names, named.values()) if one is not None]
            names = names or [one for one in map(find_class_names, (info, data, attribute)) if one is not None][:1]
            lengths = [length_hint(items, -1) for items in named.values()]
        except Exception as error:  # The user's code may raise any exception.
            raise self._raised(error, "when it was opened") from error
        if any(one != names[0] for one in names[1:]):
            raise EpochbankError(f"{self.spec}: its splits have different class names; expected the same for all.")
        class_names = names[0] if names else None
        self._check_names(class_names)
        return self._iterables(named), class_names, None if -1 in lengths else sum(lengths)

    def _iterables(self, named: Mapping[Any, Any]) -> list[_Iterable]:
        fractions = self.options.split == "fractions"
        try:
            return [
                _Iterable(
                    f"{name} item".lstrip(), -1 if fractions else split_number(str(name)) if name else None, items
                )
                for name, items in named.items()
            ]
        except ValueError as error:
            raise EpochbankError(
                f"{self.spec} is a mapping that {error}. Rename its keys, give an iterable of items "
                f"({EXPECTED}) instead, or use all its data with --split fractions.",
                usage=True,
            ) from error

    def _check_names(self, names: list[str] | None) -> None:
        try:
            for name in names or ():
                check_text(name)
            if names is not None and len(set(names)) < len(names):
                repeated = sorted({name for name in names if names.count(name) > 1})
                raise ValueError(f"has {', '.join(map(repr, repeated[:5]))} more than once; expected each once")
        except ValueError as error:
            raise EpochbankError(f"{self.spec}: the list of class names {error}.") from error

    def _iterate(self, iterable: _Iterable) -> Iterator[tuple[int, Any]]:
        """Yield the items with their numbers. Raises `EpochbankError` for exceptions of the iterable."""
        try:
            items = iter(iterable.items)
        except TypeError as error:
            raise EpochbankError(
                f"{self.spec} is of type {type(iterable.items).__name__} ({error}); expected an iterable of items, "
                f"{EXPECTED}; or a mapping from splits to iterables.",
                usage=True,
            ) from error
        number = 0
        try:
            for item in items:
                yield number, item
                number += 1
        except Exception as error:  # The user's code may raise any exception.
            raise self._raised(error, f"at {iterable.item_name} {number}") from error

    def _add(self, columns: "_Columns", spool: Spool, iterable: _Iterable, place: int, number: int, item: Any) -> None:
        """Store an item, or record why its image cannot be used."""
        where = f"{iterable.item_name} {number}"
        try:
            parsed = parse_item(item, use_split=iterable.split is None)
            image = to_pixels(parsed.image)
            columns.add(parsed, parsed.split if iterable.split is None else iterable.split, image)
        except BadImage as bad:
            columns.bad.append((where, str(bad)))
            if not len(columns.labels) and len(columns.bad) == _MAX_BAD_AT_START:
                raise EpochbankError(
                    f"{self.spec}: the first {_MAX_BAD_AT_START} images cannot be used.{_listed(columns.bad)}"
                ) from bad
        except ValueError as error:
            raise EpochbankError(f"{self.spec}: {where} {error}. Fix it, then import again.") from error
        else:
            spool.add(image, number, place)

    def _raised(self, error: Exception, when: str) -> EpochbankError:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return EpochbankError(
            f"{self.spec} raised {type(error).__name__} {when}: {error} ({frame.filename}, line {frame.lineno}). "
            "Fix it, then import again."
        )

    def _not_importable(self, error: ValueError) -> EpochbankError:
        return EpochbankError(f"source python: {error}. Write python:module:function.", usage=True)


class _Columns:
    """Labels, groups and splits of the images so far."""

    def __init__(self, class_names: list[str] | None):
        self.class_names = class_names
        self.labels, self.groups, self.splits = Names(), Names(), array("b")
        self.bad: list[tuple[str, str]] = []
        self._index = {name: index for index, name in enumerate(class_names or ())}
        self._sizes: set[tuple[int, int]] = set()
        self._color = False

    def add(self, item: Item, split: int, image: np.ndarray) -> None:
        """Append a good image. Raises `ValueError` if its label or group does not fit the previous ones."""
        if len(self.groups) != (0 if item.group is None else len(self.labels)):
            raise ValueError(
                "has no group, but others have one; expected a group for all or for none"
                if item.group is None
                else "has a group, but others have none; expected a group for all or for none"
            )
        self.labels.add(item.label if self.class_names is None else self._class(item.label, self.class_names))
        if item.group is not None:
            self.groups.add(item.group)
        self.splits.append(split)
        self._color |= image.ndim == 3
        if len(self._sizes) < 2:
            self._sizes.add((image.shape[0], image.shape[1]))

    def _class(self, label: int | str, names: list[str]) -> int:
        index = self._index.get(label, -1) if isinstance(label, str) else label
        if not 0 <= index < len(names):
            raise ValueError(f"has the label {label!r}; expected 0 to {len(names) - 1}, or one of its class names")
        return index

    def scan(self, reader: Any) -> Scan:
        """Return the scan of at least one image."""
        labels, class_names = self.labels.sorted_index()
        if self.class_names is not None:
            labels, class_names = np.array(list(map(int, class_names)), np.int32)[labels], self.class_names
        groups, group_names = self.groups.sorted_index() if len(self.groups) else (None, None)
        splits = np.frombuffer(self.splits, np.int8)
        return Scan(
            reader=reader,
            labels=labels,
            class_names=class_names,
            groups=groups,
            group_names=group_names,
            size=next(iter(self._sizes)) if len(self._sizes) == 1 else None,
            channels=None if self._color else 1,
            splits=splits if (splits >= 0).any() else None,
            bad=self.bad,
        )


def _listed(bad: list[tuple[str, str]]) -> str:
    return "".join(f"\n  {where} {why}" for where, why in bad[:10])
