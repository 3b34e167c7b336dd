"""Follow a set: decide at the beginning of each training epoch which of the stored epochs it shows."""

from collections.abc import Sequence

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ..reading.followed_set import FollowedSet
from ..reading.stored_set import StoredSet
from .choices import Choices, choose
from .stream import Stream


def check_follow(follow: bool, world_size: int) -> None:
    """Raise `EpochbankError` if several processes would follow a set: each could find other epochs published."""
    if follow and world_size > 1:
        raise EpochbankError(
            f"--follow with world size {world_size}; expected 1, because processes read the manifest at different "
            "moments and could show different epochs. Train without --follow, or in one process.",
            usage=True,
        )


class Follow:
    """The choices of a stream that follows its set. The thread that trains calls it, between two epochs."""

    def __init__(self, stored_set: StoredSet):
        if stored_set.remote is not None:
            raise EpochbankError(
                f"{stored_set.name} is in an object store and cannot be followed; expected a local set. Train without "
                "--follow and --wait, and start again when more epochs are published.",
                usage=True,
            )
        self._followed = FollowedSet(stored_set)
        self.choices = Choices(stored_set.epochs)
        """For the batches of the stream."""
        self._warned = False

    @property
    def stored_set(self) -> StoredSet:
        """The set as it is now."""
        return self._followed.stored_set

    def restore(self, shown: Sequence[int], stream: Stream) -> None:
        """Let the first training epochs be those of an earlier session, which showed the stored epochs `shown`."""
        stream.read_from(self.stored_set, lambda: self.choices.restore(shown))

    def begin(self, epoch: int, stream: Stream, *, middle: bool = False) -> None:
        """Decide which stored epoch training epoch `epoch` shows.

        With `middle`, the epoch was interrupted and continues with the same stored epoch, unless that was retired.
        Raises `EpochbankError` if shards of a published epoch are missing.
        """
        self._read_again()
        earlier = self.choices.before(epoch)
        interrupted = self.choices.shown(epoch)[0] if middle else None
        while True:
            published = self._followed.published
            stored = interrupted if interrupted in published else choose(published, earlier)
            assert stored is not None
            if self._hold(stored):
                break
        if interrupted not in (None, stored):
            notify(
                f"{self.stored_set.path}: training epoch {epoch + 1} was interrupted in stored epoch {interrupted}, "
                f"which was retired; the rest of the training epoch shows stored epoch {stored}"
            )
        following = choose(published, [*earlier, stored])
        kept = {stored, following} if self._available(following) else {stored}
        retired = self._followed.release(kept)
        stream.read_from(self.stored_set, lambda: self.choices.decide(epoch, stored, published))
        if retired:
            stream.close_files()

    def _read_again(self) -> None:
        """Read the manifest again. If that is impossible, warn once, and continue with the epochs that are known."""
        try:
            changed = self._followed.read_again()
        except (EpochbankError, OSError) as error:
            if not self._warned:
                notify(f"warning: training continues with the known stored epochs, because of this fault: {error}")
            self._warned = True
            return
        self._warned = False
        if changed:
            notify(f"{self.stored_set.path} now has the stored epochs {_text(self._followed.published)}")

    def _hold(self, stored: int) -> bool:
        """Hold a published epoch; return False if it was retired since the manifest was read."""
        try:
            if self._followed.hold(stored):
                return True
            fault = EpochbankError(
                f"{self.stored_set.path}: the files of stored epoch {stored} are missing, although it is published. "
                "Run the same `augment run` again, which generates them again."
            )
        except EpochbankError as error:
            fault = error
        self._followed.read_again()
        if stored in self._followed.published:
            raise fault
        return False

    def _available(self, stored: int) -> bool:
        """Hold the epoch that is probably next. Missing shards are an error only when it is shown."""
        try:
            return self._followed.hold(stored)
        except EpochbankError:
            return False


def _text(epochs: Sequence[int]) -> str:
    """Return numbers in order as text: `4 to 15`, or `1, 3, 4`."""
    if len(epochs) > 2 and epochs[-1] - epochs[0] == len(epochs) - 1:
        return f"{epochs[0]} to {epochs[-1]}"
    return ", ".join(map(str, epochs))
