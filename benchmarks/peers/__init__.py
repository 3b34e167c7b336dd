"""epochbank and its peers, one module each, all measured alike by `benchmarks/stream.py`.

A module has REQUIRES, the import names it needs; `prepare(pictures, folder)`, which writes the peer's own
files once; and `contenders(pictures, folder)`, the ways to read them. Peers are imported inside functions
only, so that a module can be asked what it needs where the peer is missing.
"""

import importlib
import os

from peers.contender import BATCH, WORKERS, Contender, Pictures

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # What is measured ends in main memory.

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
"""The modules, in the order in which they take their turns."""

__all__ = ["BATCH", "PEERS", "WORKERS", "Contender", "Pictures", "requires"]


def requires(name: str) -> tuple[str, ...]:
    """Import names that a peer needs."""
    return importlib.import_module(f"peers.{name}").REQUIRES
