"""Small sources and sets that the tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHAPES: list[tuple[int, int, int]] = [
    (64, 64, 1), (64, 64, 3), (28, 28, 1), (63, 65, 1), (65, 63, 3), (48, 80, 1), (17, 5, 3), (5, 17, 1), (3, 3, 1),
    (2, 9, 3), (1, 1, 1), (1, 6, 3), (7, 1, 1),
]  # fmt: skip
"""(H, W, C) that an operation must take: square and not, odd, tiny."""

NOTHING = '[[stage]]\noperation = [{ op = "blur", radius = [0, 0] }]\n'
"""A recipe that changes no pixel."""


def glyphs(count: int, shape: tuple[int, int, int] = (20, 16, 1), seed: int = 0) -> np.ndarray:
    """Strokes on black, uint8 (count, H, W, C)."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    pictures = np.empty((count, *shape), np.uint8)
    for picture in pictures:
        image = Image.new("L" if channels == 1 else "RGB", (width, height))
        pen = ImageDraw.Draw(image)
        for _ in range(4):
            ends = rng.integers(0, [width, height], (2, 2))
            colour = tuple(int(value) for value in rng.integers(100, 256, channels))
            pen.line([tuple(map(int, end)) for end in ends], fill=colour if channels == 3 else colour[0], width=2)
        picture[:] = np.asarray(image).reshape(shape)
    return pictures


def pictures_of(shape: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    """Noise, noise of black and white alone, and strokes, in turn: what an operation might get wrong shows in one."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (count, *shape), np.uint8)
    pictures[1::3] = np.where(pictures[1::3] > 127, 255, 0)
    pictures[2::3] = 0
    for picture in pictures[2::3]:
        picture[random.integers(shape[0])] = 255
        picture[:, random.integers(shape[1])] = random.integers(1, 256)
        picture[random.integers(shape[0]), random.integers(shape[1])] = 255
    return pictures


def numbered(count: int) -> np.ndarray:
    """Pictures that say which they are: uint8 (count, 4, 4, 1), the number in the first two pixels."""
    pictures = np.zeros((count, 4, 4, 1), np.uint8)
    pictures[:, 0, 0, 0], pictures[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    return pictures


def numbers(pictures: np.ndarray) -> np.ndarray:
    """The numbers of `numbered` pictures."""
    return pictures[:, 0, 0, 0].astype(int) + 256 * pictures[:, 0, 1, 0].astype(int)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """A source of 300 glyphs of 20 x 16 in six classes and ten groups."""
    path = tmp_path / "glyphs.npz"
    np.savez(path, images=glyphs(300), labels=np.arange(300) % 6, groups=np.arange(300) // 30)
    return path


@pytest.fixture
def numbered_npz(tmp_path: Path) -> Path:
    """A source of 1,000 pictures that say which they are, in five classes: label = number mod 5."""
    path = tmp_path / "numbered.npz"
    np.savez(path, images=numbered(1000), labels=np.arange(1000) % 5)
    return path


@pytest.fixture
def nothing_recipe(tmp_path: Path) -> Path:
    """A recipe file that changes no pixel."""
    path = tmp_path / "nothing.toml"
    path.write_text(NOTHING)
    return path
