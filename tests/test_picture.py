"""Bringing a picture into a set: any Pillow mode, upright, inverted where asked, fitted with its aspect ratio."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.sources.decode import BadPicture, Look, Treatment, decode, fit, look_at, to_uint8

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def noise(height: int, width: int, channels: int = 0, seed: int = 1) -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def reopened(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    """The picture after a trip through a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


# --- decode: any mode --------------------------------------------------------------------------------------


def test_one_bit_becomes_black_and_white() -> None:
    """Mode 1 becomes grey of 0 and 255."""
    bits = noise(9, 13) > 127
    decoded = decode(reopened(Image.fromarray(bits)))
    assert decoded.mode == "L"
    assert np.array_equal(pixels(decoded), bits * 255)


@pytest.mark.parametrize(("mode", "channels"), [("L", 0), ("RGB", 3)])
def test_grey_and_colour_stay_as_they_are(mode: str, channels: int) -> None:
    """L and RGB keep every pixel."""
    before = noise(9, 13, channels)
    decoded = decode(reopened(Image.fromarray(before)))
    assert decoded.mode == mode
    assert np.array_equal(pixels(decoded), before)


def test_palette_becomes_its_colours() -> None:
    """P without transparency becomes the colours of its palette."""
    image = Image.frombytes("P", (13, 9), (noise(9, 13) % 4).tobytes())
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 255, 1], [255, 255, 255]], np.uint8)
    image.putpalette(colours.tobytes())
    decoded = decode(reopened(image))
    assert decoded.mode == "RGB"
    assert np.array_equal(pixels(decoded), colours[noise(9, 13) % 4])


def cross(shape: tuple[int, int]) -> np.ndarray:
    """True on a cross of strokes."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2], mask[:, shape[1] // 2] = True, True
    return mask


@pytest.mark.parametrize(("ink", "ground"), [(255, 0), (200, 0), (0, 255), (60, 255)])
@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L with a transparent grey", "RGB with a transparent colour"])
def test_transparency_is_laid_on_the_ground_that_ink_stands_out_from(mode: str, ink: int, ground: int) -> None:
    """Light ink on nothing gets a black ground, dark ink a white one, whichever way transparency is written."""
    mask = cross((9, 13))
    grey = np.where(mask, ink, 77).astype(np.uint8)  # 77 is under full transparency, and must not be seen.
    alpha = np.where(mask, 255, 0).astype(np.uint8)
    if mode == "LA":
        image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    elif mode == "RGBA":
        image = Image.merge("RGBA", [Image.fromarray(grey)] * 3 + [Image.fromarray(alpha)])
    elif mode == "P":
        image = Image.frombytes("P", (13, 9), mask.astype(np.uint8).tobytes())
        image.putpalette([77, 77, 77, ink, ink, ink])
        image.info["transparency"] = 0
    elif mode.startswith("L "):
        image = Image.fromarray(grey)
        image.info["transparency"] = 77
    else:
        image = Image.fromarray(np.repeat(grey[:, :, None], 3, 2))
        image.info["transparency"] = (77, 77, 77)
    options = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    for version in (image, reopened(image, **options)):
        decoded = decode(version)
        assert decoded.mode in ("L", "RGB")
        assert np.array_equal(pixels(decoded.convert("L")), np.where(mask, ink, ground))


def test_half_transparent_ink_is_blended() -> None:
    """A half-transparent edge of dark ink is half-way to the white ground."""
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 128))
    decoded = pixels(decode(image))
    assert decoded[0, 0].tolist() == [10, 20, 30]
    assert decoded[0, 2].tolist() == [255, 255, 255]
    assert np.abs(decoded[0, 1].astype(int) - [132, 137, 142]).max() <= 1


def test_opaque_alpha_changes_nothing() -> None:
    """RGBA without any transparency is its RGB."""
    before = noise(9, 13, 3)
    image = Image.fromarray(before)
    image.putalpha(255)
    assert np.array_equal(pixels(decode(image)), before)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "I;16 from a file"])
def test_16_bit_grey_keeps_its_high_byte(mode: str) -> None:
    """16-bit grey, as PNG and TIFF have it, becomes its high byte."""
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
    assert decoded.mode == "L"
    assert np.array_equal(pixels(decoded), values >> 8)


@pytest.mark.parametrize(("low", "high"), [(-1, 100), (0, 65536), (-(2**31), 2**31 - 1)])
def test_grey_beyond_16_bits_is_refused(low: int, high: int) -> None:
    """Values that are no 16-bit grey are refused, with what was found and what is expected."""
    image = Image.fromarray(np.array([[low, high]], np.int32))
    with pytest.raises(BadPicture, match=rf"values from {low} to {high}; .* \[0, 65535\]"):
        decode(image)


def test_float_grey_is_scaled() -> None:
    """Float grey in [0, 1] becomes 0 to 255, rounded."""
    image = Image.fromarray(np.array([[0, 0.25, 0.5, 1]], np.float32))
    assert pixels(decode(image)).tolist() == [[0, 64, 128, 255]]


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
    """Float pictures outside [0, 1], or with NaN or infinite values, are refused with what was found."""
    picture = np.zeros((3, 4), np.float32)
    picture[1, 2] = value
    with pytest.raises(BadPicture, match=reason):
        decode(Image.fromarray(picture))
    with pytest.raises(BadPicture, match=reason):
        to_uint8(picture)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_that_were_bytes_come_back(kind: type[np.floating]) -> None:
    """k / 255 becomes k again for every k, even in half precision."""
    values = np.arange(256).astype(np.uint8)
    assert np.array_equal(to_uint8((values / 255).astype(kind)), values)
    assert to_uint8((values / 255).astype(kind)).dtype == np.uint8


def test_bytes_stay_bytes() -> None:
    """`uint8` is taken as it is."""
    assert np.array_equal(to_uint8(noise(5, 6, 3)), noise(5, 6, 3))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    """CMYK and its like become the RGB that Pillow makes of them."""
    image = Image.frombytes(mode, (13, 9), noise(9, 13, 4 if mode in ("CMYK", "RGBX") else 3).tobytes())
    decoded = decode(image)
    assert decoded.mode == "RGB"
    assert np.array_equal(pixels(decoded), pixels(image.convert("RGB")))


def test_cmyk_file_keeps_ink_and_paper() -> None:
    """A CMYK JPEG has white paper where there is no ink and black where there is."""
    image = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 16, 32))
    decoded = pixels(decode(reopened(image, "JPEG", quality=95)).convert("L"))
    assert decoded[:, :14].max() < 20
    assert decoded[:, 18:].min() > 235


def test_lab_keeps_its_lightness() -> None:
    """A Lab picture, as TIFF may hold one, keeps its dark strokes and light ground."""
    lightness = np.where(cross((9, 13)), 20, 230).astype(np.uint8)
    neutral = Image.new("L", (13, 9), 128)
    image = Image.merge("LAB", [Image.fromarray(lightness), neutral, neutral])
    grey = pixels(decode(image).convert("L"))
    assert grey[cross((9, 13))].max() < 60
    assert grey[~cross((9, 13))].min() > 200


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
def test_exif_orientation_turns_it_upright(orientation: int, kind: type) -> None:
    """Each of the eight EXIF orientations is undone, whatever the mode."""
    stored = noise(9, 13)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = reopened(
        Image.fromarray(stored.astype(np.uint16) * 256 if kind is np.uint16 else stored.astype(kind)), exif=exif
    )
    expected = np.where(stored > 0, 255, 0) if kind is bool else stored
    assert np.array_equal(pixels(decode(image)), UPRIGHT[orientation](expected))


def test_decode_leaves_its_picture_alone() -> None:
    """The picture that was given is not changed."""
    image = Image.merge("RGBA", [Image.fromarray(noise(9, 13, seed=seed)) for seed in range(4)])
    before = image.tobytes()
    decode(image)
    assert image.tobytes() == before


# --- fit: aspect ratio, ground, inversion ------------------------------------------------------------------


def treatment(height: int = 64, width: int = 64, channels: int = 1, *, invert: bool = False) -> Treatment:
    return Treatment(height, width, channels, invert)


@few
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]),
    channels=st.sampled_from([1, 3]),
    invert=st.booleans(),
)
def test_any_picture_becomes_one_of_the_set(
    size: tuple[int, int], target: tuple[int, int], mode: str, channels: int, invert: bool
) -> None:
    """Whatever its size and mode, a picture comes out as uint8 of exactly the shape asked for."""
    wanted = treatment(*target, channels, invert=invert)
    result = fit(decode(Image.new(mode, size)), wanted)
    assert result.dtype == np.uint8
    assert result.shape == wanted.shape == (*target, channels)


@few
@given(
    width=st.integers(20, 220),
    height=st.integers(20, 220),
    target=st.tuples(st.integers(24, 90), st.integers(24, 90)),
)
def test_aspect_ratio_is_kept(width: int, height: int, target: tuple[int, int]) -> None:
    """All of the picture is there, as large as fits, centred, and no side stretched more than the other."""
    picture = np.zeros((height, width), np.uint8)
    picture[1:-1, 1:-1] = 255  # The border is the ground.
    result = fit(Image.fromarray(picture), treatment(*target))[:, :, 0]
    factor = min(target[0] / height, target[1] / width)
    for axis, (side, room) in enumerate(((height, target[0]), (width, target[1]))):
        inked = np.flatnonzero((result > 127).any(axis=1 - axis))
        extent = inked[-1] - inked[0] + 1
        assert abs(extent - (side - 2) * factor) <= 2
        assert abs((inked[0] + inked[-1]) / 2 - (room - 1) / 2) <= 1.5
        assert np.all(np.diff(inked) == 1)


def test_same_size_keeps_every_pixel() -> None:
    """A picture of the set's size is taken as it is."""
    for channels in (1, 3):
        before = noise(48, 64, channels)
        image = Image.fromarray(before[:, :, 0] if channels == 1 else before)
        assert np.array_equal(fit(image, treatment(48, 64, channels)), before)
        assert np.array_equal(fit(image, treatment(48, 64, channels, invert=True)), 255 - before)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("ground", [0, 30, 240, 255])
def test_padding_is_the_ground(ground: int, invert: bool) -> None:
    """What is left over is filled with the ground: the median of the border, after inversion."""
    picture = np.full((100, 20), ground, np.uint8)
    picture[40:60, 8:12] = 255 - ground
    picture[0, :3] = 99  # A speck on the border does not count.
    result = fit(Image.fromarray(picture), treatment(60, 60, invert=invert))[:, :, 0]
    expected = 255 - ground if invert else ground
    assert np.all(result[:, :20] == expected)
    assert np.all(result[:, 40:] == expected)
    assert abs(int(result[30, 30]) - (255 - expected)) < 10


def test_padding_of_colour_is_the_ground_of_each_channel() -> None:
    """In colour the ground is taken channel by channel."""
    picture = np.full((10, 40, 3), (250, 240, 5), np.uint8)
    picture[4:6, 10:30] = (0, 0, 255)
    result = fit(Image.fromarray(picture), treatment(40, 40, 3))
    assert np.all(result[:15] == (250, 240, 5))
    assert np.all(result[25:] == (250, 240, 5))
    assert np.all(fit(Image.fromarray(picture), treatment(40, 40, 3, invert=True))[:15] == (5, 15, 250))


def test_nothing_is_added_where_the_ratio_is_the_same() -> None:
    """A picture of the same ratio fills the whole place."""
    result = fit(Image.fromarray(np.full((105, 105), 200, np.uint8)), treatment())
    assert np.all(result == 200)


@pytest.mark.parametrize("side", [105, 512])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("invert", [False, True])
def test_lines_of_one_pixel_survive_shrinking(side: int, axis: int, invert: bool) -> None:
    """A line one pixel wide, anywhere, keeps its ink: it is seen in every row that it crosses."""
    for at in range(0, side, 1 if side == 105 else 7):
        picture = np.zeros((side, side), np.uint8)
        picture[(slice(None), at) if axis else at] = 255
        image = Image.fromarray(255 - picture if invert else picture)
        result = fit(image, treatment(invert=invert))[:, :, 0]
        ink = result.sum(axis=axis, dtype=int)
        # A line's 255 are shared out among the pixels that it falls into; only at the very edge is some cut off.
        kept = 0.9 if 10 <= at < side - 10 else 0.6
        assert ink.min() >= kept * 255 * 64 / side, at
        assert result.max(axis=axis).min() >= 0.4 * 255 * 64 / side, at


def test_fine_grid_becomes_grey_and_not_moire() -> None:
    """Shrinking is antialiased: a fine grid becomes an even grey, where nearest neighbour would leave stripes."""
    picture = np.zeros((512, 512), np.uint8)
    picture[:, ::2] = 255
    inner = fit(Image.fromarray(picture), treatment())[4:-4, 4:-4]
    assert inner.min() > 110
    assert inner.max() < 145


def test_colour_becomes_grey_and_grey_colour() -> None:
    """One channel is Pillow's luminance; three of a grey picture are three times the same."""
    colour, grey = Image.fromarray(noise(20, 20, 3)), Image.fromarray(noise(20, 20))
    assert np.array_equal(fit(colour, treatment(20, 20))[:, :, 0], pixels(colour.convert("L")))
    assert np.array_equal(fit(grey, treatment(20, 20, 3)), np.repeat(noise(20, 20, 1), 3, 2))


@pytest.mark.parametrize(("width", "height"), [(1000, 1), (1, 1000), (3000, 2)])
def test_very_long_pictures_still_show(width: int, height: int) -> None:
    """A picture a thousand times as long as wide does not vanish: it is at least one pixel wide."""
    picture = np.zeros((height, width), np.uint8)
    picture[height // 2, width // 4 : 3 * width // 4 or 1] = 255
    picture[height // 4 : 3 * height // 4 or 1, width // 2] = 255
    result = fit(Image.fromarray(picture), treatment())
    assert result.shape == (64, 64, 1)
    assert result.max() > 100


# --- look_at: colour and ground ----------------------------------------------------------------------------


def test_look_counts_colour_and_light_grounds() -> None:
    """Of a sample it is told how many have colour, and how many are dark ink on a light ground."""
    paper, night = np.full((20, 20), 240, np.uint8), np.zeros((20, 20), np.uint8)
    paper[5:15, 5:15], night[5:15, 5:15] = 0, 255
    red = np.repeat(paper[:, :, None], 3, 2)
    red[8, 8] = (200, 10, 10)
    pictures = [Image.fromarray(paper)] * 2 + [Image.fromarray(night)] * 3 + [Image.fromarray(red)]
    assert look_at(pictures) == Look(images=6, colour=1, light=3)
    assert look_at([]) == Look(0, 0, 0)


def test_grey_saved_as_colour_is_grey() -> None:
    """RGB whose channels agree, or differ by the few steps that JPEG rounds by, is no colour; one dyed pixel is."""
    grey = np.repeat(noise(32, 32, 1), 3, 2)
    assert look_at([Image.fromarray(grey)]).colour == 0
    jpeg = decode(reopened(Image.fromarray(np.full((32, 32, 3), 77, np.uint8)), "JPEG", quality=75))
    assert look_at([jpeg]).colour == 0
    dyed = np.full((32, 32, 3), 100, np.uint8)
    dyed[3, 4] = (100, 100, 120)
    assert look_at([Image.fromarray(dyed)]).colour == 1


def test_ground_is_judged_by_the_border() -> None:
    """A page full of dark ink is still light where its border is, and a few dark pixels there do not matter."""
    picture = np.full((20, 20), 255, np.uint8)
    picture[1:-1, 1:-1] = 0
    picture[0, :8] = 0
    assert look_at([Image.fromarray(picture)]).light == 1
    assert look_at([Image.fromarray(255 - picture)]).light == 0
