"""Count the bytes of shards that are fetched again because they were evicted before they were used."""

from collections.abc import Iterable


class Refetches:
    """The shards that one process has fetched and not used up. The caller holds a lock."""

    def __init__(self) -> None:
        self.bytes = 0
        """Bytes that were fetched again."""
        self._unused: set[str] = set()
        self._reported = False

    def fetched(self, name: str, count: int) -> None:
        """Note that `count` bytes of a shard were fetched."""
        if name in self._unused:
            self.bytes += count
        self._unused.add(name)

    def forget(self, names: Iterable[str]) -> None:
        """Note that shards were used up, or are not needed any more: to fetch them again is no repetition."""
        self._unused.difference_update(names)

    def to_report(self) -> bool:
        """Return whether something was fetched again, once."""
        new = self.bytes > 0 and not self._reported
        self._reported |= new
        return new
