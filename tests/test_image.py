"""Decoding and preprocessing of one image: any Pillow mode, EXIF orientation, inversion, resizing with aspect ratio."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.ingest.preprocess import Preprocessing, SampleStatistics, examine, fit
from epochbank.augment.sources.decode import BadImage, decode
from epochbank.augment.sources.value_range import ValueRanges, in_bytes

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def noise(height: int, width: int, channels: int = 0, seed: int = 1) -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def reopened(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    """Return the image after saving it to a file and opening that."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def as_bytes(image: Image.Image | np.ndarray) -> Image.Image | np.ndarray:
    """Return an image with the default value ranges, in 8 bits. Raises `BadImage`."""
    (found,) = in_bytes([image if isinstance(image, Image.Image) else image[None]], ValueRanges())
    if isinstance(found, BadImage):
        raise found
    return found if isinstance(found, Image.Image) else found[0]


# --- decode: any Pillow mode --------------------------------------------------------------------------------------


def test_one_bit_images_become_0_and_255() -> None:
    """Mode 1 becomes gray with the values 0 and 255."""
    bits = noise(9, 13) > 127
    decoded = decode(reopened(Image.fromarray(bits)))
    assert decoded.mode == "L"
    assert np.array_equal(pixels(decoded), bits * 255)


@pytest.mark.parametrize(("mode", "channels"), [("L", 0), ("RGB", 3)])
def test_gray_and_rgb_are_unchanged(mode: str, channels: int) -> None:
    """L and RGB keep every pixel."""
    before = noise(9, 13, channels)
    decoded = decode(reopened(Image.fromarray(before)))
    assert decoded.mode == mode
    assert np.array_equal(pixels(decoded), before)


def test_palette_images_become_rgb() -> None:
    """Mode P without transparency becomes the colors of its palette."""
    image = Image.frombytes("P", (13, 9), (noise(9, 13) % 4).tobytes())
    colors = np.array([[10, 20, 30], [200, 0, 0], [0, 255, 1], [255, 255, 255]], np.uint8)
    image.putpalette(colors.tobytes())
    decoded = decode(reopened(image))
    assert decoded.mode == "RGB"
    assert np.array_equal(pixels(decoded), colors[noise(9, 13) % 4])


def cross(shape: tuple[int, int]) -> np.ndarray:
    """Return a mask that is True on a cross of lines."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2], mask[:, shape[1] // 2] = True, True
    return mask


@pytest.mark.parametrize(("ink", "background"), [(255, 0), (200, 0), (0, 255), (60, 255)])
@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L with a transparent gray", "RGB with a transparent color"])
def test_transparency_gets_a_contrasting_background(mode: str, ink: int, background: int) -> None:
    """Light ink on transparency gets a black background, dark ink a white one, in every mode with transparency."""
    mask = cross((9, 13))
    gray = np.where(mask, ink, 77).astype(np.uint8)  # 77 is fully transparent and must not show.
    alpha = np.where(mask, 255, 0).astype(np.uint8)
    if mode == "LA":
        image = Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])
    elif mode == "RGBA":
        image = Image.merge("RGBA", [Image.fromarray(gray)] * 3 + [Image.fromarray(alpha)])
    elif mode == "P":
        image = Image.frombytes("P", (13, 9), mask.astype(np.uint8).tobytes())
        image.putpalette([77, 77, 77, ink, ink, ink])
        image.info["transparency"] = 0
    elif mode.startswith("L "):
        image = Image.fromarray(gray)
        image.info["transparency"] = 77
    else:
        image = Image.fromarray(np.repeat(gray[:, :, None], 3, 2))
        image.info["transparency"] = (77, 77, 77)
    options = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    for version in (image, reopened(image, **options)):
        decoded = decode(version)
        assert decoded.mode in ("L", "RGB")
        assert np.array_equal(pixels(decoded.convert("L")), np.where(mask, ink, background))


def test_half_transparent_ink_is_blended() -> None:
    """A half-transparent edge of dark ink is blended with the white background."""
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 128))
    decoded = pixels(decode(image))
    assert decoded[0, 0].tolist() == [10, 20, 30]
    assert decoded[0, 2].tolist() == [255, 255, 255]
    assert np.abs(decoded[0, 1].astype(int) - [132, 137, 142]).max() <= 1


def test_opaque_alpha_is_ignored() -> None:
    """RGBA without transparency becomes its RGB channels."""
    before = noise(9, 13, 3)
    image = Image.fromarray(before)
    image.putalpha(255)
    assert np.array_equal(pixels(decode(image)), before)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "I;16 from a file"])
def test_16_bit_gray_keeps_the_high_byte(mode: str) -> None:
    """16-bit gray, as in PNG and TIFF, is decoded exactly, and becomes its high byte."""
    values = np.arange(0, 65536, 257, dtype=np.uint16)[:255].reshape(15, 17) + np.uint16(3)
    if mode == "I;16B":
        image = Image.frombytes("I;16B", (17, 15), values.astype(">u2").tobytes())
    elif mode == "I":
        image = Image.fromarray(values.astype(np.int32))
    else:
        image = Image.fromarray(values)
        image = reopened(image) if "file" in mode else image
    assert image.mode in (mode, "I;16")
    decoded = decode(image)
    assert np.array_equal(pixels(decoded), values)
    assert np.array_equal(as_bytes(decoded), values >> 8)


@pytest.mark.parametrize(("low", "high"), [(-1, 100), (0, 65536), (-(2**31), 2**31 - 1)])
def test_gray_beyond_16_bits_is_refused(low: int, high: int) -> None:
    """Values outside the range of 16 bits are refused, with the values and the expected range."""
    image = Image.fromarray(np.array([[low, high]], np.int32))
    with pytest.raises(BadImage, match=rf"values from {low} to {high}; .* \[0, 65535\]"):
        as_bytes(decode(image))


def test_float_gray_is_scaled() -> None:
    """Float gray in [0, 1] is scaled to 0 to 255 and rounded."""
    image = Image.fromarray(np.array([[0, 0.25, 0.5, 1]], np.float32))
    assert np.asarray(as_bytes(decode(image))).tolist() == [[0, 64, 128, 255]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, r"values from 0 to 1.5; .*\[0, 1\]"),
        (-0.01, r"values from -0.01 to 0; .*\[0, 1\]"),
        (255, r"values from 0 to 255; .*\[0, 1\]"),
        (np.nan, "NaN or infinite"),
        (np.inf, "NaN or infinite"),
        (-np.inf, "NaN or infinite"),
    ],
)
def test_float_out_of_range_is_refused(value: float, reason: str) -> None:
    """Float images outside [0, 1], or with NaN or infinite values, are refused, with the values."""
    image = np.zeros((3, 4), np.float32)
    image[1, 2] = value
    with pytest.raises(BadImage, match=reason):
        as_bytes(decode(Image.fromarray(image)))
    with pytest.raises(BadImage, match=reason):
        as_bytes(image)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_scaled_bytes_are_restored(kind: type[np.floating]) -> None:
    """k / 255 becomes k for every byte k, even in half precision."""
    values = np.arange(256).astype(np.uint8)
    restored = as_bytes((values / 255).astype(kind))
    assert np.array_equal(restored, values)
    assert np.asarray(restored).dtype == np.uint8


def test_bytes_are_unchanged() -> None:
    """`uint8` arrays are used as they are."""
    assert np.array_equal(as_bytes(noise(5, 6, 3)), noise(5, 6, 3))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_color_modes_become_rgb(mode: str) -> None:
    """CMYK and similar modes become RGB as Pillow converts them."""
    image = Image.frombytes(mode, (13, 9), noise(9, 13, 4 if mode in ("CMYK", "RGBX") else 3).tobytes())
    decoded = decode(image)
    assert decoded.mode == "RGB"
    assert np.array_equal(pixels(decoded), pixels(image.convert("RGB")))


def test_cmyk_jpeg_keeps_ink_dark_and_paper_light() -> None:
    """A CMYK JPEG becomes black where there is ink and white elsewhere."""
    image = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 16, 32))
    decoded = pixels(decode(reopened(image, "JPEG", quality=95)).convert("L"))
    assert decoded[:, :14].max() < 20
    assert decoded[:, 18:].min() > 235


def test_lab_keeps_lightness() -> None:
    """A Lab image, as in some TIFF files, keeps dark strokes dark and a light background light."""
    lightness = np.where(cross((9, 13)), 20, 230).astype(np.uint8)
    neutral = Image.new("L", (13, 9), 128)
    image = Image.merge("LAB", [Image.fromarray(lightness), neutral, neutral])
    gray = pixels(decode(image).convert("L"))
    assert gray[cross((9, 13))].max() < 60
    assert gray[~cross((9, 13))].min() > 200


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, bool])
def test_exif_orientation_is_applied(orientation: int, kind: type) -> None:
    """Each of the eight EXIF orientations is applied, in every mode."""
    stored = noise(9, 13)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = reopened(
        Image.fromarray(stored.astype(np.uint16) * 256 if kind is np.uint16 else stored.astype(kind)), exif=exif
    )
    expected = np.where(stored > 0, 255, 0) if kind is bool else stored
    assert np.array_equal(as_bytes(decode(image)), UPRIGHT[orientation](expected))


def test_decode_does_not_modify_its_input() -> None:
    """The given image keeps its pixels."""
    image = Image.merge("RGBA", [Image.fromarray(noise(9, 13, seed=seed)) for seed in range(4)])
    before = image.tobytes()
    decode(image)
    assert image.tobytes() == before


# --- fit: aspect ratio, background, inversion -------------------------------------------------------------


def preprocessing(height: int = 64, width: int = 64, channels: int = 1, *, invert: bool = False) -> Preprocessing:
    return Preprocessing(height, width, channels, invert)


@few
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]),
    channels=st.sampled_from([1, 3]),
    invert=st.booleans(),
)
def test_any_image_gets_the_requested_shape(
    size: tuple[int, int], target: tuple[int, int], mode: str, channels: int, invert: bool
) -> None:
    """An image of any size and mode becomes uint8 of exactly the requested shape."""
    wanted = preprocessing(*target, channels, invert=invert)
    (decoded,) = in_bytes([decode(Image.new(mode, size))], ValueRanges())
    assert isinstance(decoded, Image.Image)
    result = fit(decoded, wanted)
    assert result.dtype == np.uint8
    assert result.shape == wanted.shape == (*target, channels)


@few
@given(
    width=st.integers(20, 220),
    height=st.integers(20, 220),
    target=st.tuples(st.integers(24, 90), st.integers(24, 90)),
)
def test_aspect_ratio_is_kept(width: int, height: int, target: tuple[int, int]) -> None:
    """The whole image is shown, as large as possible, centered, with the same scale in both directions."""
    image = np.zeros((height, width), np.uint8)
    image[1:-1, 1:-1] = 255  # The border is the background.
    result = fit(Image.fromarray(image), preprocessing(*target))[:, :, 0]
    factor = min(target[0] / height, target[1] / width)
    for axis, (side, room) in enumerate(((height, target[0]), (width, target[1]))):
        inked = np.flatnonzero((result > 127).any(axis=1 - axis))
        extent = inked[-1] - inked[0] + 1
        assert abs(extent - (side - 2) * factor) <= 2
        assert abs((inked[0] + inked[-1]) / 2 - (room - 1) / 2) <= 1.5
        assert np.all(np.diff(inked) == 1)


def test_images_of_the_requested_size_keep_every_pixel() -> None:
    """An image of the requested size is not resampled."""
    for channels in (1, 3):
        before = noise(48, 64, channels)
        image = Image.fromarray(before[:, :, 0] if channels == 1 else before)
        assert np.array_equal(fit(image, preprocessing(48, 64, channels)), before)
        assert np.array_equal(fit(image, preprocessing(48, 64, channels, invert=True)), 255 - before)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("background", [0, 30, 240, 255])
def test_padding_is_the_background(background: int, invert: bool) -> None:
    """The padding has the color of the background: the median of the border, after inversion."""
    image = np.full((100, 20), background, np.uint8)
    image[40:60, 8:12] = 255 - background
    image[0, :3] = 99  # A few outliers on the border do not matter.
    result = fit(Image.fromarray(image), preprocessing(60, 60, invert=invert))[:, :, 0]
    expected = 255 - background if invert else background
    assert np.all(result[:, :20] == expected)
    assert np.all(result[:, 40:] == expected)
    assert abs(int(result[30, 30]) - (255 - expected)) < 10


def test_padding_of_rgb_is_the_background_of_each_channel() -> None:
    """The background of an RGB image is the median of each channel."""
    image = np.full((10, 40, 3), (250, 240, 5), np.uint8)
    image[4:6, 10:30] = (0, 0, 255)
    result = fit(Image.fromarray(image), preprocessing(40, 40, 3))
    assert np.all(result[:15] == (250, 240, 5))
    assert np.all(result[25:] == (250, 240, 5))
    assert np.all(fit(Image.fromarray(image), preprocessing(40, 40, 3, invert=True))[:15] == (5, 15, 250))


def test_no_padding_for_the_same_aspect_ratio() -> None:
    """An image of the same aspect ratio fills the whole frame."""
    result = fit(Image.fromarray(np.full((105, 105), 200, np.uint8)), preprocessing())
    assert np.all(result == 200)


@pytest.mark.parametrize("side", [105, 512])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("invert", [False, True])
def test_lines_of_one_pixel_survive_downscaling(side: int, axis: int, invert: bool) -> None:
    """A line of one pixel keeps its ink at any position and is visible in every row that it crosses."""
    for at in range(0, side, 1 if side == 105 else 7):
        image = np.zeros((side, side), np.uint8)
        image[(slice(None), at) if axis else at] = 255
        pil_image = Image.fromarray(255 - image if invert else image)
        result = fit(pil_image, preprocessing(invert=invert))[:, :, 0]
        ink = result.sum(axis=axis, dtype=int)
        # The 255 of the line are distributed over nearby pixels; some are lost only at the very edge.
        kept = 0.9 if 10 <= at < side - 10 else 0.6
        assert ink.min() >= kept * 255 * 64 / side, at
        assert result.max(axis=axis).min() >= 0.4 * 255 * 64 / side, at


def test_downscaling_is_antialiased() -> None:
    """A fine grid becomes an even gray, where nearest-neighbor sampling would give stripes."""
    image = np.zeros((512, 512), np.uint8)
    image[:, ::2] = 255
    inner = fit(Image.fromarray(image), preprocessing())[4:-4, 4:-4]
    assert inner.min() > 110
    assert inner.max() < 145


def test_conversion_between_gray_and_rgb() -> None:
    """RGB becomes Pillow's luminance; gray is repeated in all three channels."""
    color, gray = Image.fromarray(noise(20, 20, 3)), Image.fromarray(noise(20, 20))
    assert np.array_equal(fit(color, preprocessing(20, 20))[:, :, 0], pixels(color.convert("L")))
    assert np.array_equal(fit(gray, preprocessing(20, 20, 3)), np.repeat(noise(20, 20, 1), 3, 2))


@pytest.mark.parametrize(("width", "height"), [(1000, 1), (1, 1000), (3000, 2)])
def test_very_long_images_stay_visible(width: int, height: int) -> None:
    """An image a thousand times as long as wide is still at least one pixel wide."""
    image = np.zeros((height, width), np.uint8)
    image[height // 2, width // 4 : 3 * width // 4 or 1] = 255
    image[height // 4 : 3 * height // 4 or 1, width // 2] = 255
    result = fit(Image.fromarray(image), preprocessing())
    assert result.shape == (64, 64, 1)
    assert result.max() > 100


# --- examine: color and background ----------------------------------------------------------------------


def test_examine_counts_color_and_light_backgrounds() -> None:
    """The statistics count the images with color and those with a light background."""
    paper, night = np.full((20, 20), 240, np.uint8), np.zeros((20, 20), np.uint8)
    paper[5:15, 5:15], night[5:15, 5:15] = 0, 255
    red = np.repeat(paper[:, :, None], 3, 2)
    red[8, 8] = (200, 10, 10)
    images = [Image.fromarray(paper)] * 2 + [Image.fromarray(night)] * 3 + [Image.fromarray(red)]
    assert examine(images) == SampleStatistics(num_images=6, color=1, light=3, largest=(20, 20))
    assert examine([]) == SampleStatistics(0, 0, 0)


def test_gray_images_saved_as_rgb_have_no_color() -> None:
    """Channels that are equal, or differ by JPEG's rounding, are no color; a single colored pixel is."""
    gray = np.repeat(noise(32, 32, 1), 3, 2)
    assert examine([Image.fromarray(gray)]).color == 0
    jpeg = decode(reopened(Image.fromarray(np.full((32, 32, 3), 77, np.uint8)), "JPEG", quality=75))
    assert examine([jpeg]).color == 0
    dyed = np.full((32, 32, 3), 100, np.uint8)
    dyed[3, 4] = (100, 100, 120)
    assert examine([Image.fromarray(dyed)]).color == 1


def test_the_border_decides_on_the_background() -> None:
    """A page full of dark ink has a light background if its border is light, apart from a few dark pixels."""
    image = np.full((20, 20), 255, np.uint8)
    image[1:-1, 1:-1] = 0
    image[0, :8] = 0
    assert examine([Image.fromarray(image)]).light == 1
    assert examine([Image.fromarray(255 - image)]).light == 0
