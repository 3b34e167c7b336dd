"""`--fit` and `--pad-color`: how images of another shape fill the frame, the same with both engines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.preprocess import Preprocessing, color_values, fit
from epochbank.augment.ingest.resize import resizer
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources.find import open_source

FITS = ("pad", "crop", "stretch")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def fitted(pixels: np.ndarray, height: int, width: int, **more: Any) -> np.ndarray:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return fit(image, Preprocessing(height, width, pixels.shape[2], invert=more.pop("invert", False), **more))


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    frame=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    channels=st.sampled_from([1, 3]),
    how=st.sampled_from(FITS),
    color=st.booleans(),
)
def test_engines_agree(size: tuple[int, int], frame: tuple[int, int], channels: int, how: Any, color: bool) -> None:
    """Both engines give the same pixels for every fit, size and frame."""
    pad_color = (200, 100, 50)[:channels] if color else None
    preprocessing = Preprocessing(*frame, channels, False, how, pad_color)
    images = np.stack([noise(*size, channels, seed) for seed in range(3)])
    results = [resizer(engine, preprocessing)(images, preprocessing) for engine in ("pillow", "compiled")]
    assert results[0].shape == (3, *frame, channels)
    assert np.array_equal(*results)


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (64, 64), (9, 5), (300, 401)])
def test_crop_cuts_out_the_middle(height: int, width: int) -> None:
    """The shorter side fills the frame, and the same amount is cut off at both ends of the longer side."""
    pixels, side = noise(height, width), min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    middle = Image.fromarray(pixels[top : top + side, left : left + side])
    expected = np.asarray(middle.resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(fitted(pixels, 32, 32, fit="crop"), expected)


def test_crop_into_an_oblong_frame() -> None:
    """A square image that fills a frame twice as wide as high keeps the middle half of its rows."""
    pixels = noise(64, 64)
    expected = np.asarray(Image.fromarray(pixels[16:48]).resize((40, 20), Image.Resampling.BICUBIC))
    assert np.array_equal(fitted(pixels, 20, 40, fit="crop"), expected)


def test_stretch_keeps_all_of_the_image() -> None:
    """Width and height are resized independently, with Pillow's antialiased filter."""
    pixels = noise(40, 100)
    expected = np.asarray(Image.fromarray(pixels).resize((32, 24), Image.Resampling.BICUBIC))
    assert np.array_equal(fitted(pixels, 24, 32, fit="stretch"), expected)


@pytest.mark.parametrize("how", FITS)
def test_shrinking_is_antialiased(how: str) -> None:
    """A fine checkerboard becomes plain gray."""
    board = (np.indices((256, 512)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    inner = fitted(board, 16, 32, fit=how)[2:-2, 2:-2]
    assert np.abs(inner.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("how", FITS)
def test_images_of_the_frame_are_unchanged(how: str) -> None:
    """An image that has the size of the frame keeps every pixel."""
    pixels = noise(20, 30)
    assert np.array_equal(fitted(pixels, 20, 30, fit=how), pixels)


# --- The color of the padding ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("color", "rgb", "gray"),
    [("white", (255, 255, 255), 255), ("#ff0000", (255, 0, 0), 76), ("hsl(120, 100%, 50%)", (0, 255, 0), 149)],
)
def test_colors_are_those_of_pillow(color: str, rgb: tuple[int, ...], gray: int) -> None:
    """A color has a value per channel of RGB images, and its luminance for gray images."""
    assert color_values(color, 3) == rgb
    assert color_values(color, 1) is not None
    assert abs(color_values(color, 1)[0] - gray) <= 1  # type: ignore[index]
    assert color_values(None, 3) is None


@pytest.mark.parametrize("invert", [False, True])
def test_padding_has_the_color_as_stored(invert: bool) -> None:
    """The color is that of the stored image: it is not inverted with the image."""
    padded = fitted(noise(20, 40), 40, 40, pad_color=(250, 10, 20), invert=invert)
    assert (padded[:10] == (250, 10, 20)).all()
    assert (padded[30:] == (250, 10, 20)).all()
    inner = noise(20, 40)
    assert np.array_equal(padded[10:30], 255 - inner if invert else inner)


@pytest.mark.parametrize("color", ["whit", "#12345", "", "255"])
def test_unknown_colors_are_refused(color: str) -> None:
    """The message names the color; the exit code is that of a wrong option."""
    with pytest.raises(EpochbankError, match=f"--pad-color '{color}' is unknown; expected a name") as caught:
        ImportOptions(pad_color=color)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("how", ["crop", "stretch"])
def test_a_color_without_padding_is_refused(how: Any) -> None:
    """An option that would do nothing is refused."""
    with pytest.raises(EpochbankError, match=f"--pad-color red applies only to --fit pad; received --fit {how}"):
        ImportOptions(fit=how, pad_color="red")


# --- Import -----------------------------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of two classes with 12 color photographs, 30 x 60, whose borders are not plain."""
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(30, 60, seed=number)).save(path)
    return tmp_path / "photos"


def imported(source: Path, path: Path, **options: Any) -> SourceFile:
    import_source(open_source(str(source)), path, ImportOptions(**options), 1, quiet=True)
    return open_source_file(path)


def augment(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "images are RGB, 16 x 16, not inverted"),
        ({"fit": "crop"}, "images are RGB, 16 x 16, cropped to fit, not inverted"),
        ({"fit": "stretch"}, "images are RGB, 16 x 16, stretched to fit, not inverted"),
    ],
)
def test_the_decision_says_the_fit(photographs: Path, tmp_path: Path, options: dict, text: str) -> None:
    """The fit is recorded in the source file, and its pixels follow it."""
    file = imported(photographs, tmp_path / "o.h5", size=(16, 16), **options)
    assert file.decided.startswith(text)
    first = np.asarray(Image.open(photographs / "a" / "0.png"))
    assert np.array_equal(file.read(np.array([0]))[0], fitted(first, 16, 16, **options))


def test_photographs_of_another_shape_suggest_to_crop(photographs: Path, tmp_path: Path) -> None:
    """The import suggests --fit crop for photographs that would get bars, and only then."""
    suggestion = (
        "12 of 12 sampled images are photographs of another shape, so bars are added: --fit crop fills the frame "
        "without bars"
    )
    assert suggestion in imported(photographs, tmp_path / "1.h5").decided
    for number, options in enumerate(
        ({"fit": "crop"}, {"fit": "stretch"}, {"pad_color": "white"}, {"size": (30, 60)}, {"color": "gray"})
    ):
        assert "--fit crop" not in imported(photographs, tmp_path / f"o{number}.h5", **options).decided


def test_drawings_on_plain_paper_are_padded(tmp_path: Path) -> None:
    """Colored drawings with a plain border get more of it, and no suggestion."""
    for number in range(8):
        path = tmp_path / "drawings" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((30, 60, 3), 245, np.uint8)
        pixels[8:20, 10:50] = noise(12, 40, seed=number)
        Image.fromarray(pixels).save(path)
    assert "--fit crop" not in imported(tmp_path / "drawings", tmp_path / "o.h5").decided


def test_other_fits_make_other_source_files(photographs: Path, tmp_path: Path) -> None:
    """`augment run` imports again for another fit or color, into a file of another name."""
    for words in ([], ["--fit", "crop"], ["--fit", "stretch"], ["--pad-color", "white"]):
        sets = ["--sets", tmp_path / "sets", "--recipe", "photo", "--epochs", 1, "--jobs", 1]
        augment("run", photographs, "--size", "16x16", "--validation", "0.2", "--test", "0.2", *sets, *words)
    assert len(list((tmp_path / "sets" / "sources").glob("*.h5"))) == 4
    assert len(list((tmp_path / "sets").glob("*/set.json"))) == 4
