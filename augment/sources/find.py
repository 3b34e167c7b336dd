"""From what the user wrote to a source: `digits`, a path, or `kind:path` where the kind cannot be told."""

import re
from pathlib import Path

from augment.errors import EpochbankError
from augment.sources.arrays import Hdf5Source, NpzSource
from augment.sources.base import Source
from augment.sources.digits import DigitsSource
from augment.sources.files import FolderSource, ZipSource

KINDS = {"npz": NpzSource, "hdf5": Hdf5Source, "folder": FolderSource, "zip": ZipSource}
_SUFFIXES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", ".zip": "zip"}


def open_source(spec: str, group_pattern: str | None = None) -> Source:
    """The source that `spec` names; `EpochbankError` where there is none of that name or kind."""
    if spec == "digits":
        if group_pattern is not None:
            raise _no_paths(spec)
        return DigitsSource()
    kind, separator, rest = spec.partition(":")
    if not separator or kind not in KINDS:
        kind, rest = "", spec
    path = Path(rest).expanduser().absolute()  # for workers, wherever they were started
    if not path.exists():
        raise EpochbankError(
            f"source {spec!r} does not exist; expected `digits`, an .npz or HDF5 file, a folder with a folder per "
            f"class, or a .zip of one. Check the path, from {Path.cwd()}."
        )
    if not kind:
        kind = "folder" if path.is_dir() else _SUFFIXES.get(path.suffix.lower(), "")
    if not kind:
        raise EpochbankError(
            f"source {spec!r}: its kind cannot be told from its name; expected a folder, .npz, .h5, .hdf5 or .zip. "
            f"Say it in front: {', '.join(f'{name}:' for name in KINDS)}",
            words=True,
        )
    if path.is_dir() != (kind == "folder"):
        raise EpochbankError(
            f"source {spec!r} is a {'folder' if path.is_dir() else 'file'}; "
            f"expected a {'folder' if kind == 'folder' else 'file'} for {kind}:",
            words=True,
        )
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.resolve().stem if path.is_file() else path.resolve().name)
    name = name.strip("-.") or "source"
    if kind in ("folder", "zip"):
        return KINDS[kind](path, name, _compile(group_pattern))
    if group_pattern is not None:
        raise _no_paths(spec)
    return KINDS[kind](path, name)


def _no_paths(spec: str) -> EpochbankError:
    return EpochbankError(
        f"--group-pattern needs paths, and {spec!r} has none; expected a folder or a .zip. "
        "Give the groups of arrays as an array `groups` in the file.",
        words=True,
    )


def _compile(group_pattern: str | None) -> re.Pattern[str] | None:
    if group_pattern is None:
        return None
    try:
        return re.compile(group_pattern)
    except re.error as error:
        raise EpochbankError(
            f"--group-pattern {group_pattern!r} is no regular expression: {error}. "
            r"Example: --group-pattern '_(\d+)\.png$'",
            words=True,
        ) from error
