"""Large files in the formats of the ETL Character Database, for benchmarks, with handwriting from Omniglot.

    write_etl(Path("etl"), "9G", 120_000)      # 984 MB

Codes, sheets and the order of records are those of the real files: ETL9 by forms, ETL8B by characters. Sources:
`shared/reference/etl-formats.md`, `shared/data/README.md`.
"""

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from glyphs import glyphs

OMNIGLOT = Path(__file__).parents[2] / "shared/data/omniglot-drawers-01-16.zip"
_DRAWN = 4000
"""Number of drawings; the records repeat them, each time shifted or mirrored differently."""

_KANJI = np.array(
    [row << 8 | cell for row in range(0x30, 0x50) for cell in range(0x21, 0x7F)][: 31 * 94 + 51], np.uint16
)
"""The 2,965 kanji of the first level of JIS X 0208."""
_HIRAGANA = np.arange(0x2421, 0x2474, dtype=np.uint16)


class _Layout(NamedTuple):
    record_bytes: int
    image_at: int
    size: tuple[int, int]
    bits: int
    per_file: int
    codes: np.ndarray
    form_sheets: int
    """Sheets of a form, which has each code once."""
    name: str


_LAYOUTS = {
    "9G": _Layout(8199, 64, (127, 128), 4, 12144, np.concatenate([_KANJI, _HIRAGANA[:71]]), 20, "ETL9G_{:02d}"),
    "9B": _Layout(576, 8, (63, 64), 1, 121440, np.concatenate([_HIRAGANA[1:72], _KANJI]), 20, "ETL9B_{}"),
    "8B": _Layout(512, 8, (63, 64), 1, 51200, np.concatenate([_HIRAGANA[:75], _KANJI[:881]]), 10, "ETL8B2C{}"),
}


def write_etl(folder: Path, kind: str, count: int) -> list[Path]:
    """Write files `ETL9G_01` and so on with `count` records of `kind` (`9G`, `9B` or `8B`); return their paths.

    The last file may be short. Files of the B types have a dummy record in addition. Up to 784,000 images are distinct.
    """
    layout = _LAYOUTS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    pool = _drawings(layout.size)
    paths: list[Path] = []
    for first in range(0, count, layout.per_file):
        paths.append(folder / layout.name.format(len(paths) + 1))
        with open(paths[-1], "wb") as file:
            if kind in ("8B", "9B"):
                file.write(bytes(layout.record_bytes))
            last = min(first + layout.per_file, count)
            for start in range(first, last, len(pool)):
                number = np.arange(start, min(start + len(pool), last))
                _records(layout, kind, number, _packed(pool, layout, start // len(pool))).tofile(file)
    return paths


def _records(layout: _Layout, kind: str, number: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the records with these numbers, uint8 (n, bytes), and the first n of `images`."""
    records = np.zeros((len(number), layout.record_bytes), np.uint8)
    code, sheet = _codes_and_sheets(layout, kind, number)
    records[:, 0:2] = sheet.astype(">u2").view(np.uint8).reshape(-1, 2)
    records[:, 2:4] = code.astype(">u2").view(np.uint8).reshape(-1, 2)
    records[:, 4:8] = np.frombuffer(b"KA. ", np.uint8)
    records[:, layout.image_at : layout.image_at + images.shape[1]] = images[: len(number)]
    return records


def _codes_and_sheets(layout: _Layout, kind: str, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    classes = len(layout.codes)
    form, place = (number % 160, number // 160) if kind == "8B" else (number // classes, number % classes)
    return layout.codes[place], form * layout.form_sheets + 1 + place * layout.form_sheets // classes


def _packed(pool: np.ndarray, layout: _Layout, repeat: int) -> np.ndarray:
    """Return all drawings, mirrored and shifted by the number of the `repeat`, packed, uint8 (n, bytes)."""
    mirrored = pool[:, :: 1 - repeat % 2 * 2, :: 1 - repeat // 2 % 2 * 2]
    shift = repeat // 4 % 7 * 2 - 6, repeat // 28 % 7 * 2 - 6
    shifted = np.roll(mirrored, shift, axis=(1, 2)).reshape(len(pool), -1)
    if layout.bits == 1:
        return np.packbits(shifted >= 96, axis=1)
    levels = shifted >> 4
    return levels[:, 0::2] << 4 | levels[:, 1::2]


@lru_cache
def _drawings(size: tuple[int, int]) -> np.ndarray:
    """Return Omniglot characters, bright ink, uint8 (n, height, width); synthetic glyphs if Omniglot is missing."""
    if not OMNIGLOT.exists():
        images = [Image.fromarray(image) for image in glyphs(_DRAWN, 105)[0]]
    else:
        with zipfile.ZipFile(OMNIGLOT) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            images = [_drawing(archive, name) for name in names[:: max(1, len(names) // _DRAWN)][:_DRAWN]]
    return np.stack([np.asarray(pil_image.resize(size[::-1], Image.Resampling.BILINEAR)) for pil_image in images])


def _drawing(archive: zipfile.ZipFile, name: str) -> Image.Image:
    with archive.open(name) as file, Image.open(file) as image:
        return ImageChops.invert(image.convert("L"))
