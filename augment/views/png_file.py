"""PNG files of contact sheets and charts."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..console import notify
from ..errors import EpochbankError
from ..shared.atomic import make_directory, new_file


def save(sheet: Image.Image, out: Path) -> None:
    """Write a PNG. A PNG that epochbank wrote is replaced; any other existing file raises `EpochbankError`."""
    if out.suffix.lower() != ".png":
        raise EpochbankError(f"--out {out} is not a PNG; expected a name that ends in .png.", usage=True)
    check_replaceable(out)
    mark = PngInfo()
    mark.add_text("Software", "epochbank")
    make_directory(out.parent)
    with new_file(out) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=mark)
    notify(f"{out} written: {sheet.width} x {sheet.height} pixels")


def check_replaceable(out: Path) -> None:
    """Raise `EpochbankError` if `out` exists and is not a PNG that `save` wrote."""
    if out.exists() and not _written_by_epochbank(out):
        raise EpochbankError(
            f"{out} exists and was not written by epochbank; expected a new file. Choose another --out, or remove it."
        )


def _written_by_epochbank(image: Path) -> bool:
    if not image.is_file():
        return False
    try:
        with Image.open(image) as old:
            return old.info.get("Software") == "epochbank"
    except OSError:
        return False
