"""Draw the images of the documentation, with `python docs/make_images.py` or `make docs`.

docs/operations.png shows the operations on a handwritten digit, docs/operations-color.png on a photograph. Each has its
default ranges: the first parameter in even steps from low to high, the others random. docs/inspect.png is what
`augment inspect` draws for the digits. docs/kanji.png is what `augment preview` draws for printed characters, in the
font of the extra `fonts` or one of the system. docs/gallery/ has the same of the other
built-in recipes, docs/tutorials/letters.png what `augment inspect` draws for the images of a tutorial.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

import epochbank
from epochbank.augment.distortion.draw import Applied
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.operations.base import by_image
from epochbank.augment.ingest.block import usable_images
from epochbank.augment.ingest.preprocess import Preprocessing, fit
from epochbank.augment.shared.contact_sheet import Cell, contact_sheet
from epochbank.augment.shared.fonts import pillow_text
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.find import open_source
from epochbank.augment.views.explain import stage_facts, stage_text
from epochbank.augment.views.inspection.class_sheet import class_rows, class_sheet
from epochbank.augment.views.inspection.findings import inspect_images

_HERE = Path(__file__).parent
_CHARACTERS = "永愛書道夢龍あか"
_PHOTOGRAPHS = {"flower": (140, 0, 560, 420), "china": (0, 0, 420, 420)}
"""Left, top, right and bottom of the part that is shown."""
_COLUMNS = 8
_GRAY = (
    "rotate", "shear", "scale", "sine", "affine", "perspective", "elastic", "stroke", "erase", "crop", "flip",
    "blur", "sharpen", "smooth", "contrast", "noise",
)  # fmt: skip
_RGB = ("crop", "flip", "affine", "perspective", "color", "contrast", "noise", "erase")


def row(name: str, image: np.ndarray) -> list[Cell]:
    """Return an image and its distortions by operation `name`; one distortion if the operation has no parameters."""
    operation, shape = BUILT_IN[name](), image.shape
    count = operation.uniforms(shape)
    columns = _COLUMNS if count else 1
    uniform = np.random.default_rng(3).random((columns, count))
    uniform[:, :1] = np.linspace(0, 1 - 1e-9, columns)[:, None][:, :count]
    parameters = operation.parameters(uniform, shape)
    after = operation.apply_many(np.repeat(image[None], columns, 0), parameters)
    applied = [Applied(name, operation, one) for one in by_image(parameters, columns)]
    cells = [Cell(image, ["original", name], marked=True)]
    return cells + [
        Cell(one, [stage_text(stage_facts(one_applied))]) for one, one_applied in zip(after, applied, strict=True)
    ]


def digit() -> np.ndarray:
    """Return a handwritten digit, uint8 (64, 64, 1)."""
    scan = open_source("digits").scan(Path())
    (image,) = usable_images(scan.reader.read(np.flatnonzero(scan.labels == 5)[3:4]))
    return fit(image, Preprocessing(64, 64, 1, invert=False))


def flower() -> np.ndarray:
    """Return a photograph, uint8 (128, 128, 3)."""
    return fit(photograph("flower"), Preprocessing(128, 128, 3, invert=False))


def inspected() -> Image.Image:
    """Return the contact sheet by class of the handwritten digits."""
    with tempfile.TemporaryDirectory() as workspace:
        scan = open_source("digits").scan(Path(workspace))
        findings = inspect_images(scan, None, Path(workspace), 1, SourceOptions())
        return class_sheet("digits, original images", class_rows(findings))


def printed(character: str) -> Image.Image:
    """Return a character in a font, gray, 64 x 64."""
    text, font = pillow_text(character, 54)
    if text != character:
        sys.exit(f"no font has {character}; install one: pip install -e '.[fonts]'")
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((32, 32), text, 255, font, anchor="mm")
    return image


def photograph(name: str) -> Image.Image:
    """Return a square part of a photograph that scikit-learn distributes, RGB."""
    return Image.fromarray(load_sample_image(f"{name}.jpg")).crop(_PHOTOGRAPHS[name])


def preview(name: str, images: dict[str, Image.Image], recipe: str, side: int) -> Image.Image:
    """Return what `augment preview` draws for a folder `name` with one image of each class."""
    with tempfile.TemporaryDirectory() as folder:
        for label, image in images.items():
            (Path(folder) / name / label).mkdir(parents=True)
            image.save(Path(folder) / name / label / "image.png")
        return epochbank.preview(Path(folder) / name, recipe, size=(side, side))


def gallery() -> dict[str, Image.Image]:
    """Return a preview of each built-in recipe but `kanji`, and of the final recipes, by file name."""
    kanji = {character: printed(character) for character in _CHARACTERS[:4]}
    photographs = {name: photograph(name) for name in _PHOTOGRAPHS}
    final = _HERE.parent / "train/streaming/final_recipes"
    return {
        "kanji-strong": preview("kanji", kanji, "kanji-strong", 64),
        "handwriting": epochbank.preview("digits", "handwriting", limit=4),
        "photo": preview("photographs", photographs, "photo", 128),
        "final-characters": preview("kanji", kanji, str(final / "characters.toml"), 64),
        "final-photo": preview("photographs", photographs, str(final / "photo.toml"), 128),
    }


def letters() -> Image.Image:
    """Return the contact sheet of the images that the script in a tutorial writes."""
    page = (_HERE / "tutorials/own-images.md").read_text()
    script = page.split("```python\n# make_letters.py")[1].split("```")[0]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(script, {})
        epochbank.inspect("letters", "inspected", jobs=1)
        return Image.open("inspected/sheet.png").convert("RGB")


if __name__ == "__main__":
    kanji = preview("kanji", {character: printed(character) for character in _CHARACTERS}, "kanji", 64)
    kanji.quantize(64).save(_HERE / "kanji.png", optimize=True)
    for name, sheet in gallery().items():
        sheet.quantize(160).save(_HERE / f"gallery/{name}.png", optimize=True)
    for out, names, image in (("operations.png", _GRAY, digit()), ("operations-color.png", _RGB, flower())):
        sheet = contact_sheet("Operations with their default ranges, from low to high", [row(n, image) for n in names])
        sheet.quantize(160).save(_HERE / out, optimize=True)
    letters().quantize(64).save(_HERE / "tutorials/letters.png", optimize=True)
    inspected().quantize(64).save(_HERE / "inspect.png", optimize=True)
