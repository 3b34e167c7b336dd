"""Shards made by several threads of one process, as Dask's workers have them, are those of one thread."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import small_set
from epochbank.augment.generation.set_inputs import _load, reference_to
from epochbank.augment.generation.shard_job import ShardJob, make_shard
from epochbank.augment.generation.stored_spec import locate_stored
from epochbank.augment.shared.lease import LeaseEnded, leased
from epochbank.augment.store.manifest import read_manifest
from epochbank.augment.store.shard import ShardTask


def jobs_of(directory: Path, engine: str = "pillow") -> list[ShardJob]:
    """Return the jobs that make the published shards again."""
    location = locate_stored(directory)
    assert location.description is not None
    reference = reference_to(directory, location.description, location.spec)
    return [
        ShardJob(reference, ShardTask(one.split, one.epoch, one.start, one.num_images, one.chunk, one.codec), engine)
        for one in read_manifest(directory)
    ]


@pytest.mark.parametrize("engine", ["pillow", "compiled"])
def test_threads_make_the_same_shards(tmp_path: Path, engine: str) -> None:
    """The bytes are the same, and the set is loaded once."""
    (path,) = small_set(tmp_path, epochs=6).glob("sets/*/set.json")
    directory, entries = path.parent, read_manifest(path.parent)
    _load.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make_shard, jobs_of(directory, engine)))
    assert [entry for _, entry, _ in made] == entries
    assert all(file.read_bytes() == (directory / entry.file).read_bytes() for file, entry, _ in made)
    assert _load.cache_info().misses == 1


def test_a_shard_that_nobody_wants_is_removed(tmp_path: Path) -> None:
    """Its task ends when the lease does."""
    (path,) = small_set(tmp_path, epochs=1).glob("sets/*/set.json")
    job = jobs_of(path.parent)[0]
    lease = tmp_path / "lease"
    lease.touch()
    with leased(lease):
        make_shard(job)[0].unlink()
        lease.unlink()
        with pytest.raises(LeaseEnded, match="has ended"):
            make_shard(job)
    make_shard(job)[0].unlink()
    assert not list(path.parent.rglob(".tmp-*"))
