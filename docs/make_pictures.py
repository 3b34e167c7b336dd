"""Draw what the operations do: docs/operations.png on a handwritten digit, docs/operations-colour.png on a photograph;
and what `augment inspect` draws of the digits, docs/inspect.png.

    python docs/make_pictures.py       # or `make docs`

Each operation with its default ranges, the first parameter evenly from low to high, the others at random.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from epochbank.augment.distortion.draw import Applied
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.operations.base import by_picture
from epochbank.augment.ingest.block import one_by_one
from epochbank.augment.sources import open_source
from epochbank.augment.sources.decode import Treatment, fit
from epochbank.augment.views.contact_sheet import Cell, contact_sheet
from epochbank.augment.views.explain import stage_facts, stage_text
from epochbank.augment.views.inspection.class_sheet import class_rows, class_sheet
from epochbank.augment.views.inspection.findings import look_over

_HERE = Path(__file__).parent
_COLUMNS = 8
_GREY = (
    "rotate", "shear", "scale", "sine", "affine", "perspective", "elastic", "stroke", "erase", "crop", "flip",
    "blur", "sharpen", "smooth", "contrast", "noise",
)  # fmt: skip
_RGB = ("crop", "flip", "affine", "perspective", "colour", "contrast", "noise", "erase")


def row(name: str, picture: np.ndarray) -> list[Cell]:
    """An original and what operation `name` makes of it, with captions; one distortion where it draws nothing."""
    operation, shape = BUILT_IN[name](), picture.shape
    count = operation.uniforms(shape)
    columns = _COLUMNS if count else 1
    uniform = np.random.default_rng(3).random((columns, count))
    uniform[:, :1] = np.linspace(0, 1 - 1e-9, columns)[:, None][:, :count]
    parameters = operation.parameters(uniform, shape)
    after = operation.apply_many(np.repeat(picture[None], columns, 0), parameters)
    applied = [Applied(name, operation, one) for one in by_picture(parameters, columns)]
    cells = [Cell(picture, ["original", name], marked=True)]
    return cells + [Cell(one, [stage_text(stage_facts(how))]) for one, how in zip(after, applied, strict=True)]


def digit() -> np.ndarray:
    """A handwritten digit, uint8 (64, 64, 1)."""
    scan = open_source("digits").scan(Path())
    (image,) = one_by_one(scan.reader.read(np.flatnonzero(scan.labels == 5)[3:4]))
    return fit(image, Treatment(64, 64, 1, invert=False))


def flower() -> np.ndarray:
    """A photograph, uint8 (128, 128, 3)."""
    image = Image.fromarray(load_sample_image("flower.jpg")).crop((140, 0, 560, 420))
    return fit(image, Treatment(128, 128, 3, invert=False))


def inspected() -> Image.Image:
    """The contact sheet by class of the handwritten digits."""
    with tempfile.TemporaryDirectory() as workspace:
        findings = look_over(open_source("digits").scan(Path(workspace)), None, Path(workspace), jobs=1)
        return class_sheet("digits, as it is", class_rows(findings))


if __name__ == "__main__":
    for out, names, picture in (("operations.png", _GREY, digit()), ("operations-colour.png", _RGB, flower())):
        sheet = contact_sheet(
            "Operations with their default ranges, from low to high", [row(n, picture) for n in names]
        )
        sheet.quantize(160).save(_HERE / out, optimize=True)
    inspected().quantize(64).save(_HERE / "inspect.png", optimize=True)
