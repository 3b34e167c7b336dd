"""The files of a source in shards: which they are, their splits, and their contents without gzip."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from isal import igzip, isal_zlib

from ...errors import EpochbankError
from ..decode import check_ratio
from ..paths import is_hidden
from ..split_words import split_in
from ..workspace_space import check_unpacked

_PIECE = 1 << 20
_BETWEEN_CHECKS = 64 << 20
"""Bytes that are unpacked between two checks of the disk."""
_GZIP = b"\x1f\x8b"


def shard_files(path: Path, is_shard: Callable[[str], bool], what: str) -> list[Path]:
    """Return a file, or the shards in a folder and its subfolders, sorted by split and path.

    `is_shard` takes a file name. Raises `EpochbankError` for a folder without shards; `what` names them.
    """
    if not path.is_dir():
        return [path]
    found = [one for one in path.rglob("*") if is_shard(one.name) and one.is_file() and not _is_hidden(one, path)]
    if not found:
        raise EpochbankError(f"{path} holds no {what}; expected at least one. Check the path.")
    return sorted(found, key=lambda one: (split_of(one, path) % 4, one))  # -1 is last


def split_of(path: Path, source: Path) -> int:
    """Return the index of the split that the name of a shard, or of a folder with it, names; else -1."""
    root = source if source.is_dir() else source.parent
    found = (split_in(part) for part in reversed(path.relative_to(root).with_suffix("").parts))
    return next((split for split in found if split is not None), -1)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(is_hidden(part.encode(errors="replace")) for part in path.relative_to(root).parts)


def without_gzip(path: Path, workspace: Path, number: int) -> Path:
    """Return a file as it is, or its decompressed copy in `workspace` if it begins as gzip; `number` names the copy.

    Raises `EpochbankError` for damaged files, for files that expand too much, and if the disk has no room.
    """
    with open(path, "rb") as file:
        if file.read(2) != _GZIP:
            return path
    copy = workspace / f"unpacked-{number}"
    try:
        _unpack(path, copy)
    except (gzip.BadGzipFile, zlib.error, isal_zlib.IsalError, EOFError, ValueError) as error:  # type: ignore[misc]  # its stub is wrong
        raise EpochbankError(f"{path} cannot be read as gzip: {error}. Download or create it again.") from error
    return copy


def _unpack(path: Path, copy: Path) -> None:
    """Decompress `path` to `copy`. A file may have several members, one after another, and padding of zeros."""
    written = checked = 0
    with open(path, "rb") as file, igzip.IGzipFile(fileobj=file) as content, open(copy, "wb") as unpacked:
        while data := content.read(_PIECE):
            written += unpacked.write(data)
            check_ratio(written, file.tell())
            if written >= checked:
                checked = written + _BETWEEN_CHECKS
                check_unpacked(str(path), _BETWEEN_CHECKS, copy.parent)
