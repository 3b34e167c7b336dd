"""Recognizes by its content which of ETL8B, ETL8G, ETL9B and ETL9G a file belongs to, not by its name.

These sets are often renamed: ETLCDB_data_reader calls ETL8G "ETL9", which others take for ETL9G. Records of 8G and 9G
have the same size, but the image begins at another offset.
"""

from collections import Counter
from contextlib import suppress

import numpy as np

from .archives import Unreadable, read_start
from .catalog import SETS
from .characters import jis0208
from .places import Found, Place, split_path
from .records import values

_SAMPLED = 64
"""Records at the beginning of a file that decide."""

_GRAY = ("8G", "9G")
IDENTIFIED = ("8B", "9B", *_GRAY)
"""The sets that are distinguished."""

_LEAST_RECORDS, _LEAST_SHARE = 4, 0.9
"""Number of records, and share of valid codes among them, that show another set than the name."""

_FIRST_CODE = {0x2422: "8G", 0x3021: "9G"}
"""The set by the code of the first record of a gray file: あ or 亜. Each file begins with a form."""

_ONLY_8G, _ONLY_9G = slice(60, 64), slice(60 + 8128, 64 + 8128)
"""Bytes of a gray record that belong to the image in one set only; in the other, they have no meaning."""


FileKey = tuple[str, int]
"""Set and number of a file."""

Files = dict[FileKey, list[Place]]


def identify_files(found: Found) -> Files:
    """Return the files by the set that they belong to, which their names need not show.

    Files with a number that their set does not have are added to `found.bad` instead.
    """
    files: Files = {}
    for (named, number), places in found.files.items():
        for place in places:
            name = identify(named, place)
            if number <= len(SETS[name].counts):
                files.setdefault((name, number), []).append(place)
            elif not place.size:
                found.bad.append((place.name, "is empty"))
            else:
                found.bad.append((place.name, f"holds records of ETL{name}, which has no file {number}; rename it"))
    return files


def identify(named: str, place: Place) -> str:
    """Return the set that a file belongs to; `named`, the set by its name, if the content does not decide.

    Sets other than `IDENTIFIED` are not checked.
    """
    if named not in IDENTIFIED:
        return named
    start = b""
    with suppress(OSError, Unreadable):  # The scan reports both.
        start = read_start(place, _SAMPLED * SETS["9G"].type.size)
    gray = named if named in _GRAY else f"{named[0]}G"
    share = {name: _share_of_valid_codes(start, name) for name in dict.fromkeys((named, "8B", "9B", gray))}
    best = max(share, key=lambda name: share[name])
    found = best if share[best] >= _LEAST_SHARE > share[named] else named
    if found not in _GRAY:
        return found
    says_so = f"ETL{found}" in split_path(place.name)[-1].upper()
    return _which_gray(_records(start, found), found, says_so)


def _records(start: bytes, name: str) -> np.ndarray:
    """Return the first records of a set's images, uint8 (n, bytes)."""
    size, first = SETS[name].type.size, SETS[name].dummies
    count = min(_SAMPLED, len(start) // size)
    return np.frombuffer(start, np.uint8, count * size).reshape(count, size)[first:]


def _share_of_valid_codes(start: bytes, name: str) -> float:
    """Return the share of valid codes if the records are those of set `name`; 0 if there are too few records."""
    codes = values(_records(start, name), SETS[name].type.fields["code"]).tolist()
    valid = sum(jis0208(code) is not None for code in codes)
    return valid / len(codes) if len(codes) >= _LEAST_RECORDS else 0.0


def _which_gray(records: np.ndarray, named: str, says_so: bool) -> str:
    """Return 8G or 9G by majority: the first code, the offset of the image, and the name if it says so.

    Of two that disagree, the first in this order counts; `named` if the content does not decide.
    """
    codes = values(records[:1], SETS["9G"].type.fields["code"]).tolist()
    votes = [_FIRST_CODE[code] for code in codes if code in _FIRST_CODE]
    varies_8g, varies_9g = (_varies(records[:, part]) for part in (_ONLY_8G, _ONLY_9G))
    if varies_8g != varies_9g:
        votes.append("8G" if varies_8g else "9G")
    if says_so or not votes:
        votes.append(named)
    return Counter(votes).most_common(1)[0][0]


def _varies(some_bytes: np.ndarray) -> bool:
    """Return whether bytes (uint8 (n, 4)) of n records differ between these; in a single one, from each other."""
    return bool(np.any(some_bytes != (some_bytes[:1] if len(some_bytes) > 1 else some_bytes[:, :1])))
