"""Generate a set into an object store: the local run makes shards in a mirror, from which they are published.

The mirror is in `writing/` of the user's cache. It keeps the manifest, and the shards that are not published yet; so a
run that was killed is continued there, or from the store on another machine.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..shared.atomic import make_directory
from ..shared.lock import writing
from ..store.description import read_description
from ..store.manifest import NAME, ManifestWriter
from ..store.objects.bucket import Bucket
from ..store.objects.cache import default_cache
from ..store.objects.layout import DESCRIPTION
from ..store.objects.mirror import COPIES, Mirror, no_set
from ..store.objects.probe import check_conditional_writes
from ..store.objects.publisher import LocalRun


def work_directory(url: str) -> Path:
    """Return the local directory of the sets that this machine writes to the directory of sets at `url`."""
    return default_cache() / "writing" / hashlib.sha256(url.encode()).hexdigest()[:16]


class StoreRun:
    """A run that writes the set of a mirror. `begun` and `published` are for `generation.run.generate`."""

    def __init__(self, mirror: Mirror):
        self.directory = mirror.directory
        """The mirror, in which the run makes its shards."""
        self._mirror = mirror
        self._uploads: LocalRun | None = None

    def begun(self, directory: Path) -> None:
        """Write the small files of a set that was begun, unless it is in the store."""
        if self._uploads is None:
            self._mirror.begin(read_description(directory))
            self._uploads = LocalRun(self._mirror)

    def published(self, *_: object) -> None:
        """Publish what was made since the last call. Waits if uploads are slower than the run."""
        assert self._uploads is not None
        self._uploads.published()

    def resume(self) -> None:
        """Publish what an earlier run has made and not published."""
        self._uploads = LocalRun(self._mirror)

    def finish(self) -> None:
        """Wait until everything is published. A second call does nothing."""
        if self._uploads is not None:
            self._uploads.finish()
            self._uploads = None

    def abandon(self) -> None:
        """Start no more uploads, and list the shards that are uploaded."""
        if self._uploads is not None:
            self._uploads.abandon()


@contextmanager
def store_run(url: str, names: Sequence[str], *, exists: bool = False, wait: bool = False) -> Iterator[StoreRun]:
    """Prepare a run that writes one set, and publish what it makes.

    Parameters
    ----------
    url
        URL of a directory of sets.
    names
        Name of the set; further ones are those that an earlier version would have given it.
    exists
        Raise `EpochbankError` if the set does not exist in the store.
    wait
        Wait if another run of this machine writes the set.

    Raises
    ------
    EpochbankError
        If the store cannot be used or ignores conditional writes, or another run writes the set.
    """
    check_conditional_writes(Bucket(url))
    found = next((name for name in names if Bucket(f"{url}/{name}").head(DESCRIPTION) is not None), None)
    bucket = Bucket(f"{url}/{found or names[0]}")
    if exists and found is None:
        raise no_set(bucket.url)
    work = work_directory(url)
    make_directory(work)
    directory = work / (found or names[0])
    with writing(work / f".{directory.name}.lock", what=bucket.url, wait=wait, can_wait=True):
        mirror = Mirror(directory, bucket)
        run = StoreRun(mirror)
        if found is not None:
            if (directory / NAME).exists():
                ManifestWriter(directory).close()  # Removes incomplete last lines, which a power failure leaves.
            mirror.pull()
            run.resume()
        else:
            if (directory / COPIES).exists():  # Those of a set that was deleted in the store.
                shutil.rmtree(directory / COPIES)
            mirror.mark()
        try:
            yield run
            run.finish()
        except BaseException:
            run.abandon()
            raise
