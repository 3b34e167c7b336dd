"""Names that regular expressions find in the paths of images: `--group-pattern` and `--label-pattern`."""

import re
from collections.abc import Sequence

from ...errors import EpochbankError
from ..names import Names
from ..paths import printable
from .classes import composed

_SHOWN = 10
"""Paths listed in an error message; further ones are counted."""


class PathNames:
    """A name for each image, found in its path.

    Parameters
    ----------
    option
        The option that gives the pattern, such as `--group-pattern`, for messages.
    pattern
        A regular expression; None finds no names. The name is its first `(...)`, or the whole match.
    what
        What the name is: `group` or `class`.

    Raises
    ------
    EpochbankError
        If the pattern is not valid.
    """

    def __init__(self, option: str, pattern: str | None, what: str):
        self.option, self.what, self.names = option, what, Names()
        self._missing: list[str] = []
        self._num_missing = 0
        try:
            self._pattern = None if pattern is None else re.compile(pattern)
        except re.error as error:
            raise EpochbankError(
                f"{option} {pattern!r} is not a valid regular expression: {error}. "
                rf"Example: {option} '_(\d+)\.png$'",
                usage=True,
            ) from error

    @property
    def is_used(self) -> bool:
        """Whether there is a pattern."""
        return self._pattern is not None

    def add(self, paths: Sequence[bytes]) -> None:
        """Find the names in the paths of further images, relative to the root."""
        if self._pattern is None:
            return
        group = 1 if self._pattern.groups else 0
        for path in paths:
            match = self._pattern.search(composed(printable(path)))
            name = match and match.group(group)
            if name:
                self.names.add(name)
                continue
            self._num_missing += 1
            if len(self._missing) < _SHOWN:
                self._missing.append(printable(path))

    def check(self, total: int) -> None:
        """Raise `EpochbankError` if any of the `total` paths has no name."""
        if self._num_missing:
            listed = "".join(f"\n  {path}" for path in self._missing)
            more = f"\n  and {self._num_missing - _SHOWN:,} more" if self._num_missing > _SHOWN else ""
            raise EpochbankError(
                f"{self.option} does not match {self._num_missing:,} of {total:,} paths; expected a {self.what} "
                f"for each image. Widen the pattern, or move these files away:{listed}{more}",
                usage=True,
            )
