"""One class, or a class for nearly every image: a warning in `inspect` and `plan`, and a refusal in `run`."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.split.few_classes import label_problem

ONE_CLASS = "the only class is"
PER_IMAGE = "as if each image had a name instead of a class"


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ([500], ONE_CLASS),
        ([0, 3, 0], ONE_CLASS),
        ([1] * 20, PER_IMAGE),
        ([1] * 19 + [30], PER_IMAGE),
        ([2] * 20, None),
        ([1] * 10 + [9] * 10, None),
        ([1] * 11 + [9] * 9, PER_IMAGE),
        ([1] * 11 + [500] * 9, None),
        ([250, 250], None),
        ([1, 500], None),
        ([0] * 50 + [1, 9, 9], None),
    ],
)
def test_labels_that_cannot_be_learned(sizes: list[int], problem: str | None) -> None:
    """One class, or more than half of the classes with one image, if these are more than a tenth of the images."""
    found = label_problem(np.repeat(np.arange(len(sizes)), sizes), names(len(sizes)))
    assert found is None if problem is None else found is not None and problem in found


@pytest.fixture
def flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 30 images without folders of classes, and another with a folder for each image."""
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(glyphs(30)):
        for path in (Path("flat/images", f"{number}.png"), Path("each", f"{number:02}", "image.png")):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    return tmp_path


def augment(*words: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, words), "--jobs", "1"])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.mark.parametrize(("source", "problem"), [("flat", "the only class is"), ("each", PER_IMAGE)])
def test_run_refuses_before_the_import(flat: Path, source: str, problem: str) -> None:
    """The message says what is wrong and how to give the classes; nothing is imported."""
    result = augment("run", source, "--epochs", 1)
    assert result.exit_code == 1
    for text in (problem, "folder per class", "--label-pattern REGEX", "list of paths and labels"):
        assert text in result.output
    assert not list(Path().glob("sets/sources/*"))
    assert "import" not in result.output.split("Error:")[0]


@pytest.mark.parametrize(("source", "problem"), [("flat", "the only class is"), ("each", PER_IMAGE)])
def test_inspect_and_plan_warn(flat: Path, source: str, problem: str) -> None:
    """Both print the problem, and end without an error."""
    for words in (("inspect", source), ("plan", source, "--validation", 0, "--test", 0)):
        result = augment(*words)
        assert result.exit_code == 0, result.output
        assert problem in result.stdout


def test_a_source_file_is_refused_too(flat: Path) -> None:
    """A source that is imported already is refused with the same message."""
    assert augment("import", "flat", "flat.h5").exit_code == 0
    result = augment("run", "flat.h5", "--epochs", 1)
    assert result.exit_code == 1
    assert "the only class is" in result.output


@pytest.mark.parametrize("source", ["flat", "each"])
def test_images_may_be_augmented_without_classes(flat: Path, source: str) -> None:
    """With nothing held out, nothing is evaluated, and the labels are used as they are."""
    result = augment("run", source, "--epochs", 1, "--validation", 0, "--test", 0)
    assert result.exit_code == 0, result.output


def test_a_limit_does_not_make_labels_useless(flat: Path) -> None:
    """A limit that leaves one image of each class for a quick test is no reason to refuse."""
    np.savez("many.npz", images=glyphs(60), labels=np.arange(60) % 12, groups=np.arange(60) // 12)
    result = augment("run", "many.npz", "--epochs", 1, "--limit", 12)
    assert "as if each image" not in result.output
