"""The peers of stage 1's distortion, one small module each, all on one core; `python -m distorters NAME` measures one.

A module has PICTURES, what it distorts (`glyphs` or `photos`, see `material.py`); REQUIRES, the import names that it
needs, each with the package that brings it; and `distorter(pictures)`, which is given uint8 (n, H, W, C) and returns
a function that distorts all of them once, in order. What that yields are batches: sequences of distorted pictures, of
any length, valid until the next one is asked for. Nothing is collated, encoded or written.

What all share is in `ranges.py`. What is not said there is left as the library has it by itself, the width of a
Gaussian's window above all. Peers are imported inside functions only, so that a module can be asked what it needs
where the peer is missing, and so that none starts threads before the process is bound to its core.
"""

import importlib
from importlib.util import find_spec

PEERS = (
    "plain_loop",
    "dali",
    "albumentations",
    "albumentations_mix",
    "keras_layers",
    "keras_layers_wide",
    "torchvision_v2",
    "epochbank_photos",
    "pillow_photos",
    "albumentations_photos",
)
"""The modules; those that distort glyphs first."""

__all__ = ["PEERS", "missing"]


def missing(name: str) -> str | None:
    """In words, what a peer needs that is not installed, and the command that brings it; None where all is there."""
    requires = importlib.import_module(f"distorters.{name}").REQUIRES
    absent = {module: package for module, package in requires.items() if not _installed(module)}
    if not absent:
        return None
    return f"{', '.join(absent)} not installed: pip install {' '.join(absent.values())}"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False
