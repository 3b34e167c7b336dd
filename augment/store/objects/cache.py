"""A cache: a directory of a machine with the mirrors of sets in object stores, and a bounded number of their shards.

All processes of the machine share it. A shard is fetched whole into a temporary file, compared with the manifest, and
then renamed. If there is no room, the least recently used shards that no process claims are evicted.

The size of the cache is the sum of its file sizes. A temporary file has the size of its shard from the beginning, so
this sum includes reserved space. `.used` contains the sum, so that files are listed only if there seems to be no room.
"""

import errno
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from ...console import notify
from ...errors import EpochbankError
from ...shared.atomic import TEMPORARY, make_directory
from ...shared.progress import size as in_words
from ..manifest import Entry
from .bucket import Bucket, forked, seconds_of_patience
from .claims import Claims, claimed
from .download import download_into
from .faults import CacheFull
from .fetch_helper import FetchHelper
from .locking import exclusive
from .refetches import Refetches

CACHE = "EPOCHBANK_CACHE"
"""Environment variable: default directory of the cache."""
_USED = ".used"
_LOCK = ".lock"
_SPARE = 50
"""An eviction frees up to 1/N of the cache, but not more than four shards need, in advance; this is N."""
_SECONDS_BETWEEN_TRIES = 0.1
_SECONDS_OF_SILENCE = 10.0
"""Seconds after which a process that waits for room says so."""


def default_cache() -> Path:
    """Return the directory of the cache if none is given: `$EPOCHBANK_CACHE`, or `epochbank` in the user's cache."""
    if named := os.environ.get(CACHE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epochbank"


class ShardCache:
    """The shards in a cache. Thread-safe, and picklable."""

    def __init__(self, root: Path, size: int | None = None):
        """`size` is the largest number of bytes of shards; None for half of the disk space that is free or cached."""
        self.root, self._given = root.absolute(), size
        self.fetched_bytes = 0
        """Bytes that this object has fetched."""
        self._refetches = Refetches()
        self._says_that_it_waits = False
        self._lock, self._process = threading.Lock(), os.getpid()
        self._helper: FetchHelper | None = None
        self._claims = Claims(self.root)
        make_directory(self.root)
        self.size = size if size is not None else (shutil.disk_usage(self.root).free + self._used()) // 2

    def __reduce__(self) -> tuple[type["ShardCache"], tuple[Path, int | None]]:
        """Open the cache again in the process that unpickles the object."""
        return ShardCache, (self.root, self._given)

    @property
    def refetched_bytes(self) -> int:
        """Bytes that this object has fetched more than once, because shards were evicted before they were used."""
        return self._refetches.bytes

    def claim(self, directory: Path, entries: Iterable[Entry]) -> None:
        """Keep shards of the mirror `directory` from being evicted until `release`; they need not be there yet.

        If the cache has no room for all of them and for what else is claimed, they are fetched only once it has.
        """
        with self._exclusive():
            self._claims.add(self._names(directory, entries), self.size)

    def release(self, directory: Path, entries: Iterable[Entry]) -> None:
        """Release shards that were claimed together. Warns, once, if any shard had to be fetched again before."""
        names = self._names(directory, entries)
        with self._exclusive():
            self._claims.remove(names)
            self._refetches.forget(names)
            report = self._refetches.to_report()
        if report:
            notify(
                f"{in_words(self.refetched_bytes)} of shards were fetched again, because they were evicted from the "
                f"cache {self.root} before they were used: it is too small for all that use it. Use a larger "
                f"--cache-size than {in_words(self.size)}, or another --cache directory for each training"
            )

    def forget(self, directory: Path, entries: Iterable[Entry]) -> None:
        """Note that shards that were fetched in advance are not needed any more."""
        with self._lock_here():
            self._refetches.forget(self._names(directory, entries))

    def has(self, directory: Path, entry: Entry) -> bool:
        """Return whether a shard is in the cache, and note that it was used now."""
        path = directory / entry.file
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != entry.bytes:
                return False
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def fetch(self, directory: Path, bucket: Bucket, entry: Entry, stopped: Callable[[], bool] | None = None) -> None:
        """Fetch a shard of the set in `bucket`, whose mirror is `directory`, unless it is there.

        Parameters
        ----------
        directory, bucket, entry
            The mirror, the set, and the shard in its manifest.
        stopped
            Asked between blocks; the fetch ends when it returns True.

        Raises
        ------
        CacheFull
            If there is no room, because all shards in the cache are in use; or for the shards that are claimed together
            with this one.
        Stopped
            If `stopped` returned True.
        EpochbankError
            If the shard does not exist in the store, is damaged there, or cannot be read or written.
        """
        self._check_admitted(directory, entry)
        if self.has(directory, entry):
            return
        if forked():
            self._fetch_by_helper(directory, entry)
            self._count(directory, entry, entry.bytes)
            return
        path = directory / entry.file
        temporary = path.parent / f"{TEMPORARY}fetch-{path.name}"
        try:
            path.parent.mkdir(exist_ok=True)
            while not self.has(directory, entry):
                with exclusive(temporary) as descriptor:  # Two processes do not fetch the same shard.
                    if self.has(directory, entry) or not _is(descriptor, temporary):
                        _remove_if(descriptor, temporary)
                        continue
                    try:
                        self._reserve(descriptor, entry)
                        fetched = download_into(descriptor, bucket, entry, stopped or (lambda: False))
                        self._count(directory, entry, fetched)
                        temporary.replace(path)
                    except BaseException:
                        self._give_back(temporary)
                        raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise EpochbankError(
                    f"no space left on the disk of the cache {self.root}, whose size is {in_words(self.size)}. Free "
                    "some space, or use a smaller --cache-size."
                ) from error
            raise EpochbankError(
                f"writing to the cache {self.root} failed: {error}. Check the disk, or use another --cache."
            ) from error

    def fetch_needed(self, directory: Path, bucket: Bucket, entry: Entry) -> None:
        """Fetch a shard like `fetch`, and wait for a while if there is no room, until something is not in use."""
        begun, patience = time.monotonic(), seconds_of_patience()
        while True:
            try:
                return self.fetch(directory, bucket, entry)
            except CacheFull as error:
                waited = time.monotonic() - begun
                if waited > patience:
                    raise
                if waited > _SECONDS_OF_SILENCE and not self._says_that_it_waits:
                    self._says_that_it_waits = True
                    notify(f"waiting until other shards are released: {error}")
                time.sleep(_SECONDS_BETWEEN_TRIES)

    @contextmanager
    def held(self, directory: Path, bucket: Bucket, entry: Entry) -> Iterator[Path]:
        """Yield the path of a shard, which is fetched if necessary and stays during the `with` block."""
        self.claim(directory, [entry])
        try:
            self.fetch_needed(directory, bucket, entry)
            yield directory / entry.file
        finally:
            self.release(directory, [entry])

    def drop(self, directory: Path, entry: Entry) -> None:
        """Remove a shard from the cache if its file is damaged: another thread or process may have fetched it again."""
        path = directory / entry.file
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if not _is_sound(file, entry) and _is(file.fileno(), path):
                path.unlink(missing_ok=True)
                self.forget(directory, [entry])

    def _names(self, directory: Path, entries: Iterable[Entry]) -> dict[str, int]:
        """Return the bytes of shards by their path relative to the cache."""
        return {f"{directory.name}/{entry.file}": entry.bytes for entry in entries}

    def _check_admitted(self, directory: Path, entry: Entry) -> None:
        """Raise `CacheFull` if there is no room yet for the shards that are claimed together with this one."""
        (name,) = self._names(directory, [entry])
        if not self._claims.waiting(name):
            return
        with self._exclusive():
            lacking = self._claims.lacking(name, self.size)
        if lacking is not None:
            needed, used = map(in_words, lacking)
            raise self._full(f"the shards that are needed together with {entry.file} ({needed})", used)

    def _full(self, what: str, used: str) -> CacheFull:
        return CacheFull(
            f"the cache {self.root} has no room for {what}: {used} of {in_words(self.size)} are in use. Use a larger "
            "--cache-size, another --cache for each training, or --shuffle shards."
        )

    def _count(self, directory: Path, entry: Entry, fetched: int) -> None:
        """Count a shard that was fetched, and the bytes that this took."""
        with self._lock_here():
            self.fetched_bytes += fetched
            for name in self._names(directory, [entry]):
                self._refetches.fetched(name, fetched)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock_here(), exclusive(self.root / _LOCK):
            yield

    def _lock_here(self) -> threading.Lock:
        """Return the lock of the threads of this process."""
        if self._process != os.getpid():  # A thread of the process from which this one was forked may have held it.
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def _fetch_by_helper(self, directory: Path, entry: Entry) -> None:
        with self._lock_here():
            if self._helper is None or self._helper.process != os.getpid():
                self._helper = FetchHelper(self.root, self.size)
            helper = self._helper
        helper.fetch(directory, entry)

    def _reserve(self, descriptor: int, entry: Entry) -> None:
        """Make room for a shard, and give its file its size."""
        with self._exclusive():
            used = self._read_used()
            if used is None or used + entry.bytes > self.size:
                used = self._evict(entry.bytes)
            if used + entry.bytes > self.size:
                raise self._full(f"{entry.file} ({in_words(entry.bytes)})", in_words(used))
            self._write_used(used + entry.bytes)  # Before the file grows: after a crash the sum may only be too large.
            os.ftruncate(descriptor, entry.bytes)

    def _give_back(self, temporary: Path) -> None:
        with self._exclusive():
            temporary.unlink(missing_ok=True)
            (self.root / _USED).unlink(missing_ok=True)

    def _evict(self, needed: int) -> int:
        """Evict shards until there is room for `needed` bytes, and return the bytes of what is left."""
        files, used = [], 0
        for path, found in self._files():
            used += found.st_size
            files.append((found.st_mtime_ns, path, found.st_size))
        if used + needed <= self.size:
            return used
        kept, aim = claimed(self.root), self.size - max(needed, min(4 * needed, self.size // _SPARE))
        for _, path, size in sorted(files):
            if used <= aim:
                break
            if f"{path.parent.parent.name}/{path.parent.name}/{path.name}" in kept:
                continue
            if path.name.startswith(TEMPORARY) and not _abandoned(path):
                continue
            path.unlink(missing_ok=True)
            used -= size
        return used

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the shards of all mirrors in the cache, finished or not."""
        for mirror in _folders(self.root):
            for folder in _folders(mirror):
                with suppress(FileNotFoundError), os.scandir(folder.path) as files:
                    for one in files:
                        fetching = one.name.startswith(f"{TEMPORARY}fetch-")
                        if one.name.endswith(".h5") and (fetching or one.name[:10].isdigit()):
                            with suppress(FileNotFoundError):
                                yield Path(one.path), one.stat(follow_symlinks=False)

    def _used(self) -> int:
        with self._exclusive():
            used = sum(found.st_size for _, found in self._files())
            self._write_used(used)
        return used

    def _read_used(self) -> int | None:
        try:
            return int((self.root / _USED).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _write_used(self, used: int) -> None:
        (self.root / _USED).write_bytes(b"%d" % used)


def _folders(directory: Any) -> list[os.DirEntry]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as found:
        return [one for one in found if one.is_dir(follow_symlinks=False)]
    return []


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _is_sound(file: BinaryIO, entry: Entry) -> bool:
    state = xxhash.xxh3_128()
    try:
        while block := file.read(1 << 20):
            state.update(block)
    except OSError:
        return False
    return state.hexdigest() == entry.checksum


def _remove_if(descriptor: int, temporary: Path) -> None:
    """Remove the temporary file if it is the one that is locked: another process has published the shard."""
    if _is(descriptor, temporary):
        temporary.unlink(missing_ok=True)


def _abandoned(temporary: Path) -> bool:
    """Return whether no process fetches into a temporary file any more."""
    try:
        with exclusive(temporary, 0.0):
            return True
    except (EpochbankError, FileNotFoundError):
        return False
