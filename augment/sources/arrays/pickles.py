"""Recognizes pickles, which epochbank never loads, because loading one can run any code."""

from pathlib import Path

from ...errors import EpochbankError

_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".p"}
_CIFAR = ("data_batch_1", "train")
"""Files of the Python versions of CIFAR-10 and CIFAR-100."""


def refuse_pickles(path: Path) -> None:
    """Raise `EpochbankError` if `path` is a pickle, a PyTorch file, or the folder of CIFAR's Python batches."""
    files = [path / name for name in _CIFAR] if path.is_dir() else [path]
    if not any(file.is_file() and (file.suffix.lower() in _SUFFIXES or _is_pickle(file)) for file in files):
        return
    raise EpochbankError(
        f"{path} {'has pickles' if path.is_dir() else 'is a pickle'}, which epochbank never loads, because that "
        "executes code that the file names; expected arrays. If you trust it, load it yourself (pickle.load, "
        "torch.load), save it with np.savez('data.npz', images=..., labels=...) and import data.npz: see "
        "docs/sources.md."
    )


def _is_pickle(path: Path) -> bool:
    """Return whether a file without a suffix begins and ends as pickles of protocol 2 and later do."""
    if path.suffix:
        return False
    with open(path, "rb") as file:
        head = file.read(2)
        if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5:
            return False
        file.seek(-1, 2)
        return file.read() == b"."
