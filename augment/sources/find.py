"""Opens the source that a user names: `digits`, a path, or `kind:path` if the path does not show the kind."""

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
    """A kind of source that has a path."""

    make: Callable[[Path, str, SourceOptions], Source]
    """Takes path, name and options."""
    place: Literal["file", "folder", "either", "prefix"]
    """What the path is. A `prefix` is a file, a folder, or the beginning of the names of files."""
    options: frozenset[str] = frozenset()
    """Fields of `SourceOptions` that the kind supports."""


_ARRAYS = frozenset({"split", "class_names", "images_key", "labels_key", "layout", "value_range"})
_FILES = frozenset({"group_pattern", "label_pattern", "split", "value_range"})
_LISTS = frozenset({"split", "class_names", "images_key", "labels_key", "path_template", "value_range"})

KINDS = {
    "npz": Kind(NpzSource, "file", _ARRAYS),
    "hdf5": Kind(Hdf5Source, "file", _ARRAYS),
    "folder": Kind(FolderSource, "folder", _FILES),
    "zip": Kind(ZipSource, "file", _FILES | {"name_encoding"}),
    "csv": Kind(CsvSource, "file", _LISTS),
    "etl": Kind(EtlSource, "either", frozenset({"etl_sets", "characters"})),
    "idx": Kind(IdxSource, "prefix", frozenset({"split", "class_names"})),
}
_SUFFIXES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".zip": "zip", ".csv": "csv", ".tsv": "csv"}
_PYTHON = "python:"
_EXPECTED = (
    "`digits`, an .npz or HDF5 file, a folder with a folder per class, a .zip of one, a .csv or .tsv of paths and "
    "labels, IDX files such as MNIST, files of the ETL Character Database or .zip archives of them, or "
    "python:module:function"
)

_MAX_ENTRIES = 2000
"""Files of a folder that are checked for IDX names: a folder of IDX files has few files."""


def open_source(spec: str, options: SourceOptions = SourceOptions()) -> Source:  # noqa: B008  frozen
    """Return the source that `spec` names.

    Raises `EpochbankError` if there is no such source or kind, or if the kind does not support an option.
    """
    if spec == "digits":
        _check_options(spec, frozenset(), options)
        return DigitsSource()
    if spec.startswith(_PYTHON):
        _check_options(spec, frozenset({"split"}), options)
        return PythonSource(spec.removeprefix(_PYTHON), _file_name(spec.removeprefix(_PYTHON)), options)
    kind, path = _find(spec)
    _check_options(spec, KINDS[kind].options, options)
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return KINDS[kind].make(path, _file_name(name), options)


def _file_name(text: str) -> str:
    """Replace the characters of `text` that are not suitable for file names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "source"


def _find(spec: str) -> tuple[str, Path]:
    """Return the kind of the source and its path, made absolute for workers that start in other directories."""
    kind, separator, rest = spec.partition(":")
    if not separator or kind not in KINDS:
        kind, rest = "", spec
    path = Path(os.path.expanduser(rest)).absolute()  # noqa: PTH111  Path.expanduser raises for unknown users.
    prefix = kind != "" and KINDS[kind].place == "prefix" and path.parent.is_dir()
    if not path.exists() and not prefix:
        raise EpochbankError(
            f"source {spec!r} does not exist; expected {_EXPECTED}. Check the path, relative to {Path.cwd()}."
        )
    kind = kind or _kind_of(path)
    if not kind:
        raise EpochbankError(
            f"source {spec!r} has a name that does not show its kind; expected a folder, {', '.join(_SUFFIXES)}. "
            f"Put the kind in front of the path: {', '.join(f'{name}:' for name in (*KINDS, 'python'))}",
            usage=True,
        )
    place = "folder" if path.is_dir() else "file"
    if KINDS[kind].place not in (place, "either", "prefix"):
        raise EpochbankError(
            f"source {spec!r} is a {place}; expected a {KINDS[kind].place} for {kind}:",
            usage=True,
        )
    return kind, path


def _kind_of(path: Path) -> str:
    """Return the kind that a file's name or a folder's contents show; empty if they show none."""
    if holds_etl(path):
        return "etl"
    if path.is_dir():
        with suppress(PermissionError):  # Reported when the folder is scanned.
            if any(is_idx(file) and file.is_file() for file in islice(path.iterdir(), _MAX_ENTRIES)):
                return "idx"
        return "folder"
    return "idx" if is_idx(path) else _SUFFIXES.get(path.suffix.lower(), "")


_OPTIONS = {
    "group_pattern": ("--group-pattern", "folders and .zip archives, whose images have paths"),
    "label_pattern": ("--label-pattern", "folders and .zip archives, whose images have paths"),
    "path_template": ("--path-template", "lists"),
    "class_names": ("--class-names", "arrays, lists and IDX files"),
    "images_key": ("--images-key", "arrays and lists"),
    "labels_key": ("--labels-key", "arrays and lists"),
    "layout": ("--layout", "arrays"),
    "value_range": ("--value-range", "arrays, lists, folders and .zip archives"),
    "name_encoding": ("--name-encoding", ".zip archives"),
    "etl_sets": ("--etl-sets", "files of the ETL Character Database"),
    "characters": ("--characters", "files of the ETL Character Database"),
    "split": ("--split fractions", "sources that can define splits"),
}
"""Name of each option, and the sources that it applies to."""


def _check_options(spec: str, supported: frozenset[str], options: SourceOptions) -> None:
    given = {name for name, value in asdict(options).items() if value != getattr(SourceOptions(), name)}
    for name in sorted(given - supported):
        option, sources = _OPTIONS[name]
        groups = " Put groups into an array `groups` of the file, or into a column `group` of the CSV."
        remedy = groups if name == "group_pattern" else ""
        raise EpochbankError(f"{option} applies only to {sources}; received {spec!r}. Omit it.{remedy}", usage=True)
