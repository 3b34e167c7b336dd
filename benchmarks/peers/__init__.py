"""epochbank and other libraries that stream images, one module each; `benchmarks/stream.py` measures them all alike.

A module has REQUIRES, the import names that it needs; `prepare(images, folder)`, which writes files in the library's
format once; and `contenders(images, folder)`, which returns the ways to read them. Libraries are imported inside
functions only, so that REQUIRES can be read if one is missing.
"""

import importlib
import os

from peers.contender import BATCH, WORKERS, Contender, Images

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # Batches end in main memory.

PEERS = (
    "epochbank",
    "ffcv",
    "torch_loader",
    "tf_data",
    "litdata",
    "mosaicml",
    "webdataset",
    "grain",
    "h5",
)
"""The modules, in the order of their turns."""

__all__ = ["BATCH", "PEERS", "WORKERS", "Contender", "Images", "requires"]


def requires(name: str) -> tuple[str, ...]:
    """Return the import names that a peer needs."""
    return importlib.import_module(f"peers.{name}").REQUIRES
