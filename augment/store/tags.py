"""Tags: names that people give to a set. They are in `tags.json` in its directory, and so move and go with the set.

The file is `{"tags": ["baseline", ...]}`. It is no part of the content of the set.
"""

import json
import re
import reprlib
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import naming, write_text

NAME = "tags.json"

_TAG = re.compile(r"\w[\w.+-]{0,63}")


def check_tag(tag: str) -> None:
    """Raise `EpochbankError` unless `tag` is 1 to 64 letters, digits, `_`, `.`, `+` and `-`, not beginning with one
    of the last three."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise EpochbankError(
            f"tag {tag!r} is invalid; expected 1 to 64 letters, digits and `_.+-`, beginning with a letter, a digit or "
            "`_`.",
            usage=True,
        )


def read_tags(directory: Path) -> list[str]:
    """Return the tags of the set in `directory`, sorted. Raises `EpochbankError` if the file is damaged."""
    path = directory / NAME
    try:
        with naming(path):
            tags = json.loads(path.read_text(encoding="utf-8"))["tags"]
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise TypeError("`tags` is not a list of strings")
        # They are printed, and looked up like names of directories.
        if invalid := [tag for tag in tags if not _TAG.fullmatch(tag)]:
            raise ValueError(f"{reprlib.repr(invalid[0])} cannot be a tag")
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the tags that `augment tag` wrote. Remove the file, then tag the "
            "set again."
        ) from error
    return sorted(tags)


def write_tags(directory: Path, tags: list[str]) -> None:
    """Publish `tags` as those of the set in `directory`; without tags there is no file."""
    if tags:
        write_text(directory / NAME, json.dumps({"tags": sorted(set(tags))}, ensure_ascii=False) + "\n")
    else:
        (directory / NAME).unlink(missing_ok=True)
