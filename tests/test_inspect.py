"""`augment inspect`: the report is correct for any number of workers, and it replaces only files that it wrote."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.ingest import near_duplicates
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.preprocess import Preprocessing, examine
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared import fonts
from epochbank.augment.shared.contact_sheet import ACCENT
from epochbank.augment.shared.fonts import pillow_text
from epochbank.augment.sources.find import open_source
from epochbank.augment.views import preview
from epochbank.augment.views.inspection import findings
from epochbank.augment.views.inspection.class_sheet import Row, class_sheet
from epochbank.augment.views.inspection.facts import BLANK, COLOR, CONSTANT, LIGHT, ImageLoader, facts_of
from epochbank.augment.views.inspection.histogram import histogram
from epochbank.augment.views.inspection.text import bins_of, report_lines
from epochbank.augment.views.sample import some_classes, some_of_class, spread

few = settings(deadline=None, max_examples=50)
FILES = ["classes.csv", "classes.png", "report.json", "sheet.png", "suspects.csv"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Use only the default fonts, and those in the directory `fonts`, in place of the system's."""
    monkeypatch.setattr(fonts, "_DIRECTORIES", ("fonts",))
    for cache in (fonts.system_fonts, fonts._drawable):
        cache.cache_clear()
    yield
    for cache in (fonts.system_fonts, fonts._drawable):
        cache.cache_clear()


def call(*words: object) -> Result:
    """Run `augment`, which must not raise."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def inspected(*words: object) -> dict[str, Any]:
    """Return the JSON values of `augment inspect`, with one worker by default."""
    result = call("inspect", *words, "--json", *([] if "--jobs" in words else ["--jobs", 1]))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def all_files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(code: int, words: tuple[object, ...], *texts: str) -> None:
    """Assert that `augment inspect` fails with a message that has all `texts`, and changes no file."""
    before = all_files()
    result = call("inspect", *words)
    assert result.exit_code == code, result.output
    assert all(text in result.stderr for text in texts), result.stderr
    assert all_files() == before


def strokes(count: int = 64) -> np.ndarray:
    """Return distinct images on black, uint8 (count, 20, 16)."""
    return glyphs(count, seed=5)[..., 0]


def write_tree() -> None:
    """Write a folder with splits, groups and every kind of problem: 65 images and an unusable file."""
    images = list(strokes())
    images[8] = np.full((20, 16), 255, np.uint8)
    images[16] = images[16] // 10
    images[24] = 255 - images[24]
    images[36] = images[4]  # Of the same class.
    images[33] = images[1]
    images[42] = images[1]  # Of another class, in another split.
    images[48] = images[48].repeat(3, axis=0).repeat(3, axis=1)
    images.append(np.minimum(images[3] // 2 + 40, 255).astype(np.uint8))  # Only brightness and contrast differ.
    for number, pixels in enumerate(images):
        split, label, group = ("test" if number == 42 else "train"), number % 8, number % 5
        path = Path("t", split, "abcdefgh"[label], f"w{group}-{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    Path("t/train/d/w4-99.png").write_bytes(b"no image")


# Facts about images


@st.composite
def batches(draw: st.DrawFn) -> np.ndarray:
    """Images of one shape with various ranges of values: uint8 (n, h, w) or (n, h, w, 3)."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    color = draw(st.sampled_from([(), (3,)]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    images = []
    for _ in range(draw(st.integers(1, 5))):
        low = draw(st.integers(0, 255))
        high = draw(st.one_of(st.integers(low, min(255, low + 40)), st.integers(low, 255)))
        gray = random.integers(low, high + 1, shape, np.uint8)
        more = random.integers(0, 1 + draw(st.integers(0, min(10, 255 - high))), (*shape, *color), np.uint8)
        images.append(gray.reshape(*shape, *(1 for _ in color)) + more)
    return np.stack(images)


def facts_about(images: np.ndarray) -> np.ndarray:
    """Return the facts about `images`, with hashes of 9 x 9 pixels."""
    preprocessing = Preprocessing(9, 9, 1, invert=False)
    return facts_of(images, ImageLoader(None, preprocessing, preprocessing, "pillow"))  # type: ignore[arg-type]


@few
@given(batch=batches())
def test_facts_of_a_batch_are_those_of_each_image(batch: np.ndarray) -> None:
    """The flags of many images match their definition, single images, and what the import decides by."""
    for image, fact in zip(batch, facts_about(batch), strict=True):
        (alone,) = facts_about(image[None])
        assert fact == alone
        assert (fact["height"], fact["width"]) == image.shape[:2]
        contrast = max(int(np.ptp(channel)) for channel in image.reshape(-1, 3 if image.ndim == 3 else 1).T)
        examined = examine([Image.fromarray(image)])
        flags = CONSTANT * (contrast == 0) | BLANK * (0 < contrast < 32)
        flags |= LIGHT * examined.light | COLOR * examined.color
        assert fact["flags"] == flags


@pytest.mark.parametrize("side", [512, 513])
@pytest.mark.parametrize("color", [(), (3,)])
def test_large_images_are_reduced_as_by_examine(side: int, color: tuple[int, ...]) -> None:
    """Images at both sides of the size above which `examine` reduces them get the same flags from both."""
    image = np.zeros((side, 20, *color), np.uint8)
    image[::2] = 200  # Reduced, it is gray; else half of its border is light.
    if color:
        image[0, 0] = (255, 0, 0)
    (fact,) = facts_about(image[None])
    examined = examine([Image.fromarray(image)])
    assert fact["flags"] == LIGHT * examined.light | COLOR * examined.color


def test_duplicates_are_those_of_an_import(tmp_path: Path) -> None:
    """A drawing with a palette, and black images of two shapes, are duplicates, as many as the import finds."""
    drawing = Image.fromarray(glyphs(1, (20, 20, 1))[0, :, :, 0])
    images = {
        "a/1.png": Image.fromarray(np.zeros((2, 8), np.uint8)),
        "a/2.png": Image.fromarray(np.zeros((4, 4), np.uint8)),
        "b/3.png": drawing,
        "b/4.gif": drawing.convert("P"),
    }
    for name, image in images.items():
        Path("t", name).parent.mkdir(parents=True, exist_ok=True)
        image.save(Path("t", name))
    problems = inspected("t")["problems"]
    assert [(one["origin"], one["other"]) for one in problems["duplicates"]["examples"]] == [
        ("b/4.gif", "b/3.png"), ("a/2.png", "a/1.png")
    ]  # fmt: skip
    assert problems["duplicates"]["constant"] == 1
    assert problems["constant"]["images"] == 2
    import_source(open_source("t"), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    assert open_source_file(tmp_path / "o.h5").duplicates == problems["duplicates"]["images"] == 2


def test_the_report_of_another_source_is_not_replaced() -> None:
    """If two sources have one name, the second is refused with the name of the first and the fix."""
    for folder in ("x/letters", "y/letters"):
        Path(folder, "a").mkdir(parents=True)
        Image.fromarray(glyphs(1, (20, 20, 1))[0, :, :, 0]).save(f"{folder}/a/1.png")
    inspected("x/letters")
    refused(1, ("y/letters",), "has the report on x/letters", "Choose another --out")
    inspected("x/letters")


@pytest.fixture
def tree() -> None:
    write_tree()


def test_all_problems_are_found(tree: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem is reported with its origin and nothing else is, by one worker, and in small blocks by two."""
    facts = inspected("t", "--group-pattern", r"w(\d)-")
    monkeypatch.setattr(findings, "_BLOCK", 10)
    monkeypatch.setattr(findings, "_PAIRS", 1)
    assert inspected("t", "--group-pattern", r"w(\d)-", "--jobs", 2) == facts
    problems = facts["problems"]
    assert problems["bad"]["images"] == 1
    assert problems["bad"]["examples"][0]["origin"] == "train/d/w4-99.png"
    assert "cannot be read" in problems["bad"]["examples"][0]["reason"]
    assert problems["constant"] == {"images": 1, "examples": ["train/a/w3-8.png"]}
    assert problems["blank"] == {"images": 1, "examples": ["train/a/w1-16.png"]}
    assert problems["inverted"] == {"images": 1, "examples": ["train/a/w4-24.png"]}
    duplicates = problems["duplicates"]
    keys = ("images", "across_classes", "across_splits", "constant")
    assert [duplicates[key] for key in keys] == [3, 2, 2, 0]
    assert {one for pair in duplicates["examples"] for one in pair.values()} == {
        "test/c/w2-42.png", "train/b/w1-1.png", "train/b/w3-33.png", "train/e/w1-36.png", "train/e/w4-4.png"
    }  # fmt: skip
    assert problems["near_duplicates"]["images"] == 1
    assert set(problems["near_duplicates"]["examples"][0].values()) == {"train/d/w3-3.png", "train/a/w4-64.png"}
    assert problems["groups_across_splits"] == 1
    assert facts["sizes"]["count"] == 2
    assert facts["sizes"]["common"][0] == {"height": 20, "width": 16, "images": 64}
    assert facts["sizes"]["height"] == {"min": 20, "median": 20, "max": 60}
    assert (facts["images"], facts["inspected"]) == (66, 66)
    assert facts["color"] == {"gray": 65, "color": 0}
    assert facts["background"] == {"dark": 62, "light": 1}
    assert facts["splits"]["test"] == {
        "images": 1, "classes": 1, "groups": 1, "missing": ["a", "b", "d", "e", "f", "g", "h"]
    }  # fmt: skip
    assert facts["groups"]["count"] == 5
    assert facts["groups"]["classes"] == {"min": 8, "median": 8, "max": 8}


def test_tables_report_and_text_agree(tree: None) -> None:
    """The tables, report.json and the printed text agree with each other."""
    result = call("inspect", "t", "--group-pattern", r"w(\d)-", "--jobs", 1)
    report = json.loads(Path("inspect/t/report.json").read_text(encoding="utf-8"))
    assert {key: report[key] for key in report if key not in ("made_by", "checksums")} == inspected(
        "t", "--group-pattern", r"w(\d)-"
    )
    classes = rows_of(Path("inspect/t/classes.csv"))
    assert [row["class"] for row in classes] == list("abcdefgh")
    assert classes[0] == {
        "class": "a", "code_points": "U+0061", "images": "9", "groups": "5", "train": "9", "validation": "0",
        "test": "0", "inspected": "9", "bad": "0", "constant": "1", "blank": "1", "inverted": "1", "duplicates": "0",
    }  # fmt: skip
    assert [list(map(str, row.values())) for row in report["classes"]["table"]] == [
        list(row.values()) for row in classes
    ]
    suspects = rows_of(Path("inspect/t/suspects.csv"))
    kinds = [row["problem"] for row in suspects]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        kind: report["problems"][kind]["images"]
        for kind in ("bad", "constant", "blank", "inverted", "duplicates", "near_duplicates")
    }
    across = next(row for row in suspects if row["problem"] == "duplicates" and row["class"] != row["other_class"])
    assert (across["origin"], across["other"]) == ("train/b/w1-1.png", "test/c/w2-42.png")
    for text in ("66, all inspected", "train/d/w4-99.png cannot be read",
                 "1 image: these have a light background, most have a dark one",
                 "3 images: identical to another image, 2 of another class, 2 in another split",
                 "1 pair: nearly identical", "1 group in several splits",
                 "Next: augment preview t --group-pattern 'w(\\d)-'"):  # fmt: skip
        assert text in result.stdout
    assert sorted(path.name for path in Path("inspect/t").iterdir()) == FILES
    assert sorted(path.name for path in Path().iterdir()) == ["inspect", "t"]


def test_a_source_without_problems(npz: Path) -> None:
    """300 distinct images have no problems; the JSON has the documented keys."""
    facts = inspected(npz)
    assert set(facts) == {
        "source", "name", "kind", "out", "images", "inspected", "classes", "groups", "splits", "sizes", "color",
        "background", "problems", "preprocessing", "notes", "next",
    }  # fmt: skip
    assert facts["kind"] == "npz"
    assert facts["classes"]["images"] == {"min": 50, "median": 50, "max": 50}
    assert facts["groups"]["images"] == {"min": 30, "median": 30, "max": 30}
    assert "No problems found" in call("inspect", npz, "--jobs", 1).stdout


def test_color_images_are_never_inverted() -> None:
    """If most images have color, both light and dark backgrounds are normal."""
    images = glyphs(40, (20, 16, 3))
    images[::3] = 255 - images[::3]
    np.savez("a.npz", images=images, labels=np.arange(40) % 4)
    facts = inspected("a.npz")
    assert facts["color"] == {"gray": 0, "color": 40}
    assert facts["background"] == {"dark": 26, "light": 14}
    assert facts["problems"]["inverted"]["images"] == 0


def test_the_most_frequent_background_is_normal() -> None:
    """Images with a dark background are inverted if most have a light one; blank and constant images do not count."""
    images = 255 - strokes(40)
    images[7], images[8], images[9] = 255 - images[7], 0, images[9] % 8
    np.savez("a.npz", images=images, labels=np.arange(40) % 4)
    facts = inspected("a.npz")
    assert facts["background"] == {"dark": 1, "light": 37}
    assert facts["problems"]["inverted"] == {"images": 1, "examples": ["images[7]"]}
    assert "1 image: these have a dark background, most have a light one" in call("inspect", "a.npz").stdout


def test_the_contrast_of_blank_images() -> None:
    """A contrast of 31 is blank, one of 32 is not; a contrast of 0 is constant."""
    images = np.full((3, 8, 8), 100, np.uint8)
    images[1:, 4, 4] = 131, 132
    flags = facts_about(images)["flags"]
    assert flags.tolist() == [CONSTANT, BLANK, 0]


def test_duplicates_across_splits() -> None:
    """Duplicates of a training image in the test split count; those of an image without a split do not."""
    images = strokes(12)
    images[6:] = images[:6]
    splits = np.array(["train"] * 4 + [""] * 2 + ["test"] * 2 + ["train"] * 2 + ["test"] * 2)
    np.savez("a.npz", images=images, labels=np.arange(12) % 6, splits=splits)
    duplicates = inspected("a.npz")["problems"]["duplicates"]
    assert (duplicates["images"], duplicates["across_classes"], duplicates["across_splits"]) == (6, 0, 2)


def test_few_images_and_groups_of_a_class() -> None:
    """Classes that cannot be in all three splits are named."""
    labels = np.array([0] * 10 + [1] * 2 + [2] * 8)
    groups = np.concatenate([np.arange(12), np.zeros(8, int)])
    np.savez("a.npz", images=strokes(20), labels=labels, groups=groups)
    problems = inspected("a.npz")["problems"]
    assert problems["few_images"] == {"classes": 1, "examples": ["1"]}
    assert problems["few_groups"] == {"classes": 2, "examples": ["1", "2"]}
    assert "2 classes have fewer than 3 groups" in call("inspect", "a.npz", "--jobs", 1).stdout


def test_a_limit_inspects_some_images_and_counts_all(tree: None) -> None:
    """Classes and splits count the whole source; only `--limit` images are read."""
    facts = inspected("t", "--limit", 11)
    assert (facts["images"], facts["inspected"]) == (66, 11)
    assert sum(row["images"] for row in facts["classes"]["table"]) == 66
    assert sum(row["inspected"] for row in facts["classes"]["table"]) == 11
    assert facts["color"]["gray"] + facts["problems"]["bad"]["images"] == 11
    assert "66, 11 inspected, the same share of every class" in call("inspect", "t", "--limit", 11, "--jobs", 1).stdout


def test_any_class_name_fits_on_a_line() -> None:
    """A name with a line break, an empty one and a long one are each shown on one line."""
    np.savez("a.npz", images=strokes(30), labels=np.array(["a\nb", "", "x" * 30])[np.arange(30) % 3])
    lines = call("inspect", "a.npz", "--jobs", 1).stdout.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["''", "aU+000Ab", "..." + "x" * 21]


def test_a_source_of_unusable_images() -> None:
    """A source whose images are all unusable is inspected like any other."""
    for name in ("a", "b"):
        Path("t", name).mkdir(parents=True)
        Path("t", name, "1.png").write_text("no image")
    facts = inspected("t")
    assert facts["problems"]["bad"]["images"] == 2
    assert facts["problems"]["duplicates"]["images"] == 0
    assert facts["sizes"]["count"] == 0
    assert call("inspect", "t", "--jobs", 1).exit_code == 0


def test_a_source_file_is_inspected_as_its_source(npz: Path) -> None:
    """A source file has the same classes, groups, sizes and problems as the arrays that it was imported from."""
    call("import", npz, "kept.h5", "--jobs", 1)
    ours, theirs = inspected("kept.h5"), inspected(npz)
    assert (ours["kind"], ours["name"]) == ("source file", "kept")
    for key in ("images", "classes", "groups", "splits", "sizes", "color", "background", "problems"):
        assert ours[key] == theirs[key], key
    refused(2, ("kept.h5", "--group-pattern", "x"), "kept.h5 is a source file", "--group-pattern", "Omit them")


# Files that are never overwritten


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_not_overwritten(npz: Path, name: str) -> None:
    """An existing file that epochbank did not write is refused before the inspection."""
    Path("o").mkdir()
    Path("o", name).write_text('{"made_by": "somebody"}')
    refused(1, (npz, "--out", "o"), name, "exists", "--out")


@pytest.mark.parametrize("name", ["classes.csv", "suspects.csv"])
def test_own_files_are_replaced_unless_they_were_changed(npz: Path, name: str) -> None:
    """The command can be repeated, but a table that was edited since is not replaced."""
    inspected(npz, "--out", "o")
    assert inspected(npz, "--limit", 200, "--out", "o")["inspected"] == 200
    Path("o", name).write_text(Path("o", name).read_text() + "mine\n")
    refused(1, (npz, "--out", "o"), name, "not as epochbank wrote it", "Move it away")
    Path("o", name).unlink()
    assert inspected(npz, "--out", "o")["inspected"] == 300


def test_refusals(npz: Path, tree: None) -> None:
    """Refused are a file as directory, a directory in the source, an invalid font and a missing source."""
    Path("o").write_text("mine")
    refused(1, (npz, "--out", "o"), "--out o is a file", "expected a directory")
    refused(1, ("t", "--out", "t/train/inspect"), "is in the source t", "Choose another --out")
    refused(1, ("folder:t", "--out", "t/o"), "is in the source folder:t")
    refused(1, (".",), "is in the source .")
    refused(1, (npz, "--font", "o"), "--font o cannot be used", "expected a TrueType")
    refused(1, (npz, "--font", "nowhere.ttf"), "--font nowhere.ttf cannot be used")
    refused(1, ("nowhere",), "nowhere", "does not exist")
    refused(2, (npz, "--group-pattern", "x"), "--group-pattern", "Omit it")


def test_a_source_that_changes_during_the_inspection(tree: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an image becomes unreadable, the inspection fails with a message and writes nothing."""
    compare = findings.compare_block

    def remove_images(block: Any) -> np.ndarray:
        for path in Path("t").rglob("*.png"):
            path.write_bytes(b"")
        return compare(block)

    monkeypatch.setattr(findings, "compare_block", remove_images)
    result = call("inspect", "t", "--jobs", 1)
    assert result.exit_code == 1
    assert "the source changed" in result.stderr
    assert not Path("inspect").exists()


# Charts and sheets


def columns_of(image: Image.Image) -> np.ndarray:
    """Return the height of the filled area in each column of pixels that has any."""
    heights = (np.asarray(image) == ACCENT).all(axis=2).sum(axis=0)
    return heights[heights > 0]


def test_bars_are_as_long_as_classes_are_large() -> None:
    """The largest class is first; half the images make half the bar, and no images no bar."""
    pixels = np.asarray(histogram("x", ["few", "none", "many", "half"], np.array([4, 0, 16, 8])))
    lengths = (pixels == ACCENT).all(axis=2).sum(axis=1)
    bars = [int(bar.max()) for bar in np.split(lengths, np.flatnonzero(np.diff(lengths != 0)) + 1) if bar.max()]
    assert len(bars) == 3
    assert [bar / bars[0] for bar in bars] == pytest.approx([1, 0.5, 0.25], abs=0.02)


def test_a_curve_falls_from_the_largest_class_to_the_smallest() -> None:
    """400 classes of similar size are drawn on a linear scale, others on a logarithmic one."""
    similar = np.arange(400) + 400
    skewed = np.maximum(2 ** np.arange(400).astype(object) // 2**380, 1).astype(np.int64)
    for counts, ratio in ((similar, 0.5), (skewed, np.log(2) / np.log(2**19 + 1))):
        heights = columns_of(histogram("x", [""] * 400, counts))
        assert len(heights) >= 800
        assert (np.diff(heights[1:-1]) <= 0).all()
        assert heights[-2] / heights[1] == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize("count", [1, 300, 301, 5000])
def test_a_histogram_fits_a_screen(count: int) -> None:
    """The chart has at most 2,400 x 1,000 pixels for any number of classes."""
    image = histogram("x", ["name"] * count, np.arange(count) % 50)
    assert image.width <= 2400
    assert image.height <= 1000


def test_a_class_sheet_shows_each_image_in_its_row() -> None:
    """Images of any size are at their places; many classes make two columns; problems are marked, and below them."""
    shades = [
        [np.full((10 + 30 * number, 25), 40 * row + 20 * number, np.uint8) for number in range(2)] for row in range(6)
    ]
    rows = [Row(f"row {row}", "caption", images, is_problem=row == 5) for row, images in enumerate(shades)]
    narrow, wide = class_sheet("title", rows), class_sheet("title", rows + rows)
    assert narrow.size[0] * 2 == wide.size[0]
    assert narrow.size[1] + 78 == wide.size[1]
    for row, images in enumerate(shades):
        for number, image in enumerate(images):
            center = 18 + 150 + number * 78 + 36, 18 + 28 + row * 78 + 36 + 18 * (row == 5)
            assert narrow.getpixel(center) == (int(image[0, 0]),) * 3
            again = (center[0], center[1] + 78) if row == 5 else (center[0] + narrow.width, center[1])
            assert wide.getpixel(again) == (int(image[0, 0]),) * 3
    accents = [(np.asarray(narrow)[46 + row * 78 :][:78] == ACCENT).all(axis=2).any() for row in range(6)]
    assert accents == [False] * 5 + [True]


# Fonts


def write_font(path: Path, characters: str) -> str:
    """Write a font that has `characters`, each a box, and return its path."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000)
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    glyphs_ = {}
    for number, name in enumerate(names):
        pen = pens.TTGlyphPen(None)
        corners = [(0, 0), (0, 700), (300 + 50 * number, 700), (300 + 50 * number, 0)]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
        glyphs_[name] = pen.glyph()
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): f"u{ord(character):04X}" for character in characters})
    builder.setupGlyf(glyphs_)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupOS2()
    builder.setupPost()
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    path.parent.mkdir(exist_ok=True)
    builder.save(str(path))
    return str(path)


def test_characters_that_no_font_has_become_code_points(no_system_fonts: None) -> None:
    """Characters that the default fonts lack, combining marks too, and control characters become code points."""
    assert pillow_text("a\u4e9c b\n", 12)[0] == "a U+4E9C b U+000A"
    assert fonts.drawable("\u304b\u309a")[0] == "U+304B U+309A"


def test_a_system_font_with_the_characters_is_used(no_system_fonts: None) -> None:
    """The first font with all characters of a text is used, the user's before others; damaged files are skipped."""
    both = write_font(Path("fonts/z-cjk.ttf"), "\u4e9c\u54c0")
    one = write_font(Path("fonts/a.ttf"), "\u4e9c")
    Path("fonts/b-cjk.otf").write_bytes(b"no font")
    assert set(fonts.system_fonts()) == {both, one, "fonts/b-cjk.otf"}
    for text, first, path in (("\u4e9c\u54c0", None, both), ("\u4e9c", None, both), ("\u4e9c", Path(one), one)):
        shown, font = pillow_text(text, 20, first)
        assert shown == text
        assert isinstance(font, ImageFont.FreeTypeFont)
        assert font.path == path
        assert fonts.drawable(text, first) == (text, path)
    assert pillow_text("\u4e9cx", 20)[0] in ("U+4E9C x", "\u4e9c U+0078")
    assert pillow_text("\u54c0", 20, Path(one))[0] == "\u54c0"


def test_inspect_draws_class_names_in_the_given_font(no_system_fonts: None) -> None:
    """Sheet and chart differ by the font if no other font has the characters."""
    path = write_font(Path("own.ttf"), "\u4e9c\u54c0")
    np.savez("a.npz", images=strokes(20), labels=np.array(["\u4e9c", "\u54c0"])[np.arange(20) % 2])
    assert inspected("a.npz", "--out", "plain")["classes"]["table"][0]["code_points"] == "U+4E9C"
    inspected("a.npz", "--font", path, "--out", "own")
    for name in ("sheet.png", "classes.png"):
        with Image.open(f"plain/{name}") as plain, Image.open(f"own/{name}") as own:
            assert plain.tobytes() != own.tobytes()


# Choice of images


@few
@given(labels=st.lists(st.integers(0, 12), max_size=80), count=st.integers(1, 20))
def test_chosen_images_are_spread_over_the_classes(labels: list[int], count: int) -> None:
    """The choice has as many classes as possible, a similar number of each, and no image twice."""
    column = np.array(labels, np.int32)
    shown, classes = spread(column, count), len(set(labels))
    counts = np.bincount(column[shown], minlength=13)
    assert len(set(shown.tolist())) == len(shown)
    assert len(set(column[shown].tolist())) == min(count, classes)
    assert len(shown) <= count
    full = min(count // classes, min(labels.count(label) for label in set(labels))) if classes else 0
    assert all(counts[label] >= max(full, classes <= count) for label in set(labels)) or classes > count
    assert some_classes(column, count).tolist() == sorted({*some_classes(column, count).tolist()})


def test_images_of_a_class_are_from_many_groups() -> None:
    """Eight images of a class with eight groups are from eight groups."""
    order = np.random.default_rng(0).permutation(480)
    labels, groups = order % 3, order // 60
    chosen = some_of_class(labels, groups, 1, 8)
    assert (labels[chosen] == 1).all()
    assert sorted(groups[chosen].tolist()) == list(range(8))


def test_one_image_per_class_is_not_always_the_first() -> None:
    """If eight classes are sorted by group, the image of each class is from another group."""
    labels, groups = np.repeat(np.arange(8), 16), np.tile(np.arange(16) // 2, 8)
    assert groups[spread(labels, 8)].tolist() == list(range(8))


def test_a_preview_shows_as_many_classes_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview shows one image of each of eight classes, reports an unusable one, and respects --limit."""
    seen: list[list[str]] = []
    real = preview.contact_sheet

    def spy(title: str, rows: Any) -> Image.Image:
        seen.append([row[0].caption[1] for row in rows])
        return real(title, rows)

    monkeypatch.setattr(preview, "contact_sheet", spy)
    images = strokes(57).astype(np.float32) / 255
    np.savez("a.npz", images=images, labels=np.array([0] * 50 + list(range(1, 8))))
    assert call("preview", "a.npz").exit_code == 0
    assert seen[-1] == list("01234567")
    call("import", "a.npz", "a.h5", "--jobs", 1)
    assert call("preview", "a.h5").exit_code == 0
    assert seen[-1] == list("01234567")
    assert call("preview", "a.npz", "--limit", 2).exit_code == 0
    assert seen[-1] == ["0", "4"]
    images[51] = np.nan
    np.savez("a.npz", images=images, labels=np.array([0] * 50 + list(range(1, 8))))
    result = call("preview", "a.npz")
    assert seen[-1] == list("0134567")
    assert "images[51] has NaN" in result.stderr


# The report as text


@few
@given(counts=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 1 << 20)), min_size=1, max_size=60))
def test_bins_count_every_class_once(counts: list[int]) -> None:
    """Bins are adjacent, from the smallest to the largest count, and at most 22."""
    bins = bins_of(np.array(counts))
    assert (bins[0][0], bins[-1][1]) == (min(counts), max(counts))
    assert all(low <= high for low, high, _ in bins)
    assert all(one[1] + 1 == other[0] for one, other in pairwise(bins))
    assert [height for _, _, height in bins] == [sum(low <= count <= high for count in counts) for low, high, _ in bins]
    assert len(bins) <= 22


def test_too_many_candidates_for_near_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are more candidates than can be compared, the report says "at least"."""
    Path("t/a").mkdir(parents=True)
    for number, image in enumerate(glyphs(12, (40, 40, 1))[:, :, :, 0]):
        Image.fromarray(image).save(f"t/a/{number}.png")
        Image.fromarray((image * 0.9).astype(np.uint8)).save(f"t/a/{number}-dimmed.png")
    assert inspected("t")["problems"]["near_duplicates"]["complete"]
    monkeypatch.setattr(near_duplicates, "_MOST", 5)
    facts = inspected("t")
    assert facts["problems"]["near_duplicates"]["images"] == 5
    assert any("at least 5 pairs" in line for line in report_lines(facts))
