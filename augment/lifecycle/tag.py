"""Give a tag to a set, and take it away."""

from pathlib import Path

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..shared.lock import writing
from ..store.catalog import sets_tagged
from ..store.tags import check_tag, read_tags, write_tags

_RESERVED = ("digits",)
"""Words that commands understand as a source."""


def add_tag(directory: Path, tag: str) -> list[str]:
    """Give the set in `directory` the tag `tag`, and return all its tags.

    Raises `EpochbankError` if the tag is invalid, or another set beside it has this tag or this directory name.
    """
    check_new_tag(directory.absolute().parent, tag, directory)
    with writing(directory.absolute().parent, wait=True):  # Two commands at once must not give one tag to two sets.
        check_new_tag(directory.absolute().parent, tag, directory)
        tags = sorted({*read_tags(directory), tag})
        write_tags(directory, tags)
    return tags


def check_new_tag(sets: Path, tag: str, directory: Path | None = None) -> None:
    """Raise `EpochbankError` if a set in `sets` other than that in `directory` has this tag, or it cannot be one."""
    check_tag(tag)
    if tag in _RESERVED or (sets / tag).exists():
        what = "the name of a directory in" if (sets / tag).exists() else "a source, and no name for a set in"
        raise EpochbankError(f"tag {tag!r} is {what} {sets}/. Choose another tag.", usage=True)
    others = [one for one in sets_tagged(tag, sets) if directory is None or one.name != directory.absolute().name]
    if others:
        raise EpochbankError(
            f"{others[0]} has the tag {tag!r} already; expected a tag that no other set in {sets}/ has. Remove it "
            f"with `augment tag {others[0]} {tag} --remove`, or choose another tag."
        )


def remove_tag(directory: Path, tag: str) -> list[str]:
    """Take the tag `tag` from the set in `directory`, and return the others. `EpochbankError` if it has no such tag."""
    with writing(directory.absolute().parent, wait=True):
        tags = read_tags(directory)
        if tag not in tags:
            raise EpochbankError(
                f"{directory} has no tag {tag!r}; its tags are {', '.join(tags) or 'none'}.{did_you_mean(tag, tags)}"
            )
        left = [one for one in tags if one != tag]
        write_tags(directory, left)
    return left
