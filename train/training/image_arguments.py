"""What `train predict` takes: files that Pillow opens, and folders of them; checked before Keras is imported."""

from collections.abc import Iterable
from pathlib import Path

from ...augment.errors import EpochbankError

_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_TABLES = frozenset({
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".npz", ".npy", ".mat", ".h5", ".hdf5",
})  # fmt: skip
_EXPECTED = "`train predict` takes image files, and folders of images"


def check_image_paths(paths: Iterable[str | Path]) -> None:
    """Raise `EpochbankError` if a path does not exist, or is an archive or a table of images."""
    for path in map(Path, paths):
        suffix = path.suffix.lower()
        if not path.exists():
            raise EpochbankError(f"image {path} does not exist; expected a file or a folder.", usage=True)
        if path.is_dir():
            continue
        if suffix in _ARCHIVES:
            raise EpochbankError(
                f"{path} is an archive; {_EXPECTED}. Unpack it, then name the folder of its images.", usage=True
            )
        if suffix in _TABLES:
            raise EpochbankError(
                f"{path} is not an image but a {suffix} file; {_EXPECTED}. Name the images themselves, or a folder "
                "that contains them.",
                usage=True,
            )
