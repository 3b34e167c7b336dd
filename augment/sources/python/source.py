"""Sources in Python: any iterable, named by import path, such as a dataset of TensorFlow Datasets or Hugging Face.

It is iterated once, in this process. The decoded images are kept in temporary files until they are imported.
"""

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import EpochbankError
from ...shared.import_path import import_by_path, source_digest
from ...shared.progress import Progress, counted
from ..base import Scan, SourceOptions
from ..decode import BadImage
from ..names import check_text, split_number
from .columns import Columns
from .data_sets import items_of, length_of
from .items import EXPECTED, find_class_names, parse_item, separate_info, to_pixels
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
    length: int | None
    """Number of items that it says to have; None if it says none."""


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
        columns, notes = Columns(class_names), list[str]()
        with Spool(workspace) as spool, Progress("read", total, "items") as progress:
            for place, iterable in enumerate(iterables):
                for number, item in self._iterate(iterable, notes):
                    self._add(columns, spool, iterable, place, number, item)
                    progress.advance(1)
        if not len(columns.labels):
            unlabeled = f" It {columns.unlabeled_note()}." if columns.num_unlabeled else ""
            raise EpochbankError(
                f"{self.spec} yields no usable image; expected at least one.{unlabeled}{_listed(columns.bad)}"
            )
        scan = columns.scan(spool.reader(tuple(iterable.item_name for iterable in iterables)))
        return replace(scan, notes=[*scan.notes, *notes])

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
            lengths = [length_of(items) for items in named.values()]
        except (Exception, SystemExit) as error:  # The user's code may raise any exception.
            raise self._raised(error, "when it was opened") from error
        if any(one != names[0] for one in names[1:]):
            raise EpochbankError(f"{self.spec}: its splits have different class names; expected the same for all.")
        class_names = names[0] if names else None
        self._check_names(class_names)
        known = [length for length in lengths if length is not None]
        return self._iterables(named, lengths), class_names, sum(known) if len(known) == len(lengths) else None

    def _iterables(self, named: Mapping[Any, Any], lengths: list[int | None]) -> list[_Iterable]:
        fractions = self.options.split == "fractions"
        try:
            return [
                _Iterable(
                    f"{name} item".lstrip(),
                    -1 if fractions else split_number(str(name)) if name else None,
                    items,
                    length,
                )
                for (name, items), length in zip(named.items(), lengths, strict=True)
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

    def _iterate(self, iterable: _Iterable, notes: list[str]) -> Iterator[tuple[int, Any]]:
        """Yield the items with their numbers; add a note if there are fewer than the length says.

        Raises `EpochbankError` for exceptions of the iterable.
        """
        try:
            items = items_of(iterable.items)
        except TypeError as error:
            raise EpochbankError(
                f"{self.spec} is of type {type(iterable.items).__name__} ({error}); expected an iterable of items, "
                f"{EXPECTED}; or a mapping from splits to iterables.",
                usage=True,
            ) from error
        number = 0
        try:
            for item in items:
                if number == iterable.length:
                    raise self._endless(iterable)
                yield number, item
                number += 1
        except EpochbankError:
            raise
        except (Exception, SystemExit) as error:  # The user's code may raise any exception.
            raise self._raised(error, f"at {iterable.item_name} {number}") from error
        if iterable.length is not None and number < iterable.length:
            notes.append(
                f"{self.spec} yields {counted(number, iterable.item_name)}, although its length is {iterable.length:,}"
            )

    def _add(self, columns: Columns, spool: Spool, iterable: _Iterable, place: int, number: int, item: Any) -> None:
        """Store an item, or record why its image cannot be used."""
        where = f"{iterable.item_name} {number}"
        try:
            parsed = parse_item(item, use_split=iterable.split is None)
            if columns.is_unlabeled(parsed.label):
                columns.num_unlabeled += 1
                return
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

    def _endless(self, iterable: _Iterable) -> EpochbankError:
        return EpochbankError(
            f"{self.spec} yields more than {iterable.length:,} {iterable.item_name}s, although its length is "
            f"{iterable.length:,}; expected no more. Fix its length, or end the iteration."
        )

    def _raised(self, error: BaseException, when: str) -> EpochbankError:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return EpochbankError(
            f"{self.spec} raised {type(error).__name__} {when}: {error} ({frame.filename}, line {frame.lineno}). "
            "Fix it, then import again."
        )

    def _not_importable(self, error: ValueError) -> EpochbankError:
        return EpochbankError(f"source python: {error}. Write python:module:function.", usage=True)


def _listed(bad: list[tuple[str, str]]) -> str:
    return "".join(f"\n  {where} {why}" for where, why in bad[:10])
