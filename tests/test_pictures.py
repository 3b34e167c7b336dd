"""Images and plots: fonts, the class sheet, learning curves, the confusion matrix, and the mistakes of a run."""

import csv
import importlib.machinery
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

import epochbank
from epochbank.augment.shared import fonts
from epochbank.augment.views.inspection.class_sheet import Row, class_sheet
from epochbank.augment.views.origins import origins_of
from epochbank.train.training.evaluate import MISTAKES, Evaluation, Mistake
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


def test_class_names_have_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """All names of a sheet are written in the largest size at which each of them fits."""
    sizes: list[float] = []
    write = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, fill: object, font: object) -> None:
        if text in names:
            sizes.append(font.size)  # type: ignore[attr-defined]
        write(self, xy, text, fill, font)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    image = np.zeros((9, 9), np.uint8)
    for names, size in ((["a", "b"], 34), (["a", "character01"], 20), (["a", "b", "Omniglot_Futurama"], 15)):
        sizes.clear()
        class_sheet("title", [Row(name, "1 image", [image]) for name in names])
        assert sizes == [size] * len(names)


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
    """Without a font, code points are drawn, and the message names two ways to install one, and the option."""
    monkeypatch.setattr(fonts, "system_fonts", lambda: ())
    monkeypatch.setattr(fonts, "_package_fonts", list)
    for cached in (fonts._drawable, fonts._report_missing):
        cached.cache_clear()
    try:
        assert fonts.drawable("亜哀")[0] == "U+4E9CU+54C0"
        assert fonts.drawable("愛")[0] == "U+611B"
        (line,) = capsys.readouterr().err.splitlines()
        for remedy in ("pip install 'epochbank[fonts]'", "apt install fonts-noto-cjk", "--font"):
            assert remedy in line
        assert isinstance(fonts.pillow_text("A", 12)[1], ImageFont.FreeTypeFont)
        assert not capsys.readouterr().err
    finally:
        for cached in (fonts._drawable, fonts._report_missing):
            cached.cache_clear()
