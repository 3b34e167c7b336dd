"""webdataset: tar files with the raw bytes of each image and each label as members."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("webdataset", "torch")
_SHARDS = 8
_BUFFER = 5_000


def prepare(images: Images, folder: Path) -> None:
    import webdataset

    per_shard = -(-len(images.labels) // _SHARDS)
    with webdataset.ShardWriter(str(folder / "%02d.tar"), maxcount=per_shard, verbose=0) as writer:
        for row, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
            writer.write({"__key__": f"{row:08d}", "image": image.tobytes(), "label": label.tobytes()})


def contenders(images: Images, folder: Path) -> list[Contender]:
    import webdataset

    files = sorted(map(str, folder.iterdir()))
    data = webdataset.WebDataset(files, shardshuffle=_SHARDS).shuffle(_BUFFER)
    data = data.map(partial(_decode, images.images.shape[1:])).batched(BATCH)
    loader = webdataset.WebLoader(data, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    return [Contender("webdataset", f"{WORKERS} workers", "window", bytes_of(folder), lambda _: loader)]


def _decode(shape: tuple[int, ...], sample: dict[str, Any]) -> tuple[np.ndarray, int]:
    label = np.frombuffer(sample["label"], np.int32)[0]
    return np.frombuffer(sample["image"], np.uint8).reshape(shape), int(label)
