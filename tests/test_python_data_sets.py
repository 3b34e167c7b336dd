"""Data sets of other libraries as Python sources, imitated by classes with the same methods."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from epochbank.augment.cli import main as augment
from epochbank.augment.ingest.source_file import open_source_file

_numbers = itertools.count()

Run = Callable[[str], tuple[int, str]]

COMMON = """
from collections import OrderedDict
import numpy as np

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (40, 8, 6), np.uint8)
LABELS = [k % 4 for k in range(40)]


class MapStyle:
    '''Like torch.utils.data.Dataset: a length, and items by index.'''

    classes = ["cat", "dog", "emu", "fox"]

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return IMAGES[index % 40], LABELS[index % 40]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that imports the `data` of a module with the given text, and returns exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def import_module(text: str) -> tuple[int, str]:
        name = f"others_{next(_numbers)}"
        Path(f"{name}.py").write_text(COMMON + text)
        result = CliRunner().invoke(augment, ["import", f"python:{name}:data", "o.h5", "--jobs", "1"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return import_module


BY_KEY = """
class ByKey(MapStyle):
    items = dict(enumerate(IMAGES))

    def __getitem__(self, index):
        return self.items[index], LABELS[index]
"""
SUBSET = """
class Subset:
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]
"""


@pytest.mark.parametrize(
    "text",
    ["data = MapStyle()", "def data(): return MapStyle()", "data = {'train': MapStyle()}", BY_KEY + "data = ByKey()"],
    ids=["attribute", "function", "mapping", "KeyError at the end"],
)
def test_map_style_data_sets(run: Run, text: str) -> None:
    """A data set with a length and items by index is read for each index below its length, and no further."""
    code, output = run(text)
    assert code == 0, output
    file = open_source_file(Path("o.h5"))
    assert file.num_images == 40
    assert file.class_names == ["cat", "dog", "emu", "fox"]
    assert file.column("label").tolist() == [k % 4 for k in range(40)]
    expected = np.random.default_rng(0).integers(0, 256, (40, 8, 6), np.uint8)
    np.testing.assert_array_equal(file.read(np.arange(40))[..., 0], expected)


def test_class_names_of_a_subset(run: Run) -> None:
    """A subset of a subset has the class names of the data set."""
    code, output = run(SUBSET + "data = Subset(Subset(MapStyle(), list(range(20))), [1, 3, 7])")
    assert code == 0, output
    file = open_source_file(Path("o.h5"))
    assert [file.class_names[label] for label in file.column("label")] == ["dog", "fox", "fox"]


def test_classes_that_are_no_names(run: Run) -> None:
    """An attribute `classes` that is no list of text is ignored."""
    code, output = run("class Other(MapStyle):\n    classes = [0, 1, 2, 3]\ndata = Other()")
    assert code == 0, output
    assert open_source_file(Path("o.h5")).class_names == ["0", "1", "2", "3"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("where", ["data = Endless()", "data = {'train': Endless()}"])
def test_a_data_set_that_gives_more_than_its_length(run: Run, where: str) -> None:
    """An iterator that does not end at its length stops with a message, and leaves nothing behind."""
    text = """
class Endless(MapStyle):
    def __iter__(self):
        index = 0
        while True:
            yield self[index]
            index += 1
"""
    code, output = run(text + where)
    assert code == 1
    assert "item" in output
    assert "items, although its length is 40; expected no more. Fix its length, or end the iteration." in output
    assert not Path("o.h5").exists()
    assert not list(Path().glob("*.tmp*"))


def test_a_dataset_without_an_end_by_its_cardinality(run: Run) -> None:
    """A dataset of TensorFlow that repeats for ever says so, and is refused before it is read."""
    text = """
class Repeated:
    def cardinality(self):
        return np.int64(-1)

    def __len__(self):
        raise TypeError("The dataset is infinite.")

    def __iter__(self):
        raise AssertionError("must not be read")


data = Repeated()
"""
    code, output = run(text)
    assert code == 1
    assert "has no end; expected a finite dataset. Remove `.repeat()`, or add `.take(count)`" in output


@pytest.mark.parametrize(
    "hint", ["def __length_hint__(self): return 3", "def __len__(self): raise TypeError('unknown')"]
)
def test_hints_of_a_length_are_no_promise(run: Run, hint: str) -> None:
    """A hint of a length, or an unknown length, does not end the iteration, and gives no share of a total."""
    code, output = run(
        f"class Hinted:\n    {hint}\n    def __iter__(self): return zip(IMAGES, LABELS)\ndata = Hinted()"
    )
    assert code == 0, output
    assert open_source_file(Path("o.h5")).num_images == 40


def test_items_without_a_label(run: Run) -> None:
    """The label -1 stands for no label where classes have names: such items are left out, and a note counts them."""
    code, output = run("""
class Partly(MapStyle):
    def __getitem__(self, index):
        return IMAGES[index], -1 if index < 3 else LABELS[index]
data = Partly()
""")
    assert code == 0, output
    assert "skipped 3 items with the label -1, which stands for no label" in output
    assert open_source_file(Path("o.h5")).num_images == 37


@pytest.mark.parametrize(
    ("labels", "noted"), [("[-1, 0, 1, 2] * 10", True), ("[-1, 1] * 20", False), ("[0, 1] * 20", False)]
)
def test_a_class_called_minus_one(run: Run, labels: str, noted: bool) -> None:
    """Without class names, -1 is a class; a note says if it is not one of two."""
    code, output = run(f"data = list(zip(IMAGES, {labels}))")
    assert code == 0, output
    assert ("with the label -1 are a class called -1" in output) == noted


@pytest.mark.parametrize(("length", "noted"), [(100, True), (40, False)])
def test_a_data_set_that_gives_less_than_its_length(run: Run, length: int, noted: bool) -> None:
    """A note says that an iterable ended before the length that it gives."""
    code, output = run(f"""
class Short:
    def __len__(self):
        return {length}

    def __iter__(self):
        return iter(zip(IMAGES, LABELS))

data = Short()
""")
    assert code == 0
    assert ("yields 40 items, although its length is 100" in output) == noted


@pytest.mark.parametrize("place", ["at once", "in the iteration"])
def test_an_exit_is_an_error_of_the_function(run: Run, place: str) -> None:
    """`SystemExit` in the user's function is reported like any exception, and does not end the command."""
    start = "" if place == "at once" else "yield IMAGES[0], 0"
    code, output = run(f"""
def data():
    {start or "pass"}
    raise SystemExit(3)
""")
    assert code == 1
    assert "raised SystemExit " + ("when it was opened: 3" if not start else "at item 1: 3") in output
