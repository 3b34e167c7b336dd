"""URLs of sets and of directories of sets in object stores.

This module imports no other library, because every command checks whether a name is a URL.
"""

import re
from pathlib import Path
from typing import Any

_URL = re.compile(r"(s3|gs|az|file):/+(.*)", re.DOTALL)
SCHEMES = "s3://, gs://, az:// or file://"


def url_of(name: Any) -> str | None:
    """Return `name` as a URL without a slash at its end; None if it is no URL of an object store.

    A `Path` that was made of a URL, in which two slashes became one, is recognized, too.
    """
    found = _URL.fullmatch(str(name)) if isinstance(name, str | Path) else None
    if found is None:
        return None
    scheme, rest = found[1], re.sub("/+", "/", found[2]).rstrip("/")
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"


def parent_of(url: str) -> str:
    """Return the URL of the directory of sets that the set at `url` is in."""
    return url.rpartition("/")[0]


def name_of(url: str) -> str:
    """Return the last part of a URL."""
    return url.rpartition("/")[2]
