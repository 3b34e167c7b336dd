"""The seal of a source file: its last bytes, a checksum of everything that the HDF5 library reads of the file.

The library's structures and strings have no checksums in source files, and some damage to them makes it loop forever.
The seal is therefore compared before the library opens the file. It covers everything but images and their digests,
which are read without the library and compared with one another. HDF5 ignores bytes after the end of its own data.

It is one line of `_SIZE` bytes: a name, the XXH3-64 of the rest, and JSON, padded with spaces. The JSON has `unsealed`,
the byte ranges that the seal does not cover; `checksum`, the XXH3-128 of all other bytes before it; and `facts`, by
which a damaged file can be identified.
"""

import json
import os
import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

_SIZE = 1024
_NAME = b"epochbank source seal 1 "
_OWN = 17
"""Bytes of the checksum of the seal itself."""
_BLOCK = 1 << 20
_SETTLED = 0.1
"""Age in seconds from which a file's time of change shows every later change."""


def add_seal(path: Path, unsealed: Iterable[tuple[int, int]], facts: dict[str, Any]) -> None:
    """Append the seal to a finished source file; `unsealed` are byte ranges (start, stop).

    Raises `OSError` if the disk is full.
    """
    ranges = sorted([start, stop] for start, stop in unsealed)
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        fields = {"unsealed": ranges, "checksum": _checksum(file, ranges, size), "facts": facts}
        text = json.dumps(fields).encode()
        file.seek(size)
        file.write((_NAME + _own_checksum(text) + text).ljust(_SIZE - 1) + b"\n")


def has_seal(path: Path) -> bool:
    """Return whether a file ends with a seal, damaged or not. Raises `OSError` if it cannot be read."""
    return _last_bytes(path).startswith(_NAME)


def sealed_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts in the seal of a file; None if it has no seal, or one that is damaged or cannot be read."""
    try:
        return _parse(_last_bytes(path))["facts"]
    except (OSError, ValueError):
        return None


def check_seal(path: Path) -> bool:
    """Return whether a file has a seal. Raises `ValueError` if the file does not match its seal, or `OSError`.

    A file that has not changed since is not read again by this process.
    """
    status = path.stat()
    # A second change soon after the first one may leave the time as it is.
    check = _check if time.time() - status.st_mtime > _SETTLED else _check.__wrapped__
    return check(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=16)
def _check(path: Path, state: tuple[int, ...]) -> bool:
    text = _last_bytes(path)
    if not text.startswith(_NAME):
        return False
    fields = _parse(text)
    with open(path, "rb") as file:
        if _checksum(file, fields["unsealed"], file.seek(0, os.SEEK_END) - _SIZE) != fields["checksum"]:
            raise ValueError("its labels, names or structure were changed: their checksum is wrong")
    return True


def _parse(line: bytes) -> dict[str, Any]:
    """Return the fields of a seal. Raises `ValueError` if it is damaged, or is none that `add_seal` writes."""
    text = line[len(_NAME) + _OWN :].rstrip()
    if line[: len(_NAME) + _OWN] != _NAME + _own_checksum(text):
        raise ValueError("the seal at its end was changed")
    try:
        fields = json.loads(text)
    except RecursionError as error:
        raise ValueError("the seal at its end is no seal") from error
    if not (
        isinstance(fields, dict)
        and _are_ranges(fields.get("unsealed"))
        and isinstance(fields.get("checksum"), str)
        and isinstance(fields.get("facts"), dict)
    ):
        raise ValueError("the seal at its end is no seal")
    return fields


def _are_ranges(values: Any) -> bool:
    """Return whether `values` is a list of ascending byte ranges [start, stop] that do not overlap."""
    if not isinstance(values, list) or not all(isinstance(one, list) and len(one) == 2 for one in values):
        return False
    edges = [edge for one in values for edge in one]
    return all(type(edge) is int and 0 <= edge < 1 << 62 for edge in edges) and edges == sorted(edges)


def _own_checksum(text: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(text).encode() + b" "


def _last_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _SIZE))
        return file.read(_SIZE)


def _checksum(file: BinaryIO, unsealed: list[list[int]], size: int) -> str:
    """Return the XXH3-128 (hexadecimal) of the first `size` bytes of a file outside the ranges, and of the ranges."""
    state = xxhash.xxh3_128(json.dumps([unsealed, size]).encode())
    edges = [0, *(edge for one in unsealed for edge in one), size]
    for start, stop in list(pairwise(edges))[::2]:
        file.seek(start)
        while start < stop:
            block = file.read(min(_BLOCK, stop - start))
            if not block:
                raise ValueError("it is truncated")
            state.update(block)
            start += len(block)
    return state.hexdigest()
