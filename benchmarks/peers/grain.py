"""Grain over ArrayRecord files; a record holds the bytes of an image and of its label."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("grain", "array_record")
_SHARDS = 8


def prepare(images: Images, folder: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    images, labels = images.images, images.labels
    for shard in range(_SHARDS):
        writer = ArrayRecordWriter(str(folder / f"{shard:02d}.array_record"), "group_size:1,uncompressed")
        for row in range(shard * len(labels) // _SHARDS, (shard + 1) * len(labels) // _SHARDS):
            writer.write(images[row].tobytes() + labels[row].tobytes())
        writer.close()


def contenders(images: Images, folder: Path) -> list[Contender]:
    make = partial(_batches, folder, images.images.shape[1:])
    stored = bytes_of(folder)
    return [
        Contender("grain, ArrayRecord", f"{WORKERS} {kind}", "yes", stored, partial(make, kind == "workers"))
        for kind in ("threads", "workers")
    ]


def _batches(folder: Path, shape: tuple[int, ...], processes: bool, epoch: int) -> Any:
    import grain

    source = grain.sources.ArrayRecordDataSource(sorted(map(str, folder.iterdir())))
    data = grain.MapDataset.source(source).shuffle(seed=epoch).map(partial(_decode, shape)).batch(BATCH)
    if not processes:
        return data.to_iter_dataset(grain.ReadOptions(num_threads=WORKERS, prefetch_buffer_size=8))
    return data.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)).mp_prefetch(
        grain.MultiprocessingOptions(num_workers=WORKERS, per_worker_buffer_size=4)
    )


def _decode(shape: tuple[int, ...], record: bytes) -> tuple[np.ndarray, np.ndarray]:
    values = np.frombuffer(record, np.uint8)
    return values[:-4].reshape(shape), values[-4:].view(np.int32)[0]
