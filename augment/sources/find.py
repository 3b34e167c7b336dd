"""From what the user wrote to a source: `digits`, a path, or `kind:path` where the kind cannot be told."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import EpochbankError
from .base import Source, SourceOptions
from .csv_file import CsvSource
from .digits import DigitsSource
from .etl import EtlSource, holds_etl
from .files import FolderSource, ZipSource
from .hdf5 import Hdf5Source
from .idx import IdxSource
from .idx_files import is_idx
from .npz import NpzSource
from .python_iterator import PythonSource


class Kind(NamedTuple):
    """A kind of source that is found by its path."""

    make: Callable[[Path, str, SourceOptions], Source]
    """From its path, its name and the user's options."""
    place: Literal["file", "folder", "either", "prefix"]
    """What the path leads to; a prefix may also be what the names of files in a folder begin with."""
    takes: frozenset[str] = frozenset()
    """The options of `SourceOptions` that it can follow."""


KINDS = {
    "npz": Kind(NpzSource, "file", frozenset({"split"})),
    "hdf5": Kind(Hdf5Source, "file", frozenset({"split"})),
    "folder": Kind(FolderSource, "folder", frozenset({"group_pattern", "split"})),
    "zip": Kind(ZipSource, "file", frozenset({"group_pattern", "split"})),
    "csv": Kind(CsvSource, "file", frozenset({"split"})),
    "etl": Kind(EtlSource, "either", frozenset({"etl_sets", "characters"})),
    "idx": Kind(IdxSource, "prefix", frozenset({"split"})),
}
_SUFFIXES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".zip": "zip", ".csv": "csv", ".tsv": "csv"}
_PYTHON = "python:"
_EXPECTED = (
    "`digits`, an .npz or HDF5 file, a folder with a folder per class, a .zip of one, a .csv or .tsv of paths and "
    "labels, IDX files as of MNIST, files of the ETL Character Database or .zip archives of them, or "
    "python:module:function"
)

_LOOKED_AT = 2000
"""Files of a folder that are looked at to tell its kind: one of IDX files has few."""


def open_source(spec: str, options: SourceOptions = SourceOptions()) -> Source:  # noqa: B008  frozen
    """The source that `spec` names.

    `EpochbankError` where there is none of that name or kind, and for an option that does not fit its kind.
    """
    if spec == "digits":
        _check_options(spec, frozenset(), options)
        return DigitsSource()
    if spec.startswith(_PYTHON):
        _check_options(spec, frozenset({"split"}), options)
        return PythonSource(spec.removeprefix(_PYTHON), _named(spec.removeprefix(_PYTHON)), options)
    kind, path = _find(spec)
    _check_options(spec, KINDS[kind].takes, options)
    return KINDS[kind].make(path, _named(path.resolve().stem if path.is_file() else path.resolve().name), options)


def _named(text: str) -> str:
    """`text` as a name fit for files."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "source"


def _find(spec: str) -> tuple[str, Path]:
    """The kind of the source, and its path, absolute: for workers, wherever they were started."""
    kind, separator, rest = spec.partition(":")
    if not separator or kind not in KINDS:
        kind, rest = "", spec
    path = Path(os.path.expanduser(rest)).absolute()  # noqa: PTH111  It leaves a user whom it does not know.
    prefix = kind != "" and KINDS[kind].place == "prefix" and path.parent.is_dir()
    if not path.exists() and not prefix:
        raise EpochbankError(
            f"source {spec!r} does not exist; expected {_EXPECTED}. Check the path, from {Path.cwd()}."
        )
    kind = kind or _kind_of(path)
    if not kind:
        raise EpochbankError(
            f"source {spec!r}: its kind cannot be told from its name; expected a folder, {', '.join(_SUFFIXES)}. "
            f"Say it in front: {', '.join(f'{name}:' for name in (*KINDS, 'python'))}",
            words=True,
        )
    place = "folder" if path.is_dir() else "file"
    if KINDS[kind].place not in (place, "either", "prefix"):
        raise EpochbankError(
            f"source {spec!r} is a {place}; expected a {KINDS[kind].place} for {kind}:",
            words=True,
        )
    return kind, path


def _kind_of(path: Path) -> str:
    """The kind that a file's name or a folder's contents tell; empty where they tell none."""
    if holds_etl(path):
        return "etl"
    if path.is_dir():
        with suppress(PermissionError):  # Told by the kind that reads it.
            if any(is_idx(file) and file.is_file() for file in islice(path.iterdir(), _LOOKED_AT)):
                return "idx"
        return "folder"
    return "idx" if is_idx(path) else _SUFFIXES.get(path.suffix.lower(), "")


_FOR = {
    "group_pattern": ("--group-pattern", "a folder or a .zip, whose pictures have paths"),
    "etl_sets": ("--etl-sets", "files of the ETL Character Database"),
    "characters": ("--characters", "files of the ETL Character Database"),
    "split": ("--split fractions", "a source that may name parts of its own"),
}
"""What each option is called, and what it is for."""


def _check_options(spec: str, takes: frozenset[str], options: SourceOptions) -> None:
    given = {name for name, value in asdict(options).items() if value != getattr(SourceOptions(), name)}
    for name in sorted(given - takes):
        option, place = _FOR[name]
        groups = " Give the groups of arrays as an array `groups` in the file, those of a CSV as a column `group`."
        remedy = groups if name == "group_pattern" else ""
        raise EpochbankError(
            f"{option} is for {place}; received {spec!r}, which is none. Leave it out.{remedy}", words=True
        )
