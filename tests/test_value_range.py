"""The value range of a source: decided over a sample, said, and refused if images would become nearly black."""

import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.ingest.stored_preprocessing import prepared, stored_preprocessing
from epochbank.augment.ingest.value_decision import SampledValues, decide_values
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.value_range import (
    ValueRange,
    ValueRanges,
    in_bytes,
    parse_value_range,
    read_value_ranges,
)

IMAGES = np.ascontiguousarray(glyphs(48, (16, 16, 1))[..., 0])
LABELS = np.arange(48) % 4


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def augment(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def imported(source: object, *options: object) -> tuple[SourceFile, str]:
    """Import a source as a user does; return the source file, and what was printed."""
    words = ("import", source, "out.h5", "--jobs", 1, "--invert", "no", "--size", "16x16", *options)
    result = augment(*words)
    assert result.exit_code == 0, result.output
    return open_source_file(Path("out.h5")), result.output


def pixels(file: SourceFile) -> np.ndarray:
    """Read the images of a source file in the order of the numbers at the end of their origins; remove the file."""
    numbers = [int(re.findall(r"\d+", file.origin(row))[-1]) for row in range(file.num_images)]
    found = file.read(np.argsort(numbers))[..., 0]
    Path("out.h5").unlink()
    return found


def refused(source: object, *options: object) -> str:
    result = augment("import", source, "out.h5", "--jobs", 1, *options)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert not Path("out.h5").exists()
    return " ".join(result.output.split())


def write_tree(images: np.ndarray, suffix: str = ".png") -> str:
    """Write images of a type that Pillow saves into a folder per class; the names sort as the images do."""
    for number, (image, label) in enumerate(zip(images, LABELS, strict=False)):
        path = Path("t", "abcd"[label], f"{number:03d}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return "t"


SMALL = {
    "png16_8bit": (IMAGES.astype(np.uint16), ".png", "255", IMAGES),
    "png16_12bit": (IMAGES.astype(np.uint16) * 16, ".png", "4095", np.round(IMAGES * 16.0 * 255 / 4095)),
    "png8_01": ((IMAGES > 127).astype(np.uint8), ".png", "1", np.where(IMAGES > 127, 255, 0)),
    "png8_0_to_15": (IMAGES // 16, ".png", "15", IMAGES // 16 * 17),
    "tiff_int32_12bit": (IMAGES.astype(np.int32) * 16, ".tif", "4095", np.round(IMAGES * 16.0 * 255 / 4095)),
}


@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_small_numbers_in_image_files(case: str, kind: str) -> None:
    """Files whose images would become black are refused with the range that fits, which gives the right pixels."""
    stored, suffix, value_range, expected = SMALL[case]
    source = write_tree(stored, suffix)
    if kind == "zip":
        with zipfile.ZipFile("t.zip", "w") as archive:
            for path in sorted(Path("t").rglob("*.*")):
                archive.write(path, path.relative_to("t"))
        source = "t.zip"
    text = refused(source)
    assert "48 of 48 sampled" in text
    assert f"--value-range {value_range}," in text
    file, text = imported(source, "--value-range", value_range)
    assert f"values from 0 to {value_range} become 0 to 255 (--value-range {value_range})" in text
    np.testing.assert_array_equal(pixels(file), expected)


def test_small_numbers_in_other_sources() -> None:
    """Arrays, lists and Python items are checked as well."""
    small = IMAGES // 16
    np.savez("a.npz", images=small, labels=LABELS)
    write_tree(small)
    rows = "".join(f"{path},{path.parent.name}\n" for path in sorted(Path("t").rglob("*.png")))
    Path("list.csv").write_text("path,label\n" + rows)
    Path("small_items.py").write_text(
        "import numpy as np\ndef data():\n    yield from zip(np.load('a.npz')['images'], np.load('a.npz')['labels'])\n"
    )
    for source in ("a.npz", "list.csv", "python:small_items:data"):
        assert "--value-range 15," in refused(source)
        assert pixels(imported(source, "--value-range", 15)[0]).max() == 255


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        (IMAGES.astype(np.int32), "used as they are (48 sampled images of integers have 0 to 255)"),
        (IMAGES.astype(np.float32), "used as they are (48 sampled float images have 0 to 255)"),
        ((IMAGES / 255).astype(np.float32), "values from 0 to 1 become 0 to 255"),
        ((IMAGES / 127.5 - 1).astype(np.float32), "values from -1 to 1 become 0 to 255"),
        (IMAGES.astype(np.uint16) * 257, "values from 0 to 65535 become 0 to 255"),
        (IMAGES.astype(np.int32) * 257, "values from 0 to 65535 become 0 to 255"),
    ],
    ids=["int32", "float to 255", "float to 1", "float from -1", "uint16", "int32 of 16 bits"],
)
@pytest.mark.parametrize("kind", ["tif", "npz"])
def test_unambiguous_ranges(stored: np.ndarray, note: str, kind: str) -> None:
    """Integers and floats whose range is clear are mapped to the same bytes, and the range is said."""
    if kind == "tif":
        source = write_tree(stored, ".tif")
    else:
        np.savez("a.npz", images=stored, labels=LABELS)
        source = "a.npz"
    file, text = imported(source)
    assert note in " ".join(text.split())
    np.testing.assert_array_equal(pixels(file), IMAGES)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int64", "uint32"])
def test_arrays_of_any_integers(dtype: str) -> None:
    """Arrays of any integers from 0 to 255 (int8: to 127) are taken as they are: an array's type is not its range."""
    images = IMAGES // 2 if dtype == "int8" else IMAGES
    np.savez("a.npz", images=images.astype(dtype), labels=LABELS)
    np.testing.assert_array_equal(pixels(imported("a.npz")[0]), images)


@pytest.mark.parametrize(
    ("images", "suggested"),
    [
        ((IMAGES - IMAGES.mean()) / IMAGES.std(), "--value-range -0."),
        (IMAGES / 255 - 0.5, "--value-range -1:1 or --value-range -0.5:0.5"),
        (IMAGES * 257.0, "--value-range 65535"),
        (IMAGES / 255 / 255, "--value-range 0.00393"),
        (IMAGES / 16, "--value-range 16"),
    ],
    ids=["standardized", "centered", "16 bits", "scaled twice", "0 to 16"],
)
def test_unclear_floats(images: np.ndarray, suggested: str) -> None:
    """Floats whose range is unclear are refused with the candidates, and one of them imports the images."""
    np.savez("a.npz", images=images, labels=LABELS)
    text = refused("a.npz")
    assert suggested in text
    option = text.split("--value-range ")[1].split(" ")[0].strip(".,")
    found = pixels(imported("a.npz", "--value-range", option)[0])
    assert len(np.unique(found)) > 15


def test_explicit_range_is_kept() -> None:
    """With --value-range 65535, dark 16-bit images are imported as they are, and the note says that they are dark."""
    file, text = imported(write_tree(IMAGES.astype(np.uint16) * 16), "--value-range", 65535)
    assert "nearly all sampled 16-bit images have only the values 0 to 40" in " ".join(text.split())
    np.testing.assert_array_equal(pixels(file), IMAGES.astype(np.uint16) * 16 >> 8)


def test_images_outside_the_range_are_bad() -> None:
    """The range is the same for every image, so an image outside it is bad."""
    images = IMAGES.astype(np.float32) / 255
    images[7], images[9, 0, 0] = IMAGES[7], np.nan
    np.savez("a.npz", images=images, labels=LABELS)
    text = refused("a.npz")
    assert "2 of 48 images cannot be used" in text
    assert f"images[7] has values from 0 to {IMAGES[7].max()}; expected values in [0, 1]" in text
    assert "images[9] has NaN" in text
    assert imported("a.npz", "--on-bad", "skip")[0].num_images == 46


def test_a_few_other_images_do_not_decide() -> None:
    """A dark image among bright ones, and a bright one among dark ones, do not change the decision."""
    images = IMAGES.copy()
    images[5] = 0
    np.savez("a.npz", images=images, labels=LABELS)
    np.testing.assert_array_equal(pixels(imported("a.npz")[0]), images)
    images = IMAGES // 16
    images[5] = IMAGES[5]
    np.savez("a.npz", images=images, labels=LABELS)
    assert "47 of 48" in refused("a.npz")


def test_depths_in_one_folder() -> None:
    """Images of 8 and of 16 bits in one folder each have the range of their depth."""
    write_tree(IMAGES)
    for number in range(0, 48, 3):
        Image.fromarray(IMAGES[number].astype(np.uint16) * 257).save(f"t/{'abcd'[LABELS[number]]}/{number:03d}.png")
    np.testing.assert_array_equal(pixels(imported("t")[0]), IMAGES)
    for number in range(0, 48, 3):
        Image.fromarray(IMAGES[number].astype(np.uint16) * 16).save(f"t/{'abcd'[LABELS[number]]}/{number:03d}.png")
    found = pixels(imported("t", "--value-range", 4095)[0])
    np.testing.assert_array_equal(found[1::3], IMAGES[1::3])
    np.testing.assert_allclose(found[::3].astype(int), IMAGES[::3], atol=1)


def write_words(numbers: range, images: np.ndarray) -> None:
    """Replace images of the tree by 16-bit images."""
    for number in numbers:
        Image.fromarray(images[number].astype(np.uint16)).save(f"t/{'abcd'[LABELS[number]]}/{number:03d}.png")


def test_a_type_of_images_that_would_become_black_is_refused() -> None:
    """A third of a folder in 16-bit files that hold 0 to 255 is refused, and the range in the message fits all."""
    write_tree(IMAGES)
    write_words(range(0, 48, 3), IMAGES)
    text = refused("t")
    assert f"t: 16 of 16 sampled 16-bit images have only the values 0 to {IMAGES[::3].max()} of 0 to 65535" in text
    assert "--value-range 255, or keep the values with --value-range 65535" in text
    np.testing.assert_array_equal(pixels(imported("t", "--value-range", 255)[0]), IMAGES)


def test_a_few_images_of_another_type_are_noted() -> None:
    """Two dark 16-bit images among 48 do not stop the import, but a note says that they become black."""
    write_tree(IMAGES)
    write_words(range(2), IMAGES)
    text = " ".join(imported("t")[1].split())
    assert re.search(r"nearly all sampled 16-bit images have only the values 0 to 2\d\d and become nearly black", text)


def test_no_range_is_suggested_that_spoils_images_of_another_type() -> None:
    """8-bit images that hold 0 to 15 beside full 16-bit images: the range 0 to 15 would make the others bad."""
    write_tree(IMAGES // 16)
    write_words(range(0, 48, 3), IMAGES * 257.0)
    text = refused("t")
    assert "32 of 32 sampled 8-bit images" in text
    assert "Save all images in one type and range" in text
    assert "--value-range 15" not in text
    assert "--value-range 65535" in text
    imported("t", "--value-range", 65535)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 257), (np.int32, 257), (np.float32, 1 / 255)])
def test_two_ranges_in_one_type_are_refused(dtype: type, scale: float) -> None:
    """If a third of the images were saved in a much smaller range than the others, no range is right for all."""
    images = IMAGES * (np.where(np.arange(48) % 3, max(scale, 1), min(scale, 1))[:, None, None])
    text = refused(write_tree(images.astype(dtype), ".tif"))
    assert f"16 of 48 sampled {'float' if dtype is np.float32 else ''}" in text
    assert "expected the same range in all of them" in text
    option = text.split("--value-range ")[1].rstrip(".")
    assert "16 of 48 sampled" in " ".join(imported("t", "--value-range", option)[1].split())


def test_dark_images_among_others_are_noted() -> None:
    """Photographs may be dark or blank: their share is said if it is above a tenth, and they are imported."""
    images = IMAGES.astype(np.uint16) * 257
    images[:12] //= 12
    images[12:24] = 0
    text = " ".join(imported(write_tree(images))[1].split())
    assert "24 of 48 sampled 16-bit images use less than an eighth of the range, which the others use" in text
    Path("out.h5").unlink()
    images[:20] = images[24:44]
    assert "use less than an eighth" not in " ".join(imported(write_tree(images))[1].split())


def test_half_floats_give_no_warnings(recwarn: pytest.WarningsRecorder) -> None:
    """float16 images are compared with ranges beyond float16 without a warning of NumPy."""
    np.savez("a.npz", images=(IMAGES / 255).astype(np.float16), labels=LABELS)
    np.testing.assert_array_equal(pixels(imported("a.npz")[0]), IMAGES)
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_images_without_content_are_refused(value: int) -> None:
    """A source in which every image has the same single value is refused, unless its range is given."""
    np.savez("a.npz", images=np.full_like(IMAGES, value), labels=LABELS)
    assert f"48 of 48 sampled 8-bit images have only the value {value}" in refused("a.npz")
    text = imported("a.npz", "--value-range", 255)[1]
    assert f"nearly all sampled 8-bit images have only the values {value} to {value}" in text


def test_inspect_reports_dark_images() -> None:
    """`augment inspect` reports what an import would refuse."""
    result = augment("inspect", write_tree(IMAGES // 16), "--out", "report", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "--value-range 15" in " ".join(result.output.split())
    result = augment("inspect", "t", "--out", "other", "--jobs", 1, "--value-range", 15)
    assert "suspects.csv written: 0 rows" in result.output


def test_plan_and_preview_refuse_dark_images() -> None:
    """Every command that would use the images refuses them, and takes --value-range."""
    source = write_tree(IMAGES // 16)
    for words in (("plan", source), ("preview", source, "--out", "p.png")):
        assert "--value-range 15" in augment(*words).output
        assert augment(*words, "--value-range", 15).exit_code == 0


@pytest.mark.parametrize("text", ["x", "5:1", "1:1", "0", "nan", "0:inf", "", "1:2:3"])
def test_invalid_ranges(text: str) -> None:
    """Anything but MAX or MIN:MAX is refused before the source is scanned."""
    result = augment("import", write_tree(IMAGES), "out.h5", "--value-range", text)
    assert result.exit_code == 2
    assert "expected MAX or MIN:MAX" in " ".join(result.output.split())


def test_range_beyond_the_images() -> None:
    """A range beyond 255 for a source of 8-bit images would do nothing, and is refused."""
    result = augment("import", write_tree(IMAGES), "out.h5", "--value-range", 4095)
    assert result.exit_code == 2
    assert "goes beyond 255" in result.output


def test_the_default_is_not_among_the_settings() -> None:
    """Source files of earlier versions are found again: `auto` does not change their names."""
    assert "value_range" not in ImportOptions().settings()["source"]


def test_new_images_are_prepared_with_the_range() -> None:
    """The stored preprocessing applies the value range to other images."""
    file, _ = imported(write_tree(IMAGES.astype(np.uint16) * 16), "--value-range", 4080)
    preprocessing = stored_preprocessing({"preprocessing": file.preprocessing}, file.shape)
    found = prepared(Path("t/a/000.png"), preprocessing)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found[..., 0], IMAGES[0])


# Pure parts


ranges = st.tuples(st.floats(-1e4, 1e4), st.floats(1, 1e5)).map(lambda pair: ValueRange(pair[0], sum(pair)))


@given(ranges, ranges)
def test_ranges_are_stored_exactly(one: ValueRange, other: ValueRange) -> None:
    """What is written as text is read as the same numbers."""
    written = ValueRanges(uint16=one, floats=other)
    assert read_value_ranges(str(written)) == written
    assert parse_value_range(f"{one.low!r}:{one.high!r}") == one


@given(ranges, st.sampled_from([np.uint8, np.uint16, np.int32, np.int64, np.float32, np.float64]))
def test_values_are_mapped_linearly(value_range: ValueRange, dtype: type) -> None:
    """Every value in the range becomes the nearest of 0 to 255 on a line, and every other makes the image bad."""
    low, high = value_range
    info = (0.0, 255.0) if dtype is np.uint8 else (0.0, 65535.0) if dtype is np.uint16 else (-2e5, 2e5)
    values = np.clip(np.linspace(low - (high - low) / 4, high + (high - low) / 4, 41), *info).astype(dtype)
    decided = ValueRanges(value_range, value_range, value_range, value_range)
    found = list(in_bytes([values[:, None, None]], decided))
    found = [item for run in found for item in ([run] if isinstance(run, BadImage) else list(run))]
    for value, item in zip(values.tolist(), found, strict=True):
        assert isinstance(item, BadImage) or low - 0.01 <= value <= high + 0.01
        assert not isinstance(item, BadImage) or not low < value < high
        if not isinstance(item, BadImage):
            assert math.isclose(item.item(), (value - low) / (high - low) * 255, abs_tol=0.8)


def test_a_sample_without_images_is_decided() -> None:
    """If every sampled image is bad, the default ranges hold."""
    assert decide_values(SampledValues(), "auto").ranges == ValueRanges()
    assert not decide_values(SampledValues(), "auto").problem
    with pytest.raises(EpochbankError, match="MIN < MAX"):
        decide_values(SampledValues(), "3:2")
