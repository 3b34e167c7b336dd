"""Lists of classes within a folder tree, as Tiny ImageNet has them: `val/val_annotations.txt` for `val/images/`.

Each line has the name of an image file and its class, separated by tabs; further fields are ignored.
"""

from ...errors import EpochbankError
from ..paths import printable
from .classes import composed

_SUFFIX = b"_annotations.txt"


def is_annotations(name: bytes) -> bool:
    """Return whether a file has the name of a list of classes."""
    return name.lower().endswith(_SUFFIX)


def parse_annotations(path: str, content: bytes) -> dict[bytes, str]:
    """Return the class of each image, by file name. Raises `EpochbankError`, which names `path`, for invalid lines."""
    class_of: dict[bytes, str] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        name, *others = line.split(b"\t")
        label = composed(printable(others[0])).strip() if others else ""
        if not label or class_of.setdefault(name, label) != label:
            what = "lists a file twice, with different classes" if label else "has no class"
            raise EpochbankError(f"{path}, line {number}, {what}; expected a file name, a tab and a class. Fix it.")
    return class_of
