"""Which shards a pass needs at a time, and how large a cache must be for it. Pure functions."""

import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.progress import size
from ...augment.store.manifest import Entry
from ..reading.stored_set import StoredSet
from . import order
from .batches import Batches, EvaluationBatches, TrainingBatches
from .order import Shuffle, Windows, shards_together
from .schedule import ScheduledBatches


def groups_of(
    windows: Windows, chunks_per_shard: np.ndarray, together: int | None, shown: tuple[int, int]
) -> list[list[int]]:
    """Return the shards of each group of a pass, in the order in which they are needed first.

    Parameters
    ----------
    windows
        The order of the pass.
    chunks_per_shard
        int64 (shards,): number of chunks of each shard.
    together
        Number of shards in a group; the order shows all of a group before the next one. None for one group.
    shown
        (start, stop) of the images of the pass that are shown: one group has only the shards of these.
    """
    shard_of = np.repeat(np.arange(len(chunks_per_shard)), chunks_per_shard)
    needed = windows.covering(*shown if together is None else (0, windows.num_images))
    in_order = shard_of[windows.chunks[windows.firsts[needed.start] : windows.firsts[needed.stop]]]
    firsts = np.sort(np.unique(in_order, return_index=True)[1])
    shards = in_order[firsts].tolist()
    step = together or max(1, len(shards))
    return [shards[at : at + step] for at in range(0, len(shards), step)]


def groups_of_window(number: int, windows: Windows, chunks_per_shard: np.ndarray, groups: list[list[int]]) -> list[int]:
    """Return the numbers of the groups whose shards window `number` needs."""
    if len(groups) == 1:
        return [0]
    bounds = np.cumsum(chunks_per_shard)
    shards = set(np.searchsorted(bounds, windows.chunks_of(number), side="right").tolist())
    return [at for at, group in enumerate(groups) if shards & set(group)]


def last_windows(windows: Windows, chunks_per_shard: np.ndarray, groups: list[list[int]]) -> list[int]:
    """Return the number of the last window that needs each group."""
    shard_of = np.repeat(np.arange(len(chunks_per_shard)), chunks_per_shard)
    last = np.zeros(len(chunks_per_shard), np.int64)
    np.maximum.at(
        last, shard_of[windows.chunks], np.repeat(np.arange(len(windows.firsts) - 1), np.diff(windows.firsts))
    )
    return [int(last[group].max(initial=0)) for group in groups]


def check_cache(stored_set: StoredSet, batches: Batches, shuffle: Shuffle, prefetch: int) -> None:
    """Raise `EpochbankError` if the cache of a set in an object store is smaller than training on it needs.

    `prefetch` is the number of batches that are decoded ahead. The cache must be large enough for all ranks of this
    machine, as far as the launcher says how many there are.
    """
    remote = stored_set.remote
    if remote is None or isinstance(batches, EvaluationBatches):
        return
    whole = getattr(batches, "whole", batches)  # `batches` may be the part of a `DataLoader` worker.
    assert isinstance(whole, TrainingBatches | ScheduledBatches)
    base = whole.base if isinstance(whole, ScheduledBatches) else whole
    originals = 0.5 if isinstance(whole, ScheduledBatches) else base.originals
    ahead = (prefetch + 1) * batches.batch_size
    processes, workers = processes_here(os.environ, base.world_size), getattr(batches, "workers", 1)
    needed, less = (
        bytes_needed(stored_set.entries, base.epochs, originals, one, ahead, processes, base.world_size, workers)
        for one in (shuffle, "shards")
    )
    if needed <= remote.cache.size:
        return
    fix = f"Use --cache-size {_rounded_up(needed)} or more"
    if shuffle != "shards" and less < needed:
        fix += f", or --shuffle shards, which needs {size(less)}"
    here = "this process" if processes == 1 else f"the {processes} processes of this machine"
    if shuffle == "shards":
        what = "a few shards at a time" + (f" for each of {here}" if processes > 1 else "")
    else:
        what = "a stored epoch, the next one and the originals"
        what += f", as far as {here} {'shows' if processes == 1 else 'show'} them," if base.world_size > 1 else ""
    raise EpochbankError(
        f"the cache {remote.cache.root} is limited to {size(remote.cache.size)}, but {what} of {remote.bucket.url} "
        f"need {size(needed)}; a smaller cache would fetch shards repeatedly. {fix}."
    )


def bytes_needed(
    entries: Sequence[Entry],
    epochs: Sequence[int],
    originals: float,
    shuffle: Shuffle,
    ahead: int,
    processes: int = 1,
    world_size: int = 1,
    workers: int = 1,
) -> int:
    """Return the bytes of the shards that must be in the cache at the same time.

    These are this stored epoch, the next one and the originals, or with `shuffle="shards"` a few groups of each; and
    those of validation or test that are read at a time. `ahead` is the number of images that are decoded ahead.
    `processes` of the `world_size` ranks share the cache: each is in another part of the epoch, which is another one in
    each pass, and with `shuffle="shards"` needs a few groups of its own, as do its `workers` of a `DataLoader`.
    """
    shards: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        shards.setdefault((entry.split, entry.epoch), []).append(entry)
    whole = {key: sum(entry.bytes for entry in found) for key, found in shards.items()}
    few = {key: _few(found, ahead) for key, found in shards.items()}
    splits = [(split, 0) for split in ("validation", "test") if (split, 0) in whole]
    held_out = max((min(processes * few[key], whole[key]) for key in splits), default=0)
    shown, train = [("epoch", epoch) for epoch in epochs], ("train", 0)
    if shuffle == "shards":
        # Where an epoch ends and the next one begins, there are groups of both.
        part = {key: processes * workers * count for key, count in few.items()}
        distorted = max((part.get(one, 0) for one in shown), default=0)
        undistorted = part.get(train, 0)
    else:
        part = {key: _part(found, processes, world_size, workers) for key, found in shards.items()}
        following = zip(shown, shown[1:] + shown[:1], strict=True)
        distorted = max((part.get(one, 0) + part.get(other, 0) for one, other in following), default=0)
        undistorted = 2 * part.get(train, 0)
    distorted = min(distorted, _most_of_two([whole.get(one, 0) for one in set(shown)]))
    undistorted = min(undistorted, whole.get(train, 0))
    return held_out + (distorted if originals < 1 else 0) + (undistorted if originals > 0 else 0)


def processes_here(environment: Mapping[str, str], world_size: int) -> int:
    """Return how many of the ranks run on this machine, as torchrun or SLURM's `srun` says; 1 if neither does."""
    local = environment.get("LOCAL_WORLD_SIZE") or environment.get("SLURM_STEP_TASKS_PER_NODE", "")  # 4(x2),3
    return min(world_size, max((int(count) for count in re.findall(r"(?:^|,)(\d+)", local)), default=1))


def _most_of_two(counts: list[int]) -> int:
    """Return the sum of the two largest numbers, or of fewer."""
    return sum(sorted(counts)[-2:])


def _part(shards: list[Entry], processes: int, world_size: int, workers: int) -> int:
    """Return the bytes of the shards that `processes` of `world_size` ranks read in a pass."""
    whole = sum(entry.bytes for entry in shards)
    borders = 2 * processes * workers * max(entry.bytes for entry in shards)
    return whole if world_size == 1 else min(whole, whole * processes // world_size + borders)


def _few(shards: list[Entry], ahead: int) -> int:
    """Return the bytes of the groups that are needed at a time: those of the images ahead, and one on each side."""
    images = max(entry.num_images for entry in shards)
    together = shards_together(images)
    groups = 2 - (-(ahead + 2 * order.WINDOW_IMAGES) // (together * images))
    return groups * together * max(entry.bytes for entry in shards)


def _rounded_up(count: int) -> str:
    """Return `count` bytes as a value of --cache-size, rounded up to two digits."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= factor:
            return f"{-(-10 * count // factor) / 10:g}{unit}"
    return str(count)
