"""Opens the source that a user names: `digits`, a path, or `kind:path` if the path does not show the kind."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..errors import EpochbankError
from ..shared.atomic import naming
from ..shared.closest import closest
from .arrays.pickles import refuse_pickles
from .arrays.source import Hdf5Source, MatSource, NpyFilesSource, NpzSource, holds_arrays
from .base import Source, SourceOptions
from .casia import GntSource, holds_gnt
from .digits import DigitsSource
from .etl import EtlSource, holds_etl
from .folders.flat import ListedFolder, list_of
from .folders.source import FolderSource, ZipSource
from .idx.places import holds_idx
from .idx.source import IdxSource
from .lists.csv_file import CsvSource
from .lists.json_file import JsonSource
from .lists.parquet import ParquetSource, is_parquet_folder
from .python.source import PythonSource
from .shards.tfrecord import TFRecordSource, holds_tfrecord, is_tfrecord
from .shards.webdataset import WebDatasetSource, holds_webdataset, is_webdataset
from .value_range import parse_value_range


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
_SHARDS = _LISTS - {"path_template"}

KINDS = {
    "npz": Kind(NpzSource, "file", _ARRAYS),
    "hdf5": Kind(Hdf5Source, "file", _ARRAYS),
    "npy": Kind(NpyFilesSource, "either", _ARRAYS),
    "mat": Kind(MatSource, "file", _ARRAYS),
    "folder": Kind(FolderSource, "folder", _FILES),
    "zip": Kind(ZipSource, "file", _FILES | {"name_encoding"}),
    "csv": Kind(CsvSource, "file", _LISTS),
    "json": Kind(JsonSource, "file", _LISTS),
    "parquet": Kind(ParquetSource, "either", _SHARDS),
    "webdataset": Kind(WebDatasetSource, "either", _SHARDS),
    "tfrecord": Kind(TFRecordSource, "either", _SHARDS),
    "etl": Kind(EtlSource, "either", frozenset({"etl_sets", "characters", "value_range"})),
    "idx": Kind(IdxSource, "prefix", frozenset({"split", "class_names", "value_range"})),
    "gnt": Kind(GntSource, "either", frozenset({"split", "characters", "value_range"})),
}
_SUFFIXES = {
    ".npz": "npz", ".npy": "npy", ".mat": "mat", ".h5": "hdf5", ".hdf5": "hdf5",
    ".zip": "zip", ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet", ".tar": "webdataset",
    ".tgz": "webdataset", ".tfrecord": "tfrecord", ".tfrecords": "tfrecord", ".tfrec": "tfrecord",
    ".gnt": "gnt", ".pot": "gnt",
}  # fmt: skip
_MAX_NAMES = 2000
"""Names in a folder among which a similar one is suggested."""

_DIGITS, _PYTHON = "digits", "python:"
_EXPECTED = (
    "`digits`, an .npz, .npy, .mat or HDF5 file, a folder with a folder per class, a .zip of one, a list of paths "
    "and labels (.csv, .tsv, .txt, .json, .jsonl), a .csv of pixels, .parquet files, WebDataset (.tar) or TFRecord "
    "files, IDX files such as MNIST, files of the ETL Character Database or of CASIA-HWDB (.gnt) or .zip archives of "
    "them, or python:module:function"
)


def open_source(spec: str, options: SourceOptions = SourceOptions()) -> Source:  # noqa: B008  frozen
    """Return the source that `spec` names.

    Raises `EpochbankError` if there is no such source or kind, or if the kind does not support an option.
    """
    parse_value_range(options.value_range)
    if spec in (_DIGITS, f"{_DIGITS}:"):
        if spec == _DIGITS and Path(spec).exists():
            raise EpochbankError(
                f"source {spec!r} may be the built-in digits or ./{spec}, which exists; expected one of them. Write "
                f"./{spec} for your own, or {spec}: for the built-in set.",
                usage=True,
            )
        _check_options(spec, frozenset(), options)
        return DigitsSource()
    if spec.startswith(_PYTHON):
        _check_options(spec, frozenset({"split", "value_range"}), options)
        return PythonSource(spec.removeprefix(_PYTHON), _file_name(spec.removeprefix(_PYTHON)), options)
    with naming(spec):
        kind, path = _find(spec)
    if kind == "folder" and not spec.startswith("folder:"):
        listed = _listed_folder(spec, path, options)
        if listed is not None:
            return listed
    _check_options(spec, KINDS[kind].options, options)
    name = path.resolve().stem if path.is_file() else path.resolve().name
    with naming(path):
        return KINDS[kind].make(path, _file_name(name), options)


def kind_of(source: Source) -> str:
    """Return the kind of a source: a key of `KINDS`, `digits` or `python`. A folder with a list has the list's."""
    source = getattr(source, "source", source)
    kinds: dict[Any, str] = {kind.make: name for name, kind in KINDS.items()}
    return kinds.get(type(source)) or type(source).__name__.removesuffix("Source").lower()


def _listed_folder(spec: str, folder: Path, options: SourceOptions) -> Source | None:
    """Return the source of a list that names the images of a flat folder; None if there is none."""
    path = None if options.label_pattern else list_of(folder, options.path_template)
    if path is None:
        return None
    kind = _SUFFIXES[path.suffix.lower()]
    _check_options(spec, KINDS[kind].options, options)
    note = f"images lie directly in {folder.name}/, and their classes are read from the list {path}"
    return ListedFolder(KINDS[kind].make(path, _file_name(folder.resolve().name), options), note)


def _file_name(text: str) -> str:
    """Replace the characters of `text` that are not suitable for file names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "source"


def _find(spec: str) -> tuple[str, Path]:
    """Return the kind of the source and its path, made absolute for workers that start in other directories."""
    kind, separator, rest = spec.partition(":")
    if not separator or kind not in KINDS:
        kind, rest = "", spec
    path = Path(os.path.expanduser(rest)).absolute()  # noqa: PTH111  Path.expanduser raises for unknown users.
    prefix = kind != "" and KINDS[kind].place == "prefix" and path.parent.exists()
    if not path.exists() and not prefix:
        suggestion = _suggestion(spec, path)
        expected = (
            "." + suggestion if suggestion else f"; expected {_EXPECTED}. Check the path, relative to {Path.cwd()}."
        )
        raise EpochbankError(f"source {spec!r} does not exist{expected}")
    if path.exists() and not path.is_file() and not path.is_dir():  # Opening a pipe would wait for its writer.
        raise EpochbankError(
            f"source {spec!r} is not a file or a directory, but a pipe, a socket or a device; expected a file or a "
            "directory. Copy its contents to a file."
        )
    kind = kind or _kind_of(path)
    if kind in ("", "folder"):
        refuse_pickles(path)
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


def _suggestion(spec: str, path: Path) -> str:
    """Return a question that suggests the source that a spec resembles: a kind, a name, or a file nearby."""
    known = [*KINDS, _PYTHON.rstrip(":")]
    prefixed = re.match(r"(\w+)[:;](.+)", spec)
    if prefixed is not None:
        kind = closest(prefixed[1], known)
        return f" Did you mean `{kind}:{prefixed[2]}`?" if kind and not spec.startswith(f"{kind}:") else ""
    with suppress(OSError), os.scandir(path.parent) as entries:
        names = [entry.name for entry in islice(entries, _MAX_NAMES)]
        if (name := closest(path.name, [*names, *([_DIGITS] if path.parent == Path.cwd() else [])])) is not None:
            return f" Did you mean `{spec.removesuffix('/').removesuffix(path.name)}{name}`?"
    return ""


def _kind_of(path: Path) -> str:
    """Return the kind that a file's name or a folder's contents show; empty if they show none."""
    if holds_etl(path):
        return "etl"
    if path.is_dir() or path.suffix.lower() == ".zip":
        if holds_gnt(path):
            return "gnt"
        if holds_idx(path):
            return "idx"
    if path.is_dir():
        if holds_arrays(path):
            return "npy"
        if is_parquet_folder(path):
            return "parquet"
        return "webdataset" if holds_webdataset(path) else "tfrecord" if holds_tfrecord(path) else "folder"
    if is_webdataset(path.name) or is_tfrecord(path.name):  # The last suffix may be `.gz` or `.tfrecord-0-of-2`.
        return "webdataset" if is_webdataset(path.name) else "tfrecord"
    return "idx" if holds_idx(path) else _SUFFIXES.get(path.suffix.lower(), "")


_OPTIONS = {
    "group_pattern": ("--group-pattern", "folders and .zip archives, whose images have paths"),
    "label_pattern": ("--label-pattern", "folders and .zip archives, whose images have paths"),
    "path_template": ("--path-template", "lists"),
    "class_names": ("--class-names", "arrays, lists, shards (WebDataset, TFRecord) and IDX files"),
    "images_key": ("--images-key", "arrays, lists and shards (WebDataset, TFRecord)"),
    "labels_key": ("--labels-key", "arrays, lists and shards (WebDataset, TFRecord)"),
    "layout": ("--layout", "arrays"),
    "value_range": ("--value-range", "every source but `digits`"),
    "name_encoding": ("--name-encoding", ".zip archives"),
    "etl_sets": ("--etl-sets", "files of the ETL Character Database"),
    "characters": ("--characters", "files of the ETL Character Database and of CASIA-HWDB"),
    "split": ("--split fractions", "sources that can define splits"),
}
"""Name of each option, and the sources that it applies to."""


def _check_options(spec: str, supported: frozenset[str], options: SourceOptions) -> None:
    given = {name for name, value in asdict(options).items() if value != getattr(SourceOptions(), name)}
    for name in sorted(given - supported):
        option, sources = _OPTIONS[name]
        groups = ", and put groups into an array `groups` or a column `group`" if name == "group_pattern" else ""
        raise EpochbankError(f"{option} applies only to {sources}; received {spec!r}. Omit it{groups}.", usage=True)
