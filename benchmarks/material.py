"""What `stream.py` measures on: epochbank's sets of one source, a codec each, and their pictures as NumPy files."""

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  the filters of the shards
import numpy as np

from epochbank import AugmentedSet, open_set
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.generation.generate import Execution, generate
from epochbank.augment.generation.request import Request
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import open_source
from epochbank.augment.split.holdout import HeldOut
from glyphs import write_npz
from peers import Pictures
from peers.epochbank import CODECS


def make_pictures(folder: Path, images: int) -> Pictures:
    """The sets below `folder`, one stored epoch of every glyph, and `images.npy` and `labels.npy`; made once."""
    pictures = Pictures(folder)
    if (folder / "labels.npy").exists():
        return pictures
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "glyphs.h5").exists():
        write_npz(folder / "glyphs.npz", images)
        source = open_source(str(folder / "glyphs.npz"))
        import_source(source, folder / "glyphs.h5", ImportOptions(), 2, quiet=True)
    request = Request(open_source_file(folder / "glyphs.h5"), "glyphs", load_recipe("kanji"), 0, HeldOut(0, 0))
    for codec in CODECS:
        generate(request, pictures.sets_of(codec), Execution(1, codec=codec, jobs=2), quiet=True)
    _write_arrays(open_set(None, pictures.sets_of("none")), folder)
    return pictures


def _write_arrays(bank: AugmentedSet, folder: Path) -> None:
    """Stored epoch 0 in stored order, shard by shard, as any HDF5 program reads it; the labels last."""
    count = bank.images["train"]
    labels = np.empty(count, np.int32)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, *bank.shape))
    for entry in bank.entries:
        if entry.part == "epoch" and entry.epoch == 0:
            with h5py.File(bank.path / entry.file) as file:
                images[entry.start : entry.stop] = file["image"]
                labels[entry.start : entry.stop] = file["label"]
    images.flush()
    np.save(folder / "labels.npy", labels)
