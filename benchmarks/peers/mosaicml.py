"""mosaicml-streaming: MDS shards through StreamingDataset, and through LocalDataset with PyTorch's shuffling."""

from functools import partial
from pathlib import Path
from typing import Any

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("streaming", "torch")


def prepare(images: Images, folder: Path) -> None:
    from streaming import MDSWriter

    shape = ",".join(map(str, images.images.shape[1:]))
    with MDSWriter(out=str(folder / "mds"), columns={"image": f"ndarray:uint8:{shape}", "label": "int32"}) as out:
        for image, label in zip(images.images, images.labels, strict=True):
            out.write({"image": image, "label": label})


def contenders(images: Images, folder: Path) -> list[Contender]:
    stored = bytes_of(folder)
    return [
        Contender(f"mosaicml {kind}", f"{workers} workers", "yes", stored, partial(_batches, loader))
        for kind, make in (("StreamingDataset", _streaming), ("LocalDataset", _local))
        for workers in (0, WORKERS)
        for loader in [make(str(folder / "mds"), workers)]
    ]


def _streaming(path: str, workers: int) -> Any:
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    data = StreamingDataset(local=path, shuffle=True, batch_size=BATCH)
    return DataLoader(data, BATCH, num_workers=workers, persistent_workers=workers > 0)


def _local(path: str, workers: int) -> Any:
    from streaming import LocalDataset
    from torch.utils.data import DataLoader

    return DataLoader(LocalDataset(path), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def _batches(loader: Any, epoch: int) -> Any:
    return ((batch["image"], batch["label"]) for batch in loader)
