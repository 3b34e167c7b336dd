"""FFCV: one `.beton` file, decoded by compiled code into PyTorch tensors.

`pip install ffcv` builds it from source, which wants the libraries of OpenCV and libjpeg-turbo: on Debian and
Ubuntu `apt install build-essential pkg-config libopencv-dev libturbojpeg0-dev`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Pictures, bytes_of

REQUIRES = ("ffcv", "torch")


class _Rows:
    def __init__(self, pictures: Pictures):
        self._images, self._labels = pictures.images, pictures.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.array(self._images[index]), int(self._labels[index])


def prepare(pictures: Pictures, folder: Path) -> None:
    from ffcv.fields import IntField, NDArrayField
    from ffcv.writer import DatasetWriter

    fields = {"image": NDArrayField(np.dtype(np.uint8), pictures.images.shape[1:]), "label": IntField()}
    DatasetWriter(str(folder / "pictures.beton"), fields, num_workers=WORKERS).from_indexed_dataset(_Rows(pictures))


def contenders(pictures: Pictures, folder: Path) -> list[Contender]:
    stored = bytes_of(folder)
    return [
        Contender(f"FFCV {order}", f"{WORKERS} threads", shuffled, stored, _Batches(folder / "pictures.beton", order))
        for order, shuffled in (("RANDOM", "yes"), ("QUASI_RANDOM", "window"), ("SEQUENTIAL", "no"))
    ]


class _Batches:
    """Makes the loader when it is first asked: what it compiles and starts belongs to its own turn."""

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
                os_cache=self._order != "QUASI_RANDOM",  # which has a cache of its own
                drop_last=False,
                pipelines={
                    "image": [NDArrayDecoder(), ToTensor()],
                    "label": [IntDecoder(), ToTensor(), Squeeze()],
                },
            )
        return self._loader
