"""Sources in Python: forms of items, splits, class names, and errors."""

import importlib
import io
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared.progress import Progress
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.python.items import to_pixels
from epochbank.augment.sources.python.spool import Spool
from epochbank.augment.sources.value_range import BYTES, ValueRanges, in_bytes

Module = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Write a module with a unique name to the current directory, and put objects into it; returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(code: str = "", /, **objects: Any) -> str:
        name = f"data_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        if objects:
            monkeypatch.syspath_prepend(tmp_path)
            vars(importlib.import_module(name)).update(objects)
        return name

    return write


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def scan_of(spec: str, **options: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(f"python:{spec}", SourceOptions(**options)).scan(Path("workspace"))  # type: ignore[arg-type]


def images_of(scan: Scan) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for run in in_bytes(scan.reader.read(np.arange(len(scan.labels))), ValueRanges(integers=BYTES)):
        assert isinstance(run, np.ndarray)
        found += list(run)
    return found


def names_of(scan: Scan) -> list[str]:
    return [scan.class_names[label] for label in scan.labels]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class Tensor:
    """An array of another library, which NumPy can convert."""

    def __init__(self, values: Any):
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values


class Labeled:
    """A dataset with features, like those of Hugging Face and TensorFlow Datasets."""

    def __init__(self, items: list[Any], names: list[str], key: str = "label"):
        self.items, self.features = items, {"image": object(), key: SimpleNamespace(names=names)}

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def test_a_generator_of_pairs(module: Module) -> None:
    """Items keep their order and labels; classes of integers are in numerical order."""
    name = module(
        "import numpy as np\n"
        "def data():\n"
        "    for number in range(13):\n"
        "        yield np.full((5, 4), number, np.uint8), number % 12\n"
    )
    scan = scan_of(f"{name}:data")
    assert [int(one[0, 0]) for one in images_of(scan)] == list(range(13))
    assert scan.class_names == [str(number) for number in range(12)]
    assert names_of(scan) == [str(number % 12) for number in range(13)]
    assert (scan.size, scan.channels, scan.groups, scan.splits, scan.bad) == ((5, 4), 1, None, None, [])
    assert scan.reader.origin(12) == "item 12"


GRAY, COLOR = noise(6, 5), noise(6, 5, 3, seed=1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GRAY, GRAY),
        (GRAY[:, :, None], GRAY),
        (COLOR, COLOR),
        (GRAY.T, GRAY.T),
        (GRAY / 255, GRAY),
        ((COLOR / 255).astype(np.float32), COLOR),
        (Tensor(GRAY), GRAY),
        (GRAY.tolist(), GRAY),
        (GRAY > 127, np.where(GRAY > 127, 255, 0)),
        (Image.fromarray(GRAY), GRAY),
        (Image.fromarray(COLOR), COLOR),
        (Image.fromarray(GRAY > 127), np.where(GRAY > 127, 255, 0)),
        (png(COLOR), COLOR),
        (np.bytes_(png(GRAY)), GRAY),
        (Tensor(np.array(png(GRAY), object)), GRAY),
        ({"bytes": png(GRAY), "path": "a.png"}, GRAY),
        ({"bytes": None, "path": "kept.png"}, GRAY),
    ],
    ids=["gray", "one channel", "RGB", "Fortran order", "float", "float RGB", "tensor", "list of int", "bool",
         "Pillow", "Pillow RGB", "Pillow of bits", "encoded", "NumPy's bytes", "tensor of bytes",
         "Hugging Face, encoded", "Hugging Face, path"],
)  # fmt: skip
def test_forms_of_images(module: Module, image: Any, expected: np.ndarray) -> None:
    """All forms give the same pixels."""
    Image.fromarray(GRAY).save("kept.png")
    scan = scan_of(f"{module(data=[(GRAY, 0), (image, 1)])}:data")
    np.testing.assert_array_equal(images_of(scan)[1], expected)


@pytest.mark.parametrize(
    ("item", "label", "group"),
    [
        ((GRAY, 3), "3", None),
        ([GRAY, "ö"], "ö", None),
        ((GRAY, b"x", "Ann"), "x", "Ann"),
        ((GRAY, np.int64(3), np.str_("Ann")), "3", "Ann"),
        ((GRAY, Tensor(3), Tensor(np.array(b"w", object))), "3", "w"),
        ((GRAY, np.array("x"), None), "x", None),
        ({"image": GRAY, "label": 3}, "3", None),
        ({"img": GRAY, "character": "木", "writer": 7}, "木", "7"),
        ({"picture": GRAY, "text": "a", "sheet": "s"}, "a", "s"),
        ({"pixels": GRAY, "LABEL": 1, "class": 2, "user": "u"}, "1", "u"),
    ],
)  # fmt: skip
def test_forms_of_items(module: Module, item: Any, label: str, group: str | None) -> None:
    """Items are pairs, triples or mappings, with labels and groups of Python, NumPy or other libraries."""
    scan = scan_of(f"{module(data=[item])}:data")
    assert scan.class_names == [label]
    assert scan.group_names == (None if group is None else [group])
    np.testing.assert_array_equal(images_of(scan), [GRAY])


def test_groups(module: Module) -> None:
    """Groups are sorted, integers in numerical order, and keep their images."""
    scan = scan_of(f"{module(data=[(GRAY, 'x', 10), (GRAY, 'y', 9), (GRAY, 'x', 10)])}:data")
    assert scan.group_names == ["9", "10"]
    assert scan.groups is not None
    assert scan.groups.tolist() == [1, 0, 1]


def test_images_of_several_sizes(module: Module) -> None:
    """Images keep their sizes and colors, can be read individually, and give no common size."""
    shapes = [(3, 4), (3, 4), (3, 4, 3), (9, 2), (3, 4), (1, 1, 3)]
    images = [noise(*shape, seed=number) for number, shape in enumerate(shapes)]
    scan = scan_of(f"{module(data=[(image, 0) for image in images])}:data")
    for found, image in zip(images_of(scan), images, strict=True):
        np.testing.assert_array_equal(found, image)
    (one,) = scan.reader.read(np.array([3]))
    np.testing.assert_array_equal(one, images[3][None])
    assert (scan.size, scan.channels) == (None, None)


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([(), (3,)])), min_size=1, max_size=12
    ),
    data=st.data(),
)
def test_spool_gives_back_its_images(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, int, tuple[int, ...]]], data: st.DataObject
) -> None:
    """A spool gives any ascending selection of its images, in runs of one size."""
    images = [noise(h, w, *rest, seed=number) for number, (h, w, rest) in enumerate(shapes)]
    with Spool(tmp_path_factory.mktemp("spool")) as spool:
        for number, image in enumerate(images):
            spool.add(image, number * 2, 0)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(images) - 1))))
    reader = spool.reader(("item",))
    found = [image for run in reader.read(np.array(wanted, np.int64)) for image in run]
    assert [image.tolist() for image in found] == [images[index].tolist() for index in wanted]
    assert [reader.origin(index) for index in wanted] == [f"item {2 * index}" for index in wanted]


# Splits and class names


def test_a_mapping_of_splits(module: Module) -> None:
    """A mapping from splits to datasets, as in both libraries, gives the splits; origins name them."""
    splits = {"train": [(GRAY, "a"), (GRAY, "b")], "Test": iter([(GRAY, "a")]), "valid": [(GRAY, "b")]}
    scan = scan_of(f"{module(data=lambda: splits)}:data")
    assert scan.splits is not None
    assert scan.splits.tolist() == [0, 0, 2, 1]
    assert names_of(scan) == ["a", "b", "a", "b"]
    assert [scan.reader.origin(index) for index in range(4)] == [
        "train item 0", "train item 1", "Test item 0", "valid item 0"
    ]  # fmt: skip


def test_items_with_splits(module: Module) -> None:
    """The key `split` or `part` of an item names its split, in upper or lower case; it may be empty or None."""
    splits = ["TRAIN", "test", "", None, b"val"]
    for key in ("split", "part"):
        scan = scan_of(f"{module(data=[{'image': GRAY, 'label': 0, key: split} for split in splits])}:data")
        assert scan.splits is not None
        assert scan.splits.tolist() == [0, 2, -1, -1, 1]


def test_split_fractions_ignores_splits(module: Module) -> None:
    """--split fractions ignores splits, and accepts datasets of any name."""
    name = module(one=[{"image": GRAY, "label": 0, "part": "fold 3"}], two={"extra": [(GRAY, 1)], "test": [(GRAY, 2)]})
    assert scan_of(f"{name}:one", split="fractions").splits is None
    scan = scan_of(f"{name}:two", split="fractions")
    assert scan.splits is None
    assert scan.class_names == ["1", "2"]


def two_items() -> list[dict[str, Any]]:
    return [{"image": GRAY, "label": 2}, {"image": GRAY, "label": 0}]


INFO = SimpleNamespace(features={"label": SimpleNamespace(names=["x", "y", "z"])})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Labeled(two_items(), ["x", "y", "z"]),
        lambda: Labeled(two_items(), ["x", "y", "z"], "character"),
        lambda: {"train": Labeled(two_items(), ["x", "y", "z"])},
        lambda: type("WithInfo", (list,), {"info": INFO})(two_items()),
        lambda: type("DataSource", (list,), {"dataset_info": INFO})(two_items()),
        lambda: (iter(two_items()), INFO),
        lambda: ({"train": iter(two_items())}, INFO),
        lambda: type("Named", (list,), {"class_names": ("x", "y", "z")})(two_items()),
        lambda: Labeled([(GRAY, "z"), (GRAY, "x")], ["x", "y", "z"]),
    ],
    ids=["features", "another key", "features of splits", "info", "dataset_info", "with_info=True",
         "with_info=True of splits", "class_names", "labels by name"],
)  # fmt: skip
def test_class_names(module: Module, make: Callable[[], Any]) -> None:
    """Labels are indices into the dataset's class names, which keep their order and may be unused."""
    scan = scan_of(f"{module(data=make)}:data")
    assert scan.class_names == ["x", "y", "z"]
    assert scan.labels.tolist() == [2, 0]


def test_class_names_of_a_function(module: Module) -> None:
    """The function of a generator may have the attribute `class_names`."""
    name = module("def data():\n    yield [[0.5, 1.0]], 1\n\n\ndata.class_names = ['no', 'yes']\n")
    assert names_of(scan_of(f"{name}:data")) == ["yes"]


# Import


def test_data_is_iterated_once(module: Module) -> None:
    """An import iterates once over the data, and a run with an existing source file does not iterate."""
    name = module(
        "import numpy as np\n"
        "passes = []\n"
        "def data():\n"
        "    passes.append(1)\n"
        "    yield from ((np.full((8, 8), 6 * number, np.uint8), number % 2) for number in range(40))\n"
    )
    for epochs in ("1", "2"):
        words = ["run", f"python:{name}:data", "--epochs", epochs, "--jobs", "1"]
        result = CliRunner().invoke(augment, words)
        assert result.exit_code == 0, result.output
    assert "read: 40 items in" in CliRunner().invoke(augment, ["import", f"python:{name}:data", "o.h5"]).output
    assert len(importlib.import_module(name).passes) == 2


def test_bad_images(module: Module) -> None:
    """Bad images are listed by item number and reason; the others keep their labels and numbers."""
    images = [GRAY, np.full((4, 4), np.nan), GRAY, np.zeros((4, 4, 4), np.uint8), png(GRAY)[:40], GRAY * 1j,
                np.full((2, 2), np.inf), np.zeros((0, 3), np.uint8), "a.png", None, GRAY]  # fmt: skip
    name = module(data=[(image, number) for number, image in enumerate(images)])
    scan = scan_of(f"{name}:data")
    assert scan.class_names == ["0", "2", "10"]
    assert [scan.reader.origin(index) for index in range(3)] == ["item 0", "item 2", "item 10"]
    reasons = dict(scan.bad)
    for item, reason in {
        1: "NaN", 3: "has the shape (4, 4, 4); expected (H, W)", 4: "cannot be read", 5: "is complex128; expected",
        6: "infinite", 7: "(0, 3)", 8: "is of type str", 9: "is of type NoneType; expected an image",
    }.items():  # fmt: skip
        assert reason in reasons.pop(f"item {item}")
    assert not reasons
    source = open_source(f"python:{name}:data")
    with pytest.raises(EpochbankError, match=r"8 of 11 images or files cannot be used:\n  item 1 has NaN"):
        import_source(source, Path("o.h5"), ImportOptions(), 1, quiet=True)
    import_source(source, Path("o.h5"), ImportOptions(on_bad="skip"), 1, quiet=True)
    assert open_source_file(Path("o.h5")).skipped == 8


def test_too_large_arrays_are_bad() -> None:
    """An array with too many pixels is bad, and is not copied before the check."""
    endless = np.broadcast_to(np.uint8(0), (10_000, 10_000))
    with pytest.raises(BadImage, match="is 10000 x 10000; expected at most"):
        to_pixels(endless)


# Identity


def test_identity_of_modules_and_fingerprints(module: Module) -> None:
    """The identity depends on the module's text and on Hugging Face's fingerprint; no function is called."""
    first = module("def data():\n    raise SystemError('called')\n")
    identity = open_source(f"python:{first}:data").identity()
    assert open_source(f"python:{first}:data").identity() == identity
    Path(f"{first}.py").write_text("def data():\n    raise SystemError('called')  # data of May\n")
    assert open_source(f"python:{first}:data").identity() != identity
    one, other = (Labeled([], []) for _ in range(2))
    one._fingerprint, other._fingerprint = "1f", "2e"  # type: ignore[attr-defined]
    kept = [one, {"train": one, "test": one}]
    changed = [other, {"train": one, "test": other}]
    for before, after in zip(kept, changed, strict=True):
        name = module(data=before)
        identity = open_source(f"python:{name}:data").identity()
        vars(importlib.import_module(name))["data"] = after
        assert open_source(f"python:{name}:data").identity() != identity


def test_identity_of_an_imported_function(module: Module) -> None:
    """The identity also depends on the text of the module that defines the function."""
    home = module("def data():\n    yield [[0.5]], 1\n")
    name = module(f"from {home} import data\n")
    identity = open_source(f"python:{name}:data").identity()
    with Path(f"{home}.py").open("a") as file:
        file.write("# changed\n")
    assert open_source(f"python:{name}:data").identity() != identity


def test_a_module_without_a_file() -> None:
    """A module without a source file has no identity, so commands that need one refuse it."""
    result = CliRunner().invoke(augment, ["plan", "python:sys:path"])
    assert result.exit_code == 2
    assert "module sys has no source file; expected a module that is a file" in result.stderr


# Errors


def test_exceptions_of_the_iterable(module: Module) -> None:
    """Exceptions of the user's code are reported with type, text, item and line, and are chained."""
    name = module(
        "def data():\n"
        "    yield [[0.5]], 1\n"
        "    yield [[0.5]], 1\n"
        "    raise KeyError('no such page')\n"
    )  # fmt: skip
    with pytest.raises(
        EpochbankError, match=rf"raised KeyError at item 2: 'no such page' \(\S+{name}.py, line 4\)"
    ) as refusal:
        scan_of(f"{name}:data")
    assert isinstance(refusal.value.__cause__, KeyError)
    name = module("def data(path):\n    return []\n\ndef broken():\n    return 1 / 0\n")
    with pytest.raises(EpochbankError, match=r"raised TypeError when it was opened: data\(\) missing 1 required"):
        scan_of(f"{name}:data")
    with pytest.raises(EpochbankError, match="raised ZeroDivisionError when it was opened: division by zero"):
        scan_of(f"{name}:broken")


@pytest.mark.parametrize(
    ("spec", "code", "messages"),
    [
        ("no_such_module_here:data", 2, ["'no_such_module_here:data' cannot be imported (ModuleNotFoundError",
                                         "expected module:function"]),
        ("{}", 2, ["has no ''", "Write python:module:function"]),
        ("", 2, ["cannot be imported", "expected module:function"]),
        ("{}:nothing", 2, ["has no 'nothing'"]),
        ("{}:number", 2, ["is of type int", "expected an iterable of items, (image, label)"]),
        ("{}:none", 1, ["yields no usable image; expected at least one"]),
        ("{}:text", 1, ["item 0 is of type str; expected (image, label), (image, label, group), or a mapping"]),
        ("{}:four", 1, ["item 0 is a tuple of 4; expected (image, label)"]),
        ("{}:keys", 1, ["item 0 has the keys 'image', 'fine_label'; expected image or img", "and label or "]),
        ("{}:both", 1, ["item 0 'writer' and 'user' may each be the group; expected one"]),
        ("{}:batch", 1, ["item 0 has a label of type ndarray of shape (2,); expected an integer or text"]),
        ("{}:floating", 1, ["item 0 has a label of type float"]),
        ("{}:empty", 1, ["item 1 has an empty label"]),
        ("{}:mixed", 1, ["item 1 has 'b' where others have 1; expected all text or all integers"]),
        ("{}:latin", 1, ["item 0 has the label b'\\xe9'; expected text in UTF-8"]),
        ("{}:nul", 1, ["item 0 has 'a\\x00'; expected text without NUL"]),
        ("{}:half", 1, ["item 0 has '\\udce9', which is not valid Unicode text"]),
        ("{}:ungrouped", 1, ["item 1 has no group, but others have one"]),
        ("{}:grouped", 1, ["item 1 has a group, but others have none; expected a group for all or for none"]),
        ("{}:unlabeled", 1, ["yields no usable image", "It skipped 1 item with the label -1"]),
        ("{}:beyond", 1, ["item 0 has the label 2; expected 0 to 1"]),
        ("{}:stranger", 1, ["item 0 has the label 'c'; expected 0 to 1, or one of its class names"]),
        ("{}:twice", 1, ["the list of class names has 'a' more than once"]),
        ("{}:other", 1, ["its splits have different class names; expected the same"]),
        ("{}:split", 1, ["item 0 has the split 'trian'; expected train"]),
        ("{}:columns", 2, ["is a mapping that has the split 'images'; expected train", "--split fractions"]),
        ("{}:bad", 1, ["yields no usable image", "item 0 has the shape (2, 2, 2, 2)"]),
        ("{}:endless", 1, ["the first 256 images cannot be used", "item 9 has the shape (1,)"]),
    ],
)  # fmt: skip
def test_refusals(module: Module, tmp_path: Path, spec: str, code: int, messages: list[str]) -> None:
    """Errors give what was received and expected, without a traceback or a file."""
    name = module(
        number=3, none=[], text="ab", four=[(1, 2, 3, 4)], keys=[{"image": GRAY, "fine_label": 1}],
        both=[{"image": GRAY, "label": 1, "writer": 1, "user": 2}], batch=[(noise(2, 4, 4), np.array([1, 2]))],
        floating=[(GRAY, 1.0)], empty=[(GRAY, "a"), (GRAY, "")], mixed=[(GRAY, 1), (GRAY, "b")],
        latin=[(GRAY, b"\xe9")], nul=[(GRAY, "a\0")], half=[(GRAY, "\udce9")],
        ungrouped=[(GRAY, 1, "a"), (GRAY, 1)], grouped=[(GRAY, 1), (GRAY, 1, "a")],
        unlabeled=Labeled([(GRAY, -1)], ["a", "b"]), beyond=Labeled([(GRAY, 2)], ["a", "b"]),
        stranger=Labeled([(GRAY, "c")], ["a", "b"]), twice=Labeled([(GRAY, 0)], ["a", "b", "a"]),
        other={"train": Labeled([], ["a"]), "test": Labeled([], ["b"])},
        split=[{"image": GRAY, "label": 1, "part": "trian"}], columns={"images": [GRAY], "labels": [1]},
        bad=[(noise(2, 2, 2, 2), 1)], endless=((np.zeros(1, np.uint8), 1) for _ in itertools.count()),
    )  # fmt: skip
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(augment, ["import", f"python:{spec.format(name)}", "o.h5", "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    for message in messages:
        assert message in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_group_pattern_is_refused() -> None:
    """--group-pattern applies only to sources with paths."""
    with pytest.raises(EpochbankError, match="--group-pattern applies only to"):
        open_source("python:a:b", SourceOptions(group_pattern="(.)"))


@pytest.mark.parametrize(("total", "line"), [(None, "read: 7 items, "), (10, "read: 7 of 10 items (70 %), ")])
def test_progress_without_a_total(
    total: int | None, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the total is unknown, progress shows count and rate, but no percentage and no remaining time."""
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 20).__next__)  # 20 seconds between any two calls
    with Progress("read", total, "items") as bar:
        bar.advance(7)
    shown = capsys.readouterr().err.splitlines()[0]
    assert shown.startswith(line)
    assert ("remaining" in shown) == (total is not None)
