"""The images that `stream.py` measures with: one set per codec, and the images as NumPy files for the peers."""

import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  registers the filters of the shards
import numpy as np

from epochbank import AugmentedSet, open_set
from glyphs import write_npz
from peers import Images
from peers.epochbank import CODECS


def make_images(folder: Path, num_images: int) -> Images:
    """Make the sets in `folder`, with one stored epoch of all glyphs, and `images.npy` and `labels.npy`, once."""
    images = Images(folder)
    if (folder / "labels.npy").exists():
        return images
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "glyphs.h5").exists():
        write_npz(folder / "glyphs.npz", num_images)
        _augment("import", folder / "glyphs.npz", folder / "glyphs.h5", "--jobs", 2)
    for codec in CODECS:
        options = f"--validation 0 --test 0 --epochs 1 --jobs 2 --codec {codec}".split()
        _augment("run", folder / "glyphs.h5", "--recipe", "kanji", *options, "--sets", images.sets_of(codec))
    _write_arrays(open_set(None, images.sets_of("none")), folder)
    return images


def _augment(*words: object) -> None:
    command = [sys.executable, "-m", "epochbank.augment", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _write_arrays(stored_set: AugmentedSet, folder: Path) -> None:
    """Write stored epoch 0 in stored order, read with plain h5py. `labels.npy` is written last."""
    num_images = stored_set.num_images["train"]
    labels = np.empty(num_images, np.int32)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (num_images, *stored_set.shape))
    for entry in stored_set.entries:
        if entry.split == "epoch" and entry.epoch == 0:
            with h5py.File(stored_set.path / entry.file) as file:
                images[entry.start : entry.stop] = file["image"]
                labels[entry.start : entry.stop] = file["label"]
    images.flush()
    np.save(folder / "labels.npy", labels)
