"""Images for benchmarks that compress like handwriting: a few thick strokes on black."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = 100
_DISTINCT = 2000
_SHIFTS = 16


def glyphs(count: int, side: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (count, side, side), and labels, int32 (count,); up to two million images are distinct."""
    blocks = list(blocks_of_glyphs(count, side, seed))
    return np.concatenate(blocks), (np.arange(count) % _DISTINCT % CLASSES).astype(np.int32)


def blocks_of_glyphs(count: int, side: int = 64, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield the images block by block: first the drawn ones, then shifted, mirrored and flipped copies."""
    drawn = _draw(min(count, _DISTINCT), side, seed)
    for number, start in enumerate(range(0, count, _DISTINCT)):
        down, right = divmod(number % _SHIFTS**2, _SHIFTS)
        mirrored, flipped = number // _SHIFTS**2 % 2, number // _SHIFTS**2 // 2 % 2
        block = np.roll(drawn[: count - start], (down, right), axis=(1, 2))
        yield block[:, :: -1 if flipped else 1, :: -1 if mirrored else 1]


def _draw(count: int, side: int, seed: int) -> np.ndarray:
    """Draw at twice the size, then resize."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((count, side, side), np.uint8)
    for image in drawn:
        pil_image = Image.new("L", (2 * side, 2 * side))
        pen = ImageDraw.Draw(pil_image)
        for _ in range(rng.integers(3, 9)):
            points = rng.integers(side // 5, 2 * side - side // 5, (rng.integers(2, 5), 2))
            pen.line([tuple(map(int, point)) for point in points], fill=int(rng.integers(150, 256)), width=side // 12)
        image[:] = np.asarray(pil_image.resize((side, side), Image.Resampling.BICUBIC))
    return drawn


def write_npz(path: Path, count: int, side: int = 64) -> None:
    """Write `count` glyphs as an uncompressed .npz source."""
    images, labels = glyphs(count, side)
    np.savez(path, images=images, labels=labels)
