"""Pictures for benchmarks that look like handwriting to a codec: a few thick strokes on black."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = 100
_DISTINCT = 2000


def glyphs(count: int, side: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, side, side) pictures and int32 (count,) labels; drawn at twice the size, then shrunk."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((min(count, _DISTINCT), side, side), np.uint8)
    for picture in drawn:
        image = Image.new("L", (2 * side, 2 * side))
        pen = ImageDraw.Draw(image)
        for _ in range(rng.integers(3, 9)):
            points = rng.integers(side // 5, 2 * side - side // 5, (rng.integers(2, 5), 2))
            pen.line([tuple(map(int, point)) for point in points], fill=int(rng.integers(150, 256)), width=side // 12)
        picture[:] = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    which = np.arange(count) % len(drawn)
    return drawn[which], (which % CLASSES).astype(np.int32)


def write_npz(path: Path, count: int, side: int = 64) -> None:
    """Write `count` glyphs as an uncompressed .npz source."""
    images, labels = glyphs(count, side)
    np.savez(path, images=images, labels=labels)
