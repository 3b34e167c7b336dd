"""Other libraries that distort images, one small module each, on one core; `python -m distorters NAME` measures one.

A module has KIND, the images that it distorts (`glyphs` or `photos`, see `sample_images.py`); REQUIRES, the import
names that it needs, each with the package that provides it; and `distorter(images)`, which takes uint8 (n, H, W, C) and
returns a function that distorts all of them once, in order. That function yields batches: sequences of distorted images
of any length, valid until the next batch. Nothing is collated, encoded or written.

`ranges.py` has the settings that all modules share. Everything else is the default of the library, in particular the
width of a Gaussian's window. Libraries are imported inside functions only, so that REQUIRES can be read if one is
missing, and so that none starts threads before the process is bound to its core.
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
"""The modules; those for glyphs first."""

__all__ = ["PEERS", "missing"]


def missing(name: str) -> str | None:
    """Return what a peer lacks, and the command that installs it; None if it lacks nothing."""
    requires = importlib.import_module(f"distorters.{name}").REQUIRES
    absent = {module: package for module, package in requires.items() if not _installed(module)}
    if not absent:
        return None
    return f"{', '.join(absent)} not installed: pip install {' '.join(absent.values())}"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # Its parent package is missing.
        return False
