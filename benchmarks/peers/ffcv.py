"""FFCV: one `.beton` file, decoded by compiled code into PyTorch tensors.

`pip install ffcv` builds it from source and needs OpenCV and libjpeg-turbo; on Debian and Ubuntu:
`apt install build-essential pkg-config libopencv-dev libturbojpeg0-dev`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("ffcv", "torch")


class _Rows:
    def __init__(self, images: Images):
        self._images, self._labels = images.images, images.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.array(self._images[index]), int(self._labels[index])


def prepare(images: Images, folder: Path) -> None:
    from ffcv.fields import IntField, NDArrayField
    from ffcv.writer import DatasetWriter

    fields = {"image": NDArrayField(np.dtype(np.uint8), images.images.shape[1:]), "label": IntField()}
    DatasetWriter(str(folder / "images.beton"), fields, num_workers=WORKERS).from_indexed_dataset(_Rows(images))


def contenders(images: Images, folder: Path) -> list[Contender]:
    stored = bytes_of(folder)
    return [
        Contender(f"FFCV {order}", f"{WORKERS} threads", shuffled, stored, _Batches(folder / "images.beton", order))
        for order, shuffled in (("RANDOM", "yes"), ("QUASI_RANDOM", "window"), ("SEQUENTIAL", "no"))
    ]


class _Batches:
    """Makes the loader at the first call, so that it does not compile or start threads in another peer's turn."""

    def __init__(self, path: Path, order: str):
        self._path, self._order, self._loader = path, order, None

    def __call__(self, epoch: int) -> Iterable[Any]:
        from ffcv.fields.decoders import IntDecoder, NDArrayDecoder
        from ffcv.loader import Loader, OrderOption
        from ffcv.transforms import Squeeze, ToTensor

        if self._loader is None:
            self._loader = Loader(
                str(self._path),
                batch_size=BATCH,
                num_workers=WORKERS,
                order=OrderOption[self._order],
                os_cache=self._order != "QUASI_RANDOM",  # It has its own cache.
                drop_last=False,
                pipelines={
                    "image": [NDArrayDecoder(), ToTensor()],
                    "label": [IntDecoder(), ToTensor(), Squeeze()],
                },
            )
        return self._loader
