"""Which stored epoch each training epoch shows, if the set is followed while its epochs are published and retired."""

from collections.abc import Sequence


def choose(published: Sequence[int], shown: Sequence[int]) -> int:
    """Return the stored epoch that the next training epoch shows.

    It is the lowest of those that were never shown, or else the one that was shown least recently. For a set that does
    not change, training epoch e shows the (e mod N)-th of its N stored epochs.

    Parameters
    ----------
    published
        Numbers of the published epochs, at least one.
    shown
        Stored epochs that the earlier training epochs showed, in order.
    """
    return _choose(published, {stored: epoch for epoch, stored in enumerate(shown)})


def _choose(published: Sequence[int], last: dict[int, int]) -> int:
    return min(published, key=lambda stored: (last.get(stored, -1), stored))


class Choices:
    """The choices of all training epochs so far, and the choices to expect of later ones. Not thread-safe.

    What is expected becomes certain with `decide`, at the beginning of the training epoch. Until then it serves
    decoding ahead.
    """

    def __init__(self, published: Sequence[int], shown: Sequence[int] = ()):
        """Begin with the stored epochs `shown`, by training epoch, of an earlier session."""
        self.published = tuple(published)
        """Numbers of the published epochs."""
        self.restore(shown)

    def restore(self, shown: Sequence[int]) -> int:
        """Replace all choices by `shown`; return 0, the first training epoch whose choice may be another one now."""
        self._stored: list[int] = []
        self._passes: list[int] = []
        self._epoch_of: dict[tuple[int, int], int] = {}
        self._last: dict[int, int] = {}
        for stored in shown:
            self._add(stored)
        return 0

    def shown(self, epoch: int) -> tuple[int, int]:
        """Return the stored epoch that training epoch `epoch` shows, and the number of earlier passes over it."""
        self._extend(epoch + 1)
        return self._stored[epoch], self._passes[epoch]

    def epoch_of(self, stored: int, pass_number: int) -> int:
        """Return the training epoch that shows pass `pass_number` over a stored epoch."""
        return self._epoch_of[stored, pass_number]

    def before(self, epoch: int) -> list[int]:
        """Return the stored epochs of the training epochs 0 to `epoch` - 1."""
        self._extend(epoch)
        return self._stored[:epoch]

    def decide(self, epoch: int, stored: int, published: Sequence[int]) -> int | None:
        """Let training epoch `epoch` show `stored`; later ones choose from `published`.

        Returns the first training epoch whose choice is not the expected one; None if there is none.
        """
        self._extend(epoch)
        expected = self._stored[epoch:]
        if tuple(published) == self.published and expected[:1] == [stored]:
            return None
        self.published = tuple(published)
        earlier = self._stored[:epoch]
        self.restore([*earlier, stored])
        self._extend(epoch + len(expected))
        differing = (at for at, one in enumerate(expected, epoch) if self._stored[at] != one)
        return next(differing, None)

    def _extend(self, count: int) -> None:
        while len(self._stored) < count:
            self._add(_choose(self.published, self._last))

    def _add(self, stored: int) -> None:
        epoch = len(self._stored)
        passes = 0 if stored not in self._last else self._passes[self._last[stored]] + 1
        self._stored.append(stored)
        self._passes.append(passes)
        self._epoch_of[stored, passes] = epoch
        self._last[stored] = epoch
