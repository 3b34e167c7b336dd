"""Images and plots: fonts, the class sheet, learning curves, the confusion matrix, and the mistakes of a run."""

import csv
import importlib.machinery
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageChops, ImageDraw, ImageFont

import epochbank
from epochbank.augment.shared import fonts
from epochbank.augment.shared.contact_sheet import Cell, contact_sheet
from epochbank.augment.shared.shortened import shortened
from epochbank.augment.views.explain import stage_text
from epochbank.augment.views.inspection.class_sheet import Row, class_sheet
from epochbank.augment.views.inspection.histogram import histogram
from epochbank.augment.views.origins import origins_of
from epochbank.train.training.evaluate import MISTAKES, Evaluation, Mistake
from epochbank.train.training.plot_text import percent
from epochbank.train.training.report import confusions, learning_curves, mistakes_sheet, write_report

ORANGE = (196, 78, 30)


def evaluation(wrong: list[tuple[int, int, int, float]], num_images: int = 100, classes: int = 3) -> Evaluation:
    """Return an evaluation with mistakes (position, true, predicted, probability)."""
    table = np.array(wrong, MISTAKES)
    image = np.zeros((8, 8, 1), np.uint8)
    worst = [Mistake(float(one[3]), int(one[0]), int(one[1]), int(one[2]), image) for one in wrong]
    pairs = Counter((true, predicted) for _, true, predicted, _ in wrong)
    per_class = np.full((classes, 2), num_images // classes)
    return Evaluation(
        num_images, 1 - len(wrong) / num_images, 0.1, sorted(worst, reverse=True), pairs, per_class, table
    )


def texts(figure: Figure) -> list[str]:
    """Return all texts of the axes of a figure."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_title(), axes.get_xlabel(), *(text.get_text() for text in axes.texts)]
    return found


def places(positions: np.ndarray) -> list[str]:
    return [f"folder/{position}.png" for position in positions]


def test_mistakes_are_listed_with_their_origins(tmp_path: Path) -> None:
    """`mistakes.csv` has every mistake, the most confident first, and `mistakes.png` names the files."""
    result = evaluation([(5, 0, 1, 0.5), (2, 1, 2, 0.99), (9, 2, 0, 0.7)])
    history = {"loss": [1.0], "accuracy": [0.5]}
    paths = write_report(tmp_path, history, result, "test", ["亜", "b", "c"], places)
    assert [path.name for path in paths] == ["learning-curves.png", "mistakes.png", "mistakes.csv", "confusions.png"]
    assert all(path.stat().st_size for path in paths)
    rows = list(csv.reader((tmp_path / "mistakes.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["origin", "class", "predicted", "probability", "position"],
        ["folder/2.png", "b", "c", "0.9900", "2"],
        ["folder/9.png", "c", "亜", "0.7000", "9"],
        ["folder/5.png", "亜", "b", "0.5000", "5"],
    ]
    shown = "\n".join(texts(mistakes_sheet(result, "test", ["a", "b", "c"], places)))
    for origin in ("folder/2.png", "folder/9.png", "folder/5.png"):
        assert origin in shown


def test_origins_of_a_split(tmp_path: Path, nothing_recipe: Path) -> None:
    """Positions of a held-out split lead to the files that their pixels come from."""
    for number in range(60):
        path = tmp_path / "source" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number + 1).save(path)
    made = epochbank.generate(
        tmp_path / "source", nothing_recipe, 1, size=(8, 8), jobs=1, sets=tmp_path / "sets", invert="no"
    )
    images, _ = made.split("test", 64)[0]
    origins = origins_of(made.path, "test", np.arange(len(images))[::-1])
    assert [int(Path(origin).stem) + 1 for origin in origins] == images[::-1, 0, 0, 0].tolist()
    made.description.source_path(made.path).unlink()
    assert origins_of(made.path, "test", np.arange(3)) == [""] * 3


def test_one_epoch_is_a_visible_point_with_one_tick() -> None:
    figure = learning_curves({"loss": [1.2], "val_loss": [0.9], "accuracy": [0.6], "val_accuracy": [0.7]})
    figure.canvas.draw()
    axes = figure.axes[0]
    assert all(line.get_markersize() >= 6 for line in axes.get_lines()[:2])
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize(("losses", "scale"), [([2.0, 1.0, 0.5], "linear"), ([8.0, 0.5, 0.02], "log")])
def test_the_loss_has_readable_ticks(losses: list[float], scale: str) -> None:
    """The axis is logarithmic only if the losses differ much, and its ticks are plain numbers."""
    figure = learning_curves({"loss": losses, "accuracy": [0.1, 0.5, 0.9]})
    figure.canvas.draw()
    axes = figure.axes[0]
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    labels = [label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert len(labels) >= 3
    assert all(float(label) > 0 for label in labels)
    assert not axes.yaxis.get_minor_formatter()(0.3)


def test_the_confusion_matrix_has_a_diagonal_and_a_color_bar() -> None:
    """Correct predictions are colored, even of classes with few images, and the bar says what it counts."""
    result = evaluation([(1, 0, 1, 0.5), (2, 2, 1, 0.5), (3, 2, 1, 0.6)])
    result.per_class[1] = 1
    figure = confusions(result, "test", ["a", "b", "c"])
    matrix, bar = figure.axes
    correct, wrong = matrix.get_images()
    for row in range(3):
        assert not np.ma.getmaskarray(correct.get_array())[row, row]
        red, _, blue, _ = correct.cmap(correct.norm(correct.get_array()[row, row]))
        assert blue - red > 0.1
    assert np.ma.getmaskarray(wrong.get_array()).sum() == 3
    assert bar.get_ylabel() == "images misclassified"
    assert wrong.get_clim() == (0, 2)


def test_numbers_of_the_confusion_matrix_are_readable() -> None:
    """Every cell of the diagonal has its number, 0 too, in a color with a contrast of at least 4.5 to the cell."""
    result = evaluation([(number, 0, number % 2 + 1, 0.5) for number in range(9)], classes=3)
    result.per_class[:, 0] = [0, 3, 90]
    axes = confusions(result, "test", ["a", "b", "c"]).axes[0]
    correct, wrong = axes.get_images()
    found = {(int(text.get_position()[1]), int(text.get_position()[0])): text for text in axes.texts}
    assert {place: text.get_text() for place, text in found.items()} == {
        (0, 0): "0", (1, 1): "3", (2, 2): "90", (0, 1): "5", (0, 2): "4",
    }  # fmt: skip
    for (row, column), text in found.items():
        image = correct if row == column else wrong
        pair = [luminance(image.cmap(image.norm(image.get_array()[row, column]))), luminance(to_rgb(text.get_color()))]
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5


def luminance(color: tuple[float, ...]) -> float:
    """Return the relative luminance of a color, as the WCAG defines it."""
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in color[:3]]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_single_confusions_are_not_called_the_most_confused() -> None:
    """If no pair is confused twice, the title says so, and the classes with the most mistakes are shown."""
    names = [f"class{number}" for number in range(100)]
    singles = [(number, number, 99 - number, 0.5) for number in range(30)]
    several = [(50 + number, 45, 60 + number, 0.5) for number in range(5)]
    axes = confusions(evaluation(singles + several, classes=100), "test", names).axes[0]
    assert "no two classes confused more than once" in axes.get_title()
    assert "most confused" not in axes.get_title()
    assert "class45" in [label.get_text() for label in axes.get_yticklabels()]
    axes = confusions(evaluation([*singles, (70, 29, 70, 0.5)], classes=100), "test", names).axes[0]
    assert "the 20 most confused classes" in axes.get_title()


def test_the_confusion_matrix_has_no_empty_margin(tmp_path: Path) -> None:
    """What is drawn begins within a quarter inch of every edge of the file."""
    result = evaluation([(1, 0, 1, 0.5), (2, 2, 1, 0.5)])
    history = {"loss": [1.0], "accuracy": [0.5]}
    write_report(tmp_path, history, result, "test", ["a", "b", "c"], places)
    with Image.open(tmp_path / "confusions.png") as image:
        drawn = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, "white")).getbbox()
        assert drawn is not None
        assert max(drawn[0], drawn[1], image.width - drawn[2], image.height - drawn[3]) <= 30


def test_without_mistakes_there_is_no_picture_of_them(tmp_path: Path) -> None:
    history = {"loss": [1.0], "accuracy": [0.5]}
    paths = write_report(tmp_path, history, evaluation([]), "test", ["a", "b", "c"], places)
    assert [path.name for path in paths] == ["learning-curves.png", "mistakes.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["learning-curves.png", "mistakes.csv"]


def test_captions_of_mistakes_fit_their_cells() -> None:
    """Long origins keep both ends and their suffix, do not touch, and small probabilities have a digit."""
    result = evaluation([(number, 0, 1, 0.004) for number in range(16)])
    paths = [f"a_very_long_folder_name/another_long_folder_name/image_with_a_long_name_{at:03}.png" for at in range(16)]
    figure = mistakes_sheet(result, "test", ["cat/" * 12, "dog/" * 12, "c"], lambda positions: paths[: len(positions)])
    figure.draw_without_rendering()
    labels = [axes.xaxis.label for axes in figure.axes if axes.images]
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes[:8]))
    for label, path in zip(labels, paths, strict=True):
        predicted, origin = label.get_text().split("\n")
        assert predicted.endswith("  0.4 %")
        assert origin.startswith("a_very")
        assert origin.endswith(path[-10:])


@pytest.mark.parametrize(("share", "text"), [(1, "100 %"), (0.874, "87 %"), (0.01, "1 %"), (0.0042, "0.4 %"),
                                             (0.00023, "0.02 %")])  # fmt: skip
def test_small_probabilities_have_a_digit(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.text(max_size=40), st.integers(3, 40))
def test_shortened_text_keeps_both_ends(text: str, longest: int) -> None:
    """The result fits, is as long as possible, and consists of the two ends of the text."""
    found = shortened(text, lambda one: len(one) <= longest, "...")
    if len(text) <= longest:
        assert found == text
        return
    first, last = found[: found.index("...", (longest - 3) - -(-2 * (longest - 3) // 3))], len(found)
    assert last == longest
    assert text.startswith(first)
    assert text.endswith(found[len(first) + 3 :])


def test_accuracy_is_in_percent() -> None:
    """The learning curves show the accuracy as the console prints it."""
    history = {"loss": [1.2, 1], "val_loss": [0.9, 0.8], "accuracy": [0.6, 0.7], "val_accuracy": [0.7, 0.75]}
    axes = learning_curves(history).axes[1]
    assert "%" in axes.get_title()
    assert [line.get_ydata().tolist() for line in axes.get_lines()[:2]] == [[60, 70], [70, 75]]


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ({"op": "contrast", "contrast": 1.0, "brightness": -0.001, "gamma": 1.0},
         "contrast x1.00, brightness +0.00, gamma 1.00"),
        ({"op": "color", "brightness": 0.9, "saturation": 0.8, "hue": -0.004},
         "color: hue +0.00, brightness x0.90, saturation x0.80"),
        ({"op": "crop", "width": 44, "height": 43, "left": 15, "top": 0}, "crop to 44x43 at 15, 0"),
        ({"op": "rotate", "degrees": -0.01}, "rotate +0.0\N{DEGREE SIGN}"),
    ],
)  # fmt: skip
def test_stages_are_described_in_words(stage: dict, text: str) -> None:
    """Numbers have names, and no number is a negative zero."""
    assert stage_text(stage) == text


def test_captions_break_after_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long description of a stage is shown completely; a row with short captions takes less height."""
    lines: list[str] = []
    write = ImageDraw.ImageDraw.text
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, *rest: (
        lines.append(text), write(self, xy, text, *rest)))  # fmt: skip
    image = np.zeros((64, 64, 1), np.uint8)
    caption = ["contrast x1.04, brightness +0.02, gamma 1.00"]
    sheets = [contact_sheet("t", [[Cell(image, caption)], [Cell(image, second)]]) for second in ([], caption)]
    assert lines[1:4] == ["contrast x1.04,", "brightness +0.02,", "gamma 1.00"]
    assert sheets[1].height - sheets[0].height == 3 * 15


@pytest.mark.parametrize(("sizes", "bars"), [([4] * 1623, 1), ([20] * 1600 + [19] * 23, 2)])
def test_classes_of_few_sizes_have_a_bar_for_each_size(sizes: list[int], bars: int) -> None:
    """Thousands of classes of the same size are no solid block."""
    pixels = np.asarray(histogram("x", ["name"] * len(sizes), np.array(sizes)))
    lengths = (pixels == ORANGE).all(axis=2).sum(axis=1) > 0
    assert np.count_nonzero(np.diff(lengths.astype(int)) == 1) == bars
    assert pixels.shape[0] < 200


@pytest.mark.parametrize(
    ("names", "lines", "size"),
    [
        (["a", "b"], ["a", "b"], 34),
        (["a", "character01"], ["a", "character01"], 20),
        (["a", "Omniglot_Futurama"], ["a", "Omniglot_", "Futurama"], 20),
        (["Omniglot_Futurama/character01"], ["Omniglot_Futurama/", "character01"], 15),
        (["Supercalifragilisticexpialidocious"], ["Superca...expialidocious"], 12),
        (["Alphabet_of_the_Magi/of_several_sets/in_many_folders/with/several_levels"],
         ["Alphabet_of_the_Magi/", "...many_folders/with/", "several_levels"], 12),
    ],
)  # fmt: skip
def test_class_names_have_one_size(
    monkeypatch: pytest.MonkeyPatch, names: list[str], lines: list[str], size: int
) -> None:
    """All names have the largest size at which each of them fits; lines end at separators, and both ends are kept."""
    drawn: list[tuple[str, float]] = []
    write = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, fill: object, font: object) -> None:
        if text not in ("title", "caption"):
            drawn.append((text, font.size))  # type: ignore[attr-defined]
        write(self, xy, text, fill, font)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    class_sheet("title", [Row(name, "caption", [np.zeros((9, 9), np.uint8)]) for name in names])
    assert drawn == [(line, size) for line in lines]


def test_a_sheet_of_few_images_is_not_empty() -> None:
    """Forty classes with an image each fill several columns, with problems of eight images below them."""
    image = np.zeros((72, 72), np.uint8)
    classes = [Row(f"c{number}", "1 image", [image]) for number in range(40)]
    alone = class_sheet("t", classes)
    assert alone.width <= 1620
    assert alone.width > 2 * alone.height
    both = class_sheet("t", [*classes, Row("duplicates", "1 pair", [image] * 8, is_problem=True)])
    assert (both.width, both.height - alone.height) == (alone.width, 18 + 78)


def test_pairs_are_framed() -> None:
    """Each pair of near-duplicates has a frame of its own; other rows have none."""
    images = [np.zeros((72, 72), np.uint8)] * 4
    plain, framed = (
        np.asarray(class_sheet("t", [Row("near-duplicates", "2 pairs", images, is_problem=True, in_pairs=pairs)]))
        for pairs in (False, True)
    )
    changed = (plain != framed).any(axis=2)
    assert {tuple(color) for color in framed[changed].tolist()} == {ORANGE}
    middle = changed[changed.any(axis=1).argmax() + 20]
    starts = np.flatnonzero(np.diff(np.r_[0, middle.astype(int)]) == 1)
    assert len(starts) == 4


def test_the_font_of_the_extra_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are found without importing its module, which would change Matplotlib."""
    package = tmp_path / "matplotlib_fontja"
    (package / "fonts").mkdir(parents=True)
    (package / "fonts" / "ipaexg.ttf").touch()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.machinery.PathFinder.invalidate_caches()
    assert fonts._package_fonts() == [str(package / "fonts" / "ipaexg.ttf")]


def test_missing_characters_are_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a font, code points are drawn, and the message says what helps every command, and for which languages."""
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    monkeypatch.setattr(fonts, "_package_fonts", list)
    for cached in (fonts._drawable, fonts._report_missing):
        cached.cache_clear()
    try:
        assert fonts.drawable("亜哀")[0] == "U+4E9C U+54C0"
        assert fonts.drawable("愛")[0] == "U+611B"
        (line,) = capsys.readouterr().err.splitlines()
        for remedy in (
            "pip install 'epochbank[fonts]'",
            "apt install fonts-noto-cjk",
            "Chinese",
            "augment inspect --font",
        ):
            assert remedy in line
        assert isinstance(fonts.pillow_text("A", 12)[1], ImageFont.FreeTypeFont)
        assert not capsys.readouterr().err
    finally:
        for cached in (fonts._drawable, fonts._report_missing):
            cached.cache_clear()
