"""Find sets by path, name, tag or fingerprint, or the newest one."""

import os
import re
import reprlib
import time
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY
from ..shared.closest import did_you_mean
from ..shared.progress import age
from .description import read_description
from .manifest import NAME
from .objects.mirror import remote_url, shown
from .objects.remote_sets import open_mirror, sets_below
from .objects.urls import name_of, url_of
from .tags import read_tags

_FEWEST_DIGITS = 4
"""Least number of digits of a fingerprint that name a set."""

_ENDS_IN_FINGERPRINT = re.compile(r"-[0-9a-f]{8}$")
_TYPO = 2
"""Most digits by which a mistyped fingerprint differs: two that were swapped."""

_LISTED = 5
"""Names of sets in a message."""


def all_sets(sets: Path) -> list[Path]:
    """Return the set directories in `sets`, sorted by the time at which they were last written, the newest last.

    If `sets` is a URL, these are the mirrors of the sets there. Raises `EpochbankError` if the store cannot be read.
    """
    if (url := url_of(sets)) is not None:
        return sorted(map(open_mirror, sets_below(url)), key=written_ns)
    found = [path.parent for path in sets.glob("*/set.json") if not path.parent.name.startswith(TEMPORARY)]
    return sorted(found, key=lambda directory: (written_ns(directory), directory.name))


def written_ns(directory: Path) -> int:
    """Return when a set was created or last got a shard, the later of the two: nanoseconds since 1970.

    That is the time of `set.json` or of the manifest; the times of directories and shards do not count.
    """
    files = (directory / "set.json", directory / NAME)
    return max(map(_modified_ns, files))


def _modified_ns(file: Path) -> int:
    """Return when a file was modified; 0 if it does not exist, perhaps because the set is being removed."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def sets_path(sets: object) -> Path:
    """Return the directory of the sets as a path. Raises `EpochbankError` if it is neither a string nor a path."""
    if not isinstance(sets, str | Path):
        raise EpochbankError(
            f"sets={reprlib.repr(sets)} is of type {type(sets).__name__}; expected the path of a directory.", usage=True
        )
    return Path(sets)


def find_set(name: str | Path | None, sets: Path) -> Path:
    """Return the directory of a set.

    Parameters
    ----------
    name
        Path of the set, or its directory name, a tag or at least the first four digits of its fingerprint in `sets`;
        None for the newest set in `sets`. A `Path`, or a string with a slash, is first taken as a path. A word that is
        a path, a directory name or a tag comes before a fingerprint. For the URL of a set in an object store, its
        mirror in the user's cache is brought up to date and returned.

    Raises
    ------
    EpochbankError
        If there is no such set, or the name means several sets.
    """
    if name is not None and not isinstance(name, str | Path):
        raise EpochbankError(
            f"{reprlib.repr(name)} is of type {type(name).__name__}; expected an open set, the path of a set, or its "
            f"name in {sets}/. `open_set()` opens the newest set.",
            usage=True,
        )
    if name is None:
        found = all_sets(sets)
        if found:
            return found[-1]
        raise EpochbankError(f"there is no set in {sets}/. Generate one: augment run digits --sets {sets}")
    directory = named_set(name, sets)
    if directory is not None:
        return directory
    suggestion = did_you_mean_set(name, sets) or f" {_some([path.name for path in all_sets(sets)][::-1], sets)}"
    raise EpochbankError(
        f"there is no set {str(name)!r}: it is neither a path nor a name, a tag or a fingerprint in {sets}/."
        f"{suggestion}"
    )


def did_you_mean_set(name: str | Path, sets: Path) -> str:
    """Return a question with the closest directory name or tag in `sets`; '' if none is close."""
    found, last = all_sets(sets), Path(name).name
    close = [path.name for path in found if not _is_other_set(last, path.name)]
    return did_you_mean(last, [*close, *(tag for path in found for tag in _readable_tags(path))])


def named_set(name: str | Path, sets: Path) -> Path | None:
    """Return the directory of the set that `name` means, as for `find_set`; None if there is none.

    Raises `EpochbankError` if the name means several sets.
    """
    if (url := url_of(name)) is not None:
        return open_mirror(url)
    below = url_of(sets)
    if below is not None:
        return _named_remotely(str(name), sets)
    places = [directory for directory in (Path(name), sets / name) if (directory / "set.json").exists()]
    if places and (isinstance(name, Path) or os.sep in name):
        return places[0]
    tagged = sets_tagged(str(name), sets)
    if _different(named := [*places, *tagged]) and places:
        meanings = [f"the directory {_explicit(one)}" for one in places] + [f"the tag of {one}" for one in tagged]
        raise EpochbankError(
            f"{str(name)!r} means several sets: {' and '.join(meanings)}; expected one. Use the path of the set, such "
            f"as {_explicit(named[0])}."
        )
    if places:
        return places[0]
    found = tagged or _with_fingerprint(str(name), sets)
    if len(found) > 1:
        raise EpochbankError(
            f"{str(name)!r} names {len(found)} sets in {sets}/: {', '.join(path.name for path in found)}; expected "
            "one. Use the directory name, or more digits of the fingerprint."
        )
    return found[0] if found else None


def _named_remotely(name: str, sets: Path) -> Path | None:
    """Return the mirror of a set below the URL `sets` by its name, a tag, or digits of its fingerprint."""
    found = all_sets(sets)
    named = [one for one in found if name_of(str(remote_url(one))) == name] or [
        one
        for one in found
        if name in _readable_tags(one) or (len(name) >= _FEWEST_DIGITS and _fingerprint(one).startswith(name))
    ]
    if len(named) > 1:
        raise EpochbankError(
            f"{name!r} names {len(named)} sets in {url_of(sets)}; expected one. Use the URL of the set."
        )
    return named[0] if named else None


def _different(directories: list[Path]) -> bool:
    """Return whether these are several sets, and not one by several paths."""
    return any(not directory.samefile(directories[0]) for directory in directories[1:])


def _explicit(directory: Path) -> str:
    """Return a path that cannot be a tag."""
    return str(directory) if len(directory.parts) > 1 else f".{os.sep}{directory}"


def _is_other_set(name: str, other: str) -> bool:
    """Return whether both names end in fingerprints that differ by more than a typo.

    Such names are those of two sets of the same source and recipe, however similar they are.
    """
    ends = [_ENDS_IN_FINGERPRINT.search(one) for one in (name, other)]
    if None in ends:
        return False
    one, two = (end.group() for end in ends if end is not None)
    return sum(a != b for a, b in zip(one, two, strict=True)) > _TYPO


def sets_tagged(tag: str, sets: Path) -> list[Path]:
    """Return the sets in `sets` that have the tag `tag`."""
    return [directory for directory in all_sets(sets) if tag in _readable_tags(directory)]


def _with_fingerprint(digits: str, sets: Path) -> list[Path]:
    """Return the sets whose fingerprint begins with `digits`, hexadecimal; none for fewer than four digits."""
    digits = digits.lower()
    if len(digits) < _FEWEST_DIGITS or not set(digits) <= set("0123456789abcdef"):
        return []
    return [directory for directory in all_sets(sets) if _fingerprint(directory).startswith(digits)]


def _fingerprint(directory: Path) -> str:
    """Return the fingerprint of a set; '' if the set cannot be read, so that it does not hide the others."""
    try:
        return read_description(directory).fingerprint
    except EpochbankError:
        return ""


def _readable_tags(directory: Path) -> list[str]:
    """Return the tags of a set; none if they cannot be read, so that they do not hide the other sets."""
    try:
        return read_tags(directory)
    except EpochbankError:
        return []


def _some(names: list[str], sets: Path) -> str:
    """Return a sentence on the first few of the sets in `sets`."""
    if not names:
        return f"Generate one: augment run digits --sets {sets}"
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"`augment list` shows all sets: {listed}."


def choose_set(name: str | Path | None, sets: Path) -> Path:
    """Like `find_set`, for a command: if `name` is None, print which set was taken, and when it was last written."""
    directory = find_set(name, sets)
    if name is None:
        seconds = time.time() - written_ns(directory) / 1e9
        notify(f"newest set: {shown(directory)}, last written {age(seconds)}")
    return directory
