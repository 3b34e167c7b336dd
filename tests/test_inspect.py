"""`augment inspect`: what is told of a source is so, whatever looks at it; what is written is ours alone."""

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
from epochbank.augment.ingest import near_duplicates as duplicates
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import open_source
from epochbank.augment.sources.decode import Treatment, look_at
from epochbank.augment.views import contact_sheet as sheet
from epochbank.augment.views import fonts, preview
from epochbank.augment.views.fonts import written
from epochbank.augment.views.inspection import facts as looking
from epochbank.augment.views.inspection import findings
from epochbank.augment.views.inspection.class_sheet import Row, class_sheet
from epochbank.augment.views.inspection.facts import BLANK, COLOUR, CONSTANT, LIGHT, Seen, facts_of
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
    """Only Pillow's own font, and what the test puts into the folder `fonts`."""
    monkeypatch.setattr(fonts, "_DIRECTORIES", ("fonts",))
    for cache in (fonts.system_fonts, fonts._best):
        cache.cache_clear()
    yield
    for cache in (fonts.system_fonts, fonts._best):
        cache.cache_clear()


def call(*words: object) -> Result:
    """Run `augment`; it must not end in a traceback."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def told(*words: object) -> dict[str, Any]:
    """What `augment inspect ... --json` says, on one core unless told otherwise."""
    result = call("inspect", *words, "--json", *([] if "--jobs" in words else ["--jobs", 1]))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def state() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(code: int, words: tuple[object, ...], *parts: str) -> None:
    """`augment inspect` is refused, saying all of `parts`; no file is changed, new or gone."""
    before = state()
    result = call("inspect", *words)
    assert result.exit_code == code, result.output
    assert all(part in result.stderr for part in parts), result.stderr
    assert state() == before


def strokes(count: int = 64) -> np.ndarray:
    """Distinct pictures on black, uint8 (count, 20, 16)."""
    return glyphs(count, seed=5)[..., 0]


def write_tree() -> None:
    """A folder with parts, groups and one of everything that looks wrong; 64 pictures and a bad one."""
    pictures = list(strokes())
    pictures[8] = np.full((20, 16), 255, np.uint8)
    pictures[16] = pictures[16] // 10
    pictures[24] = 255 - pictures[24]
    pictures[36] = pictures[4]  # Of the same class.
    pictures[33] = pictures[1]
    pictures[42] = pictures[1]  # Of another class, in another part.
    pictures[48] = pictures[48].repeat(3, axis=0).repeat(3, axis=1)
    pictures.append(np.minimum(pictures[3] // 2 + 40, 255).astype(np.uint8))  # Brightness and contrast alone.
    for number, pixels in enumerate(pictures):
        part, label, group = ("test" if number == 42 else "train"), number % 8, number % 5
        path = Path("t", part, "abcdefgh"[label], f"w{group}-{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    Path("t/train/d/w4-99.png").write_bytes(b"no picture")


# What is told of pictures


@st.composite
def runs(draw: st.DrawFn) -> np.ndarray:
    """Pictures of one shape, of many ranges of values: uint8 (n, h, w) or (n, h, w, 3)."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    colour = draw(st.sampled_from([(), (3,)]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    pictures = []
    for _ in range(draw(st.integers(1, 5))):
        low = draw(st.integers(0, 255))
        high = draw(st.one_of(st.integers(low, min(255, low + 40)), st.integers(low, 255)))
        grey = random.integers(low, high + 1, shape, np.uint8)
        more = random.integers(0, 1 + draw(st.integers(0, min(10, 255 - high))), (*shape, *colour), np.uint8)
        pictures.append(grey.reshape(*shape, *(1 for _ in colour)) + more)
    return np.stack(pictures)


@few
@given(run=runs())
def test_many_pictures_are_judged_as_each_alone(run: np.ndarray) -> None:
    """Constant, blank, light, coloured: by definition, and as the import's look at single pictures says."""
    seen = Seen(None, Treatment(9, 9, 1, invert=False), Treatment(9, 9, 1, invert=False), "pillow")  # type: ignore[arg-type]
    for picture, fact in zip(run, facts_of(run, seen), strict=True):
        (alone,) = facts_of(picture[None], seen)
        assert fact == alone
        assert (fact["height"], fact["width"]) == picture.shape[:2]
        contrast = max(int(np.ptp(channel)) for channel in picture.reshape(-1, 3 if picture.ndim == 3 else 1).T)
        look = look_at([Image.fromarray(picture)])
        flags = CONSTANT * (contrast == 0) | BLANK * (0 < contrast < 32) | LIGHT * look.light | COLOUR * look.colour
        assert fact["flags"] == flags


@pytest.mark.parametrize("side", [512, 513])
@pytest.mark.parametrize("colour", [(), (3,)])
def test_large_pictures_are_judged_by_a_smaller_copy(side: int, colour: tuple[int, ...]) -> None:
    """On both sides of the size from which on `look_at` makes pictures smaller first."""
    picture = np.zeros((side, 20, *colour), np.uint8)
    picture[::2] = 200  # A smaller copy is grey, the half of its border would be light.
    if colour:
        picture[0, 0] = (255, 0, 0)
    (fact,) = facts_of(
        picture[None], Seen(None, Treatment(9, 9, 1, invert=False), Treatment(9, 9, 1, invert=False), "pillow")
    )  # type: ignore[arg-type]
    look = look_at([Image.fromarray(picture)])
    assert fact["flags"] == LIGHT * look.light | COLOUR * look.colour


def test_copies_are_what_an_import_makes_the_same(tmp_path: Path) -> None:
    """The same drawing with a palette, and black pictures of two shapes: copies, as many as the import finds."""
    drawing = Image.fromarray(glyphs(1, (20, 20, 1))[0, :, :, 0])
    pictures = {
        "a/1.png": Image.fromarray(np.zeros((2, 8), np.uint8)),
        "a/2.png": Image.fromarray(np.zeros((4, 4), np.uint8)),
        "b/3.png": drawing,
        "b/4.gif": drawing.convert("P"),
    }
    for name, picture in pictures.items():
        Path("t", name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(Path("t", name))
    wrong = told("t")["wrong"]
    assert [(one["origin"], one["of"]) for one in wrong["copies"]["examples"]] == [
        ("b/4.gif", "b/3.png"), ("a/2.png", "a/1.png")
    ]  # fmt: skip
    assert wrong["copies"]["constant"] == 1
    assert wrong["constant"]["pictures"] == 2
    import_source(open_source("t"), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    assert open_source_file(tmp_path / "o.h5").copies == wrong["copies"]["pictures"] == 2


def test_the_report_of_another_source_is_not_replaced() -> None:
    """Two sources of one name: the second is refused, told whose report is there, and the remedy."""
    for folder in ("x/letters", "y/letters"):
        Path(folder, "a").mkdir(parents=True)
        Image.fromarray(glyphs(1, (20, 20, 1))[0, :, :, 0]).save(f"{folder}/a/1.png")
    told("x/letters")
    refused(1, ("y/letters",), "has what was found in x/letters", "Give another --out")
    told("x/letters")


@pytest.fixture
def tree() -> None:
    write_tree()


def test_everything_that_looks_wrong_is_found(tree: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault with its origin, the same on one core and in small blocks on two; nothing else is taken for one."""
    facts = told("t", "--group-pattern", r"w(\d)-")
    monkeypatch.setattr(findings, "_BLOCK", 10)
    monkeypatch.setattr(findings, "_PAIRS", 1)
    assert told("t", "--group-pattern", r"w(\d)-", "--jobs", 2) == facts
    wrong = facts["wrong"]
    assert wrong["bad"]["pictures"] == 1
    assert wrong["bad"]["examples"][0]["origin"] == "train/d/w4-99.png"
    assert "cannot be read" in wrong["bad"]["examples"][0]["why"]
    assert wrong["constant"] == {"pictures": 1, "examples": ["train/a/w3-8.png"]}
    assert wrong["blank"] == {"pictures": 1, "examples": ["train/a/w1-16.png"]}
    assert wrong["inverted"] == {"pictures": 1, "examples": ["train/a/w4-24.png"]}
    copies, same = wrong["copies"], {"test/c/w2-42.png", "train/b/w1-1.png", "train/b/w3-33.png"}
    same |= {"train/e/w1-36.png", "train/e/w4-4.png"}
    assert (copies["pictures"], copies["other_class"], copies["other_part"], copies["constant"]) == (3, 2, 2, 0)
    assert {one for pair in copies["examples"] for one in pair.values()} == same
    assert wrong["alike"]["pictures"] == 1
    assert set(wrong["alike"]["examples"][0].values()) == {"train/d/w3-3.png", "train/a/w4-64.png"}
    assert wrong["torn_groups"] == 1
    assert facts["sizes"]["count"] == 2
    assert facts["sizes"]["common"][0] == {"height": 20, "width": 16, "pictures": 64}
    assert facts["sizes"]["height"] == {"min": 20, "median": 20, "max": 60}
    assert (facts["pictures"], facts["looked_at"]) == (66, 66)
    assert facts["colour"] == {"grey": 65, "colour": 0}
    assert facts["ground"] == {"dark": 62, "light": 1}
    assert facts["parts"]["test"] == {
        "images": 1, "classes": 1, "groups": 1, "missing": ["a", "b", "d", "e", "f", "g", "h"]
    }  # fmt: skip
    assert facts["groups"]["count"] == 5
    assert facts["groups"]["classes"] == {"min": 8, "median": 8, "max": 8}


def test_the_files_and_the_text_say_the_same(tree: None) -> None:
    """The tables, report.json and what is printed agree with each other."""
    result = call("inspect", "t", "--group-pattern", r"w(\d)-", "--jobs", 1)
    report = json.loads(Path("inspect/t/report.json").read_text(encoding="utf-8"))
    assert {key: report[key] for key in report if key not in ("made_by", "checksums")} == told(
        "t", "--group-pattern", r"w(\d)-"
    )
    classes = rows_of(Path("inspect/t/classes.csv"))
    assert [row["class"] for row in classes] == list("abcdefgh")
    assert classes[0] == {
        "class": "a", "code_points": "U+0061", "pictures": "9", "groups": "5", "train": "9", "validation": "0",
        "test": "0", "looked_at": "9", "bad": "0", "constant": "1", "blank": "1", "inverted": "1", "copies": "0",
    }  # fmt: skip
    assert [list(map(str, row.values())) for row in report["classes"]["table"]] == [
        list(row.values()) for row in classes
    ]
    suspects = rows_of(Path("inspect/t/suspects.csv"))
    kinds = [row["what"] for row in suspects]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        kind: report["wrong"][kind]["pictures"] for kind in ("bad", "constant", "blank", "inverted", "copies", "alike")
    }
    across = next(row for row in suspects if row["what"] == "copies" and row["class"] != row["of_class"])
    assert (across["origin"], across["of"]) == ("train/b/w1-1.png", "test/c/w2-42.png")
    for part in ("66, all looked at", "train/d/w4-99.png cannot be read", "1 pictures have a light ground where most",
                 "3 pictures are copies of others, pixel for pixel: 2 under another class, 2 in another part",
                 "1 pairs of pictures are nearly the same", "1 groups are in several parts",
                 "Next: augment preview t --group-pattern 'w(\\d)-'"):  # fmt: skip
        assert part in result.stdout
    assert sorted(path.name for path in Path("inspect/t").iterdir()) == FILES
    assert sorted(path.name for path in Path().iterdir()) == ["inspect", "t"]


def test_a_sound_source_is_told_to_be_one(npz: Path) -> None:
    """Nothing looks wrong in 300 distinct pictures; the keys are those that scripts are promised."""
    facts = told(npz)
    assert set(facts) == {
        "source", "name", "kind", "out", "pictures", "looked_at", "classes", "groups", "parts", "sizes", "colour",
        "ground", "wrong", "import", "notes", "next",
    }  # fmt: skip
    assert facts["kind"] == "npz"
    assert facts["classes"]["pictures"] == {"min": 50, "median": 50, "max": 50}
    assert facts["groups"]["pictures"] == {"min": 30, "median": 30, "max": 30}
    assert "Nothing looks wrong" in call("inspect", npz, "--jobs", 1).stdout


def test_colour_is_told_and_never_called_inverted() -> None:
    """Where most pictures have colour, light and dark grounds are both as they should be."""
    pictures = glyphs(40, (20, 16, 3))
    pictures[::3] = 255 - pictures[::3]
    np.savez("a.npz", images=pictures, labels=np.arange(40) % 4)
    facts = told("a.npz")
    assert facts["colour"] == {"grey": 0, "colour": 40}
    assert facts["ground"] == {"dark": 26, "light": 14}
    assert facts["wrong"]["inverted"]["pictures"] == 0


def test_the_ground_of_most_is_the_right_one() -> None:
    """Dark pictures are inverted where most are light; those that are blank or constant have no ground."""
    pictures = 255 - strokes(40)
    pictures[7], pictures[8], pictures[9] = 255 - pictures[7], 0, pictures[9] % 8
    np.savez("a.npz", images=pictures, labels=np.arange(40) % 4)
    facts = told("a.npz")
    assert facts["ground"] == {"dark": 1, "light": 37}
    assert facts["wrong"]["inverted"] == {"pictures": 1, "examples": ["images[7]"]}
    assert "1 pictures have a dark ground where most have a light one" in call("inspect", "a.npz").stdout


def test_blank_is_told_by_contrast() -> None:
    """A contrast of 31 is blank, one of 32 is not; none at all is constant."""
    pictures = np.full((3, 8, 8), 100, np.uint8)
    pictures[1:, 4, 4] = 131, 132
    flags = facts_of(
        pictures, Seen(None, Treatment(8, 8, 1, invert=False), Treatment(8, 8, 1, invert=False), "pillow")
    )["flags"]  # type: ignore[arg-type]
    assert flags.tolist() == [CONSTANT, BLANK, 0]


def test_copies_in_other_parts_are_those_of_two_parts() -> None:
    """A copy in the test part of a training picture counts; one of a picture that no part is said for does not."""
    images = strokes(12)
    images[6:] = images[:6]
    parts = np.array(["train"] * 4 + [""] * 2 + ["test"] * 2 + ["train"] * 2 + ["test"] * 2)
    np.savez("a.npz", images=images, labels=np.arange(12) % 6, parts=parts)
    copies = told("a.npz")["wrong"]["copies"]
    assert (copies["pictures"], copies["other_class"], copies["other_part"]) == (6, 0, 2)


def test_few_pictures_and_groups_of_a_class() -> None:
    """Classes that cannot be in all three parts are named."""
    labels = np.array([0] * 10 + [1] * 2 + [2] * 8)
    groups = np.concatenate([np.arange(12), np.zeros(8, int)])
    np.savez("a.npz", images=strokes(20), labels=labels, groups=groups)
    wrong = told("a.npz")["wrong"]
    assert wrong["few_pictures"] == {"classes": 1, "examples": ["1"]}
    assert wrong["few_groups"] == {"classes": 2, "examples": ["1", "2"]}
    assert "2 classes have fewer than 3 groups" in call("inspect", "a.npz", "--jobs", 1).stdout


def test_a_limit_looks_at_a_few_and_counts_all(tree: None) -> None:
    """Classes and parts are counted over the whole source; pixels are looked at of so many."""
    facts = told("t", "--limit", 11)
    assert (facts["pictures"], facts["looked_at"]) == (66, 11)
    assert sum(row["pictures"] for row in facts["classes"]["table"]) == 66
    assert sum(row["looked_at"] for row in facts["classes"]["table"]) == 11
    assert facts["colour"]["grey"] + facts["wrong"]["bad"]["pictures"] == 11
    assert "66, 11 looked at, evenly spaced" in call("inspect", "t", "--limit", 11, "--jobs", 1).stdout


def test_names_of_any_kind_stay_on_their_lines() -> None:
    """A line break, nothing at all, and more than fits."""
    np.savez("a.npz", images=strokes(30), labels=np.array(["a\nb", "", "x" * 30])[np.arange(30) % 3])
    lines = call("inspect", "a.npz", "--jobs", 1).stdout.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["''", "aU+000Ab", "..." + "x" * 21]


def test_nothing_but_bad_pictures_is_told_and_not_fatal() -> None:
    """A source of which no picture can be used is inspected like any other."""
    for name in ("a", "b"):
        Path("t", name).mkdir(parents=True)
        Path("t", name, "1.png").write_text("no picture")
    facts = told("t")
    assert facts["wrong"]["bad"]["pictures"] == 2
    assert facts["wrong"]["copies"]["pictures"] == 0
    assert facts["sizes"]["count"] == 0
    assert call("inspect", "t", "--jobs", 1).exit_code == 0


def test_a_source_file_is_inspected_as_its_source(npz: Path) -> None:
    """What `augment import` made of arrays has the same classes, groups, sizes and faults."""
    call("import", npz, "kept.h5", "--jobs", 1)
    ours, theirs = told("kept.h5"), told(npz)
    assert (ours["kind"], ours["name"]) == ("source file", "kept")
    for key in ("pictures", "classes", "groups", "parts", "sizes", "colour", "ground", "wrong"):
        assert ours[key] == theirs[key], key
    refused(2, ("kept.h5", "--group-pattern", "x"), "kept.h5 is a source file", "--group-pattern", "Leave them out")


# What is not written on


@pytest.mark.parametrize("name", FILES)
def test_nobody_elses_file_is_overwritten(npz: Path, name: str) -> None:
    """A file in the way is refused before anything is looked at, whatever it holds."""
    Path("o").mkdir()
    Path("o", name).write_text('{"made_by": "somebody"}')
    refused(1, (npz, "--out", "o"), name, "exists", "--out")


@pytest.mark.parametrize("name", ["classes.csv", "suspects.csv"])
def test_our_own_files_are_replaced_unless_they_were_changed(npz: Path, name: str) -> None:
    """The same command again is fine; a table that somebody wrote in since is theirs."""
    told(npz, "--out", "o")
    assert told(npz, "--limit", 200, "--out", "o")["looked_at"] == 200
    Path("o", name).write_text(Path("o", name).read_text() + "mine\n")
    refused(1, (npz, "--out", "o"), name, "not as epochbank wrote it", "Move it away")
    Path("o", name).unlink()
    assert told(npz, "--out", "o")["looked_at"] == 300


def test_refusals(npz: Path, tree: None) -> None:
    """A file for a directory, a place within the source, a font that is none, a source that is not there."""
    Path("o").write_text("mine")
    refused(1, (npz, "--out", "o"), "--out o is a file", "expected a directory")
    refused(1, ("t", "--out", "t/train/inspect"), "lies in the source t", "Give another --out")
    refused(1, ("folder:t", "--out", "t/o"), "lies in the source folder:t")
    refused(1, (".",), "lies in the source .")
    refused(1, (npz, "--font", "o"), "--font o cannot be used", "expected a TrueType")
    refused(1, (npz, "--font", "nowhere.ttf"), "--font nowhere.ttf cannot be used")
    refused(1, ("nowhere",), "nowhere", "does not exist")
    refused(2, (npz, "--group-pattern", "x"), "--group-pattern", "Leave it out")


def test_a_source_that_changes_meanwhile(tree: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that could be read, and cannot any more, is told; nothing is written."""
    real = looking.compare

    def mean(block: Any) -> np.ndarray:
        for path in Path("t").rglob("*.png"):
            path.write_bytes(b"")
        return real(block)

    monkeypatch.setattr("epochbank.augment.views.inspection.findings.compare", mean)
    result = call("inspect", "t", "--jobs", 1)
    assert result.exit_code == 1
    assert "the source changed" in result.stderr
    assert not Path("inspect").exists()


# What is drawn


def test_bars_are_as_long_as_classes_are_large() -> None:
    """The largest class first; half the pictures, half the bar; none, none."""
    pixels = np.asarray(histogram("x", ["few", "none", "many", "half"], np.array([4, 0, 16, 8])))
    lengths = (pixels == sheet.ACCENT).all(axis=2).sum(axis=1)
    bars = [int(run.max()) for run in np.split(lengths, np.flatnonzero(np.diff(lengths != 0)) + 1) if run.max()]
    assert len(bars) == 3
    assert [bar / bars[0] for bar in bars] == pytest.approx([1, 0.5, 0.25], abs=0.02)


def test_a_curve_falls_from_the_largest_class_to_the_least() -> None:
    """Of 400 classes: linear where they are near each other, by powers of ten where they are not."""
    even, skewed = np.arange(400) + 400, 2 ** np.arange(400).astype(object) // 2**380
    heights = []
    for counts in (even, np.maximum(skewed, 1).astype(np.int64)):
        pixels = np.asarray(histogram("x", [""] * 400, counts))
        line = (pixels == sheet.ACCENT).all(axis=2)
        columns = np.flatnonzero(line.any(axis=0))
        assert len(columns) >= 890
        top = line[:, columns].argmax(axis=0)
        assert (np.diff(top) >= 0).all()
        heights.append((top - top.min()) / 420)
    assert heights[0][-1] == pytest.approx(0.5, abs=0.01)
    assert heights[1][-1] == pytest.approx(1 - np.log(2) / np.log(2**19 + 1), abs=0.01)


@pytest.mark.parametrize("count", [1, 300, 301, 5000])
def test_a_histogram_fits_a_screen(count: int) -> None:
    """However many classes there are."""
    image = histogram("x", ["name"] * count, np.arange(count) % 50)
    assert image.width <= 2400
    assert image.height <= 1000


def test_a_sheet_shows_each_picture_in_its_row() -> None:
    """Pictures of any size and colour, at their places; more rows stand in two columns; a wrong one is marked."""
    shades = [
        [np.full((10 + 30 * number, 25), 40 * row + 20 * number, np.uint8) for number in range(2)] for row in range(6)
    ]
    rows = [Row(f"row {row}", "told", pictures, wrong=row == 5) for row, pictures in enumerate(shades)]
    narrow, wide = class_sheet("title", rows), class_sheet("title", rows + rows)
    assert narrow.size[0] * 2 == wide.size[0]
    assert narrow.size[1] == wide.size[1]
    for row, pictures in enumerate(shades):
        for number, picture in enumerate(pictures):
            centre = 18 + 150 + number * 78 + 36, 18 + 28 + row * 78 + 36
            assert narrow.getpixel(centre) == (int(picture[0, 0]),) * 3
            assert wide.getpixel((centre[0] + narrow.width, centre[1])) == (int(picture[0, 0]),) * 3
    accents = [(np.asarray(narrow)[46 + row * 78 :][:78] == sheet.ACCENT).all(axis=2).any() for row in range(6)]
    assert accents == [False] * 5 + [True]


# Fonts


def write_font(path: Path, letters: str) -> str:
    """A font that has `letters`, each a box."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000)
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    names = [".notdef", *(f"u{ord(letter):04X}" for letter in letters)]
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
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in letters})
    builder.setupGlyf(glyphs_)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupOS2()
    builder.setupPost()
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    path.parent.mkdir(exist_ok=True)
    builder.save(str(path))
    return str(path)


def test_letters_that_no_font_has_are_code_points(no_system_fonts: None) -> None:
    """Pillow's own font has Latin letters; others, and what is no letter, are told by number."""
    assert written("a\u4e9c b\n", 12)[0] == "aU+4E9C bU+000A"


def test_a_system_font_that_has_the_letters_is_taken(no_system_fonts: None) -> None:
    """The first that has all of a text; damaged files are passed over; the user's own comes first."""
    both = write_font(Path("fonts/z-cjk.ttf"), "\u4e9c\u54c0")
    one = write_font(Path("fonts/a.ttf"), "\u4e9c")
    Path("fonts/b-cjk.otf").write_bytes(b"no font")
    assert set(fonts.system_fonts()) == {both, one, "fonts/b-cjk.otf"}
    for text, first, path in (("\u4e9c\u54c0", None, both), ("\u4e9c", None, both), ("\u4e9c", Path(one), one)):
        shown, font = written(text, 20, first)
        assert shown == text
        assert isinstance(font, ImageFont.FreeTypeFont)
        assert font.path == path
    assert written("\u4e9cx", 20)[0] in ("U+4E9Cx", "\u4e9cU+0078")
    assert written("\u54c0", 20, Path(one))[0] == "\u54c0"


def test_inspect_writes_class_names_in_the_font_that_it_is_given(no_system_fonts: None) -> None:
    """The sheet differs by the font alone where the letters are nowhere else."""
    path = write_font(Path("own.ttf"), "\u4e9c\u54c0")
    np.savez("a.npz", images=strokes(20), labels=np.array(["\u4e9c", "\u54c0"])[np.arange(20) % 2])
    assert told("a.npz", "--out", "plain")["classes"]["table"][0]["code_points"] == "U+4E9C"
    told("a.npz", "--font", path, "--out", "own")
    for name in ("sheet.png", "classes.png"):
        with Image.open(f"plain/{name}") as plain, Image.open(f"own/{name}") as own:
            assert plain.size == own.size
            assert plain.tobytes() != own.tobytes()


# Which pictures are shown


@few
@given(labels=st.lists(st.integers(0, 12), max_size=80), count=st.integers(1, 20))
def test_what_is_shown_is_spread_over_the_classes(labels: list[int], count: int) -> None:
    """As many classes as there can be, about the same number of each, no picture twice."""
    column = np.array(labels, np.int32)
    shown, classes = spread(column, count), len(set(labels))
    held = np.bincount(column[shown], minlength=13)
    assert len(set(shown.tolist())) == len(shown)
    assert len(set(column[shown].tolist())) == min(count, classes)
    assert len(shown) <= count
    full = min(count // classes, min(labels.count(label) for label in set(labels))) if classes else 0
    assert all(held[label] >= max(full, classes <= count) for label in set(labels)) or classes > count
    assert some_classes(column, count).tolist() == sorted({*some_classes(column, count).tolist()})


def test_pictures_of_a_class_are_of_many_groups() -> None:
    """Eight of a class that eight groups have are one of each."""
    order = np.random.default_rng(0).permutation(480)
    labels, groups = order % 3, order // 60
    chosen = some_of_class(labels, groups, 1, 8)
    assert (labels[chosen] == 1).all()
    assert sorted(groups[chosen].tolist()) == list(range(8))


def test_one_of_each_class_is_not_always_the_first() -> None:
    """Of eight classes, whose pictures come group by group, the one shown is each time another group's."""
    labels, groups = np.repeat(np.arange(8), 16), np.tile(np.arange(16) // 2, 8)
    assert groups[spread(labels, 8)].tolist() == list(range(8))


def test_a_preview_shows_every_class_that_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight classes, seven of them with a single picture; a bad one is told and left out; --limit is obeyed."""
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
    assert seen[-1] == ["0", "0"]
    images[51] = np.nan
    np.savez("a.npz", images=images, labels=np.array([0] * 50 + list(range(1, 8))))
    result = call("preview", "a.npz")
    assert seen[-1] == list("0134567")
    assert "images[51] has NaN" in result.stderr


# The text histogram


@few
@given(counts=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 1 << 20)), min_size=1, max_size=60))
def test_bins_hold_every_class_once(counts: list[int]) -> None:
    """Ranges follow each other without a gap, from the least to the most, few enough to be seen."""
    bins = bins_of(np.array(counts))
    assert (bins[0][0], bins[-1][1]) == (min(counts), max(counts))
    assert all(low <= high for low, high, _ in bins)
    assert all(one[1] + 1 == other[0] for one, other in pairwise(bins))
    assert [held for _, _, held in bins] == [sum(low <= count <= high for count in counts) for low, high, _ in bins]
    assert len(bins) <= 22


def test_near_copies_that_were_not_all_looked_at_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more pairs come into question than are compared, the count is said to be a least one."""
    Path("t/a").mkdir(parents=True)
    for number, picture in enumerate(glyphs(12, (40, 40, 1))[:, :, :, 0]):
        Image.fromarray(picture).save(f"t/a/{number}.png")
        Image.fromarray((picture * 0.9).astype(np.uint8)).save(f"t/a/{number}-dimmed.png")
    assert told("t")["wrong"]["alike"]["complete"]
    monkeypatch.setattr(duplicates, "_MOST", 5)
    facts = told("t")
    assert facts["wrong"]["alike"]["pictures"] == 5
    assert any("at least 5 pairs" in line for line in report_lines(facts))
