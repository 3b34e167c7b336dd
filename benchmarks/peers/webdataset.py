"""webdataset: tar files with a member of raw bytes for each picture and each label."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Pictures, bytes_of

REQUIRES = ("webdataset", "torch")
_SHARDS = 8
_BUFFER = 5_000


def prepare(pictures: Pictures, folder: Path) -> None:
    import webdataset

    per_shard = -(-len(pictures.labels) // _SHARDS)
    with webdataset.ShardWriter(str(folder / "%02d.tar"), maxcount=per_shard, verbose=0) as writer:
        for row, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
            writer.write({"__key__": f"{row:08d}", "image": image.tobytes(), "label": label.tobytes()})


def contenders(pictures: Pictures, folder: Path) -> list[Contender]:
    import webdataset

    files = sorted(map(str, folder.iterdir()))
    data = webdataset.WebDataset(files, shardshuffle=_SHARDS).shuffle(_BUFFER)
    data = data.map(partial(_decode, pictures.images.shape[1:])).batched(BATCH)
    loader = webdataset.WebLoader(data, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    return [Contender("webdataset", f"{WORKERS} workers", "window", bytes_of(folder), lambda _: loader)]


def _decode(shape: tuple[int, ...], sample: dict[str, Any]) -> tuple[np.ndarray, int]:
    label = np.frombuffer(sample["label"], np.int32)[0]
    return np.frombuffer(sample["image"], np.uint8).reshape(shape), int(label)
