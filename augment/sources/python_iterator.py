"""Sources that are an iterable of Python's, named by import path: data sets of TensorFlow Datasets, of Hugging Face, or
the user's own.

It is iterated once, in this process, and its pictures are kept decoded in files until they are imported. Neither
library is needed for this.
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
from .decode import BadPicture
from .items import EXPECTED, Item, class_names_of, item_of, pixels_of, without_info
from .names import Names, check_text, part_number
from .spool import Spool

_BAD_AT_ONCE = 256
"""So many bad pictures before any good one are a mistake, not an accident."""


class _Part(NamedTuple):
    """An iterable, and what its items are."""

    called: str
    """`item`, or `train item`."""
    number: int | None
    """Index into `PARTS`; None where each item says by itself."""
    items: Any


class PythonSource:
    """`python:module:attribute`: an iterable of items, a mapping of parts to such, or a function that gives one."""

    def __init__(self, path: str, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.spec = f"python:{path}"

    def identity(self) -> Any:
        """Import path, digest of the module's source file, and the fingerprint that Hugging Face gives its data sets.

        A function is not called for that: a change in the data alone goes unnoticed, save by a fingerprint.
        """
        try:
            module, attribute = import_by_path(self.path)
            digest = source_digest(module, attribute)
        except ValueError as error:
            raise self._unimportable(error) from error
        sets = list(attribute.values()) if isinstance(attribute, Mapping) else [attribute]
        return ["python", self.path, digest, [str(getattr(one, "_fingerprint", "")) for one in sets]]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Iterate, and keep the pictures in `workspace`; bad ones are told in the scan.

        `EpochbankError` for what the iterator raises, and for items that are none.
        """
        parts, class_names, total = self._open()
        columns = _Columns(class_names)
        with Spool(workspace) as spool, Progress("read", total, "items") as progress:
            for place, part in enumerate(parts):
                for number, thing in self._each(part):
                    self._take(columns, spool, part, place, number, thing)
                    progress.advance(1)
        if not len(columns.labels):
            raise EpochbankError(
                f"{self.spec} gives no picture that can be used; expected at least one.{_listed(columns.bad)}"
            )
        return columns.scan(spool.reader(tuple(part.called for part in parts)))

    def _open(self) -> tuple[list[_Part], list[str] | None, int | None]:
        """The iterables, their class names where they have some, and how many items there are where they say."""
        try:
            _, attribute = import_by_path(self.path)
        except ValueError as error:
            raise self._unimportable(error) from error
        try:
            found, info = without_info(attribute() if callable(attribute) else attribute)
            named = found if isinstance(found, Mapping) else {"": found}
            names = [one for one in map(class_names_of, named.values()) if one is not None]
            names = names or [one for one in map(class_names_of, (info, found, attribute)) if one is not None][:1]
            lengths = [length_hint(items, -1) for items in named.values()]
        except Exception as error:  # The user's own code may raise anything.
            raise self._raised(error, "when it was opened") from error
        if any(one != names[0] for one in names[1:]):
            raise EpochbankError(f"{self.spec}: its parts have other class names each; expected the same for all.")
        class_names = names[0] if names else None
        self._check_names(class_names)
        return self._parts(named), class_names, None if -1 in lengths else sum(lengths)

    def _parts(self, named: Mapping[Any, Any]) -> list[_Part]:
        if self.options.split == "fractions":
            return [_Part(f"{name} item".lstrip(), -1, items) for name, items in named.items()]
        try:
            return [
                _Part(f"{name} item".lstrip(), part_number(str(name)) if name else None, items)
                for name, items in named.items()
            ]
        except ValueError as error:
            raise EpochbankError(
                f"{self.spec} gives a mapping that {error}. Name its keys so, give an iterable of items "
                f"({EXPECTED}) instead, or take all of it together with --split fractions.",
                words=True,
            ) from error

    def _check_names(self, names: list[str] | None) -> None:
        try:
            for name in names or ():
                check_text(name)
            if names is not None and len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                raise ValueError(f"has {', '.join(map(repr, twice[:5]))} more than once; expected each once")
        except ValueError as error:
            raise EpochbankError(f"{self.spec}: the list of class names {error}.") from error

    def _each(self, part: _Part) -> Iterator[tuple[int, Any]]:
        """The items with their numbers; what is raised by the iterator, and not by who takes them, is told."""
        try:
            items = iter(part.items)
        except TypeError as error:
            raise EpochbankError(
                f"{self.spec} gives a {type(part.items).__name__} ({error}); expected an iterable of items, "
                f"{EXPECTED}; or a mapping from parts to such.",
                words=True,
            ) from error
        number = 0
        try:
            for thing in items:
                yield number, thing
                number += 1
        except Exception as error:  # The user's own code may raise anything.
            raise self._raised(error, f"at {part.called} {number}") from error

    def _take(self, columns: "_Columns", spool: Spool, part: _Part, place: int, number: int, thing: Any) -> None:
        """Keep an item, or say why its picture cannot be used."""
        where = f"{part.called} {number}"
        try:
            item = item_of(thing, parts=part.number is None)
            picture = pixels_of(item.picture)
            columns.add(item, item.part if part.number is None else part.number, picture)
        except BadPicture as bad:
            columns.bad.append((where, str(bad)))
            if not len(columns.labels) and len(columns.bad) == _BAD_AT_ONCE:
                raise EpochbankError(
                    f"{self.spec}: the first {_BAD_AT_ONCE} pictures cannot be used.{_listed(columns.bad)}"
                ) from bad
        except ValueError as error:
            raise EpochbankError(f"{self.spec}: {where} {error}. Mend it, and import again.") from error
        else:
            spool.add(picture, number, place)

    def _raised(self, error: Exception, when: str) -> EpochbankError:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return EpochbankError(
            f"{self.spec} raised {type(error).__name__} {when}: {error} ({place.filename}, line {place.lineno}). "
            "Mend it, and import again."
        )

    def _unimportable(self, error: ValueError) -> EpochbankError:
        return EpochbankError(f"source python: {error}. Write python:module:function.", words=True)


class _Columns:
    """What is known of the pictures so far."""

    def __init__(self, class_names: list[str] | None):
        self.class_names = class_names
        self.labels, self.groups, self.parts = Names(), Names(), array("b")
        self.bad: list[tuple[str, str]] = []
        self._index = {name: index for index, name in enumerate(class_names or ())}
        self._sizes: set[tuple[int, int]] = set()
        self._colour = False

    def add(self, item: Item, part: int, picture: np.ndarray) -> None:
        """The next good picture; `ValueError` where its label or group does not fit those before it."""
        if len(self.groups) != (0 if item.group is None else len(self.labels)):
            raise ValueError("has no group, where others have one; expected a group for all or for none")
        self.labels.add(item.label if self.class_names is None else self._class(item.label, self.class_names))
        if item.group is not None:
            self.groups.add(item.group)
        self.parts.append(part)
        self._colour |= picture.ndim == 3
        if len(self._sizes) < 2:
            self._sizes.add((picture.shape[0], picture.shape[1]))

    def _class(self, label: int | str, names: list[str]) -> int:
        index = self._index.get(label, -1) if isinstance(label, str) else label
        if not 0 <= index < len(names):
            raise ValueError(f"has the label {label!r}; expected 0 to {len(names) - 1}, or one of its class names")
        return index

    def scan(self, reader: Any) -> Scan:
        """Of at least one picture."""
        labels, class_names = self.labels.in_order()
        if self.class_names is not None:
            labels, class_names = np.array(list(map(int, class_names)), np.int32)[labels], self.class_names
        groups, group_names = self.groups.in_order() if len(self.groups) else (None, None)
        parts = np.frombuffer(self.parts, np.int8)
        return Scan(
            reader=reader,
            labels=labels,
            class_names=class_names,
            groups=groups,
            group_names=group_names,
            size=next(iter(self._sizes)) if len(self._sizes) == 1 else None,
            channels=None if self._colour else 1,
            parts=parts if (parts >= 0).any() else None,
            bad=self.bad,
        )


def _listed(bad: list[tuple[str, str]]) -> str:
    return "".join(f"\n  {where} {why}" for where, why in bad[:10])
