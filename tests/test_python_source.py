"""Sources that are an iterable of Python's: what items may be, parts, class names, and what is told of faults."""

import importlib
import io
import itertools
import sys
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
from epochbank.augment.shared import progress
from epochbank.augment.shared.progress import Progress
from epochbank.augment.sources import Scan, SourceOptions, open_source
from epochbank.augment.sources.decode import BadPicture
from epochbank.augment.sources.items import pixels_of
from epochbank.augment.sources.spool import Spool

Module = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Writes a module of a name of its own into the current directory, and puts objects into it; returns its name."""
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


def pictures_of(scan: Scan) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for run in scan.reader.read(np.arange(len(scan.labels))):
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
    """An array of another library: NumPy may ask for it."""

    def __init__(self, values: Any):
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values


class Labelled:
    """A data set that knows its features, as those of Hugging Face and TensorFlow Datasets do."""

    def __init__(self, items: list[Any], names: list[str], key: str = "label"):
        self.items, self.features = items, {"image": object(), key: SimpleNamespace(names=names)}

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def test_a_generator_of_pairs(module: Module) -> None:
    """A function's items, in order, each with its label; the numbers are sorted as numbers and named by them."""
    name = module(
        "import numpy as np\n"
        "def data():\n"
        "    for number in range(13):\n"
        "        yield np.full((5, 4), number, np.uint8), number % 12\n"
    )
    scan = scan_of(f"{name}:data")
    assert [int(one[0, 0]) for one in pictures_of(scan)] == list(range(13))
    assert scan.class_names == [str(number) for number in range(12)]
    assert names_of(scan) == [str(number % 12) for number in range(13)]
    assert scan.labels.dtype == np.int32
    assert (scan.size, scan.channels, scan.groups, scan.parts, scan.bad) == ((5, 4), 1, None, None, [])
    assert scan.reader.origin(12) == "item 12"


GREY, COLOUR = noise(6, 5), noise(6, 5, 3, seed=1)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (GREY, GREY),
        (GREY[:, :, None], GREY),
        (COLOUR, COLOUR),
        (GREY.T, GREY.T),
        (GREY / 255, GREY),
        ((COLOUR / 255).astype(np.float32), COLOUR),
        (Tensor(GREY), GREY),
        (GREY.tolist(), None),
        (Image.fromarray(GREY), GREY),
        (Image.fromarray(COLOUR), COLOUR),
        (Image.fromarray(GREY > 127), np.where(GREY > 127, 255, 0)),
        (png(COLOUR), COLOUR),
        (np.bytes_(png(GREY)), GREY),
        (Tensor(np.array(png(GREY), object)), GREY),
        ({"bytes": png(GREY), "path": "a.png"}, GREY),
        ({"bytes": None, "path": "kept.png"}, GREY),
    ],
    ids=["grey", "one channel", "RGB", "another order", "float", "float RGB", "tensor", "list of int", "Pillow",
         "Pillow RGB", "Pillow of bits", "encoded", "NumPy's bytes", "tensor of bytes", "Hugging Face, encoded",
         "Hugging Face, path"],
)  # fmt: skip
def test_what_a_picture_may_be(module: Module, picture: Any, expected: np.ndarray | None) -> None:
    """Each comes out as the same pixels; a list of Python's integers is no picture, since it says no type."""
    Image.fromarray(GREY).save("kept.png")
    scan = scan_of(f"{module(data=[(GREY, 0), (picture, 1)])}:data")
    if expected is None:
        assert scan.bad == [("item 1", "is int64; expected uint8, or float in [0, 1]")]
    else:
        np.testing.assert_array_equal(pictures_of(scan)[1], expected)


@pytest.mark.parametrize(
    ("item", "label", "group"),
    [
        ((GREY, 3), "3", None),
        ([GREY, "ö"], "ö", None),
        ((GREY, b"x", "Ann"), "x", "Ann"),
        ((GREY, np.int64(3), np.str_("Ann")), "3", "Ann"),
        ((GREY, Tensor(3), Tensor(np.array(b"w", object))), "3", "w"),
        ((GREY, np.array("x"), None), "x", None),
        ({"image": GREY, "label": 3}, "3", None),
        ({"img": GREY, "character": "木", "writer": 7}, "木", "7"),
        ({"picture": GREY, "text": "a", "sheet": "s"}, "a", "s"),
        ({"pixels": GREY, "LABEL": 1, "class": 2, "user": "u"}, "1", "u"),
    ],
)  # fmt: skip
def test_what_an_item_may_be(module: Module, item: Any, label: str, group: str | None) -> None:
    """Pairs, threes and mappings, with labels and groups of Python, NumPy or another library."""
    scan = scan_of(f"{module(data=[item])}:data")
    assert scan.class_names == [label]
    assert scan.group_names == (None if group is None else [group])
    np.testing.assert_array_equal(pictures_of(scan), [GREY])


def test_groups(module: Module) -> None:
    """Groups are numbered in their order, numbers as numbers, and stay with their pictures."""
    scan = scan_of(f"{module(data=[(GREY, 'x', 10), (GREY, 'y', 9), (GREY, 'x', 10)])}:data")
    assert scan.group_names == ["9", "10"]
    assert scan.groups is not None
    assert scan.groups.tolist() == [1, 0, 1]


def test_pictures_of_several_sizes(module: Module) -> None:
    """Each keeps its own size and colours; any of them is read by its number; no size is named for all."""
    shapes = [(3, 4), (3, 4), (3, 4, 3), (9, 2), (3, 4), (1, 1, 3)]
    pictures = [noise(*shape, seed=number) for number, shape in enumerate(shapes)]
    scan = scan_of(f"{module(data=[(picture, 0) for picture in pictures])}:data")
    for found, picture in zip(pictures_of(scan), pictures, strict=True):
        np.testing.assert_array_equal(found, picture)
    (one,) = scan.reader.read(np.array([3]))
    np.testing.assert_array_equal(one, pictures[3][None])
    assert (scan.size, scan.channels) == (None, None)


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([(), (3,)])), min_size=1, max_size=12
    ),
    data=st.data(),
)
def test_what_is_kept_comes_back(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, int, tuple[int, ...]]], data: st.DataObject
) -> None:
    """Any pictures, asked for in any ascending choice, in runs of one size."""
    pictures = [noise(h, w, *rest, seed=number) for number, (h, w, rest) in enumerate(shapes)]
    with Spool(tmp_path_factory.mktemp("spool")) as spool:
        for number, picture in enumerate(pictures):
            spool.add(picture, number * 2, 0)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(pictures) - 1))))
    reader = spool.reader(("item",))
    found = [picture for run in reader.read(np.array(wanted, np.int64)) for picture in run]
    assert [picture.tolist() for picture in found] == [pictures[index].tolist() for index in wanted]
    assert [reader.origin(index) for index in wanted] == [f"item {2 * index}" for index in wanted]


# Parts and class names


def test_a_mapping_of_parts(module: Module) -> None:
    """A mapping from parts to data sets, as of both libraries; each item says by its number where it was."""
    parts = {"train": [(GREY, "a"), (GREY, "b")], "Test": iter([(GREY, "a")]), "valid": [(GREY, "b")]}
    scan = scan_of(f"{module(data=lambda: parts)}:data")
    assert scan.parts is not None
    assert scan.parts.dtype == np.int8
    assert scan.parts.tolist() == [0, 0, 2, 1]
    assert names_of(scan) == ["a", "b", "a", "b"]
    assert [scan.reader.origin(index) for index in range(4)] == [
        "train item 0", "train item 1", "Test item 0", "valid item 0"
    ]  # fmt: skip


def test_items_that_say_their_part(module: Module) -> None:
    """A key `part` or `split` of an item, in any case; empty or none where it does not say."""
    parts = ["TRAIN", "test", "", None, b"val"]
    scan = scan_of(f"{module(data=[{'image': GREY, 'label': 0, 'split': part} for part in parts])}:data")
    assert scan.parts is not None
    assert scan.parts.tolist() == [0, 2, -1, -1, 1]


def test_parts_where_fractions_are_wanted(module: Module) -> None:
    """--split fractions leaves parts aside, and takes data sets of any name."""
    name = module(one=[{"image": GREY, "label": 0, "part": "fold 3"}], two={"extra": [(GREY, 1)], "test": [(GREY, 2)]})
    assert scan_of(f"{name}:one", split="fractions").parts is None
    scan = scan_of(f"{name}:two", split="fractions")
    assert scan.parts is None
    assert scan.class_names == ["1", "2"]


def two_items() -> list[dict[str, Any]]:
    return [{"image": GREY, "label": 2}, {"image": GREY, "label": 0}]


INFO = SimpleNamespace(features={"label": SimpleNamespace(names=["x", "y", "z"])})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Labelled(two_items(), ["x", "y", "z"]),
        lambda: Labelled(two_items(), ["x", "y", "z"], "character"),
        lambda: {"train": Labelled(two_items(), ["x", "y", "z"])},
        lambda: type("WithInfo", (list,), {"info": INFO})(two_items()),
        lambda: type("DataSource", (list,), {"dataset_info": INFO})(two_items()),
        lambda: (iter(two_items()), INFO),
        lambda: ({"train": iter(two_items())}, INFO),
        lambda: type("Named", (list,), {"class_names": ("x", "y", "z")})(two_items()),
        lambda: Labelled([(GREY, "z"), (GREY, "x")], ["x", "y", "z"]),
    ],
    ids=["features", "another key", "features of parts", "info", "dataset_info", "with_info=True",
         "with_info=True of parts", "class_names", "labels by name"],
)  # fmt: skip
def test_class_names(module: Module, make: Callable[[], Any]) -> None:
    """Labels are numbers of the names that the data set has, in its order, those without a picture as well."""
    scan = scan_of(f"{module(data=make)}:data")
    assert scan.class_names == ["x", "y", "z"]
    assert scan.labels.tolist() == [2, 0]
    assert scan.labels.dtype == np.int32


def test_class_names_of_a_function(module: Module) -> None:
    """A generator can have no attribute; its function can."""
    name = module("def data():\n    yield [[0.5, 1.0]], 1\n\n\ndata.class_names = ['no', 'yes']\n")
    assert names_of(scan_of(f"{name}:data")) == ["yes"]


# Through the import


def test_pixels_come_through_an_import(module: Module) -> None:
    """At their own size, pictures are imported bit for bit by several workers, which need not import the module."""
    pictures = noise(40, 6, 5)
    items = [{"image": picture, "label": number % 3, "writer": number // 10} for number, picture in enumerate(pictures)]
    name = module(data={"train": items[:30], "test": items[30:]})
    import_source(open_source(f"python:{name}:data"), Path("o.h5"), ImportOptions(invert="no"), 2, quiet=True)
    file = open_source_file(Path("o.h5"))
    np.testing.assert_array_equal(file.read(np.arange(40))[..., 0], pictures)
    assert file.column("label").tolist() == [number % 3 for number in range(40)]
    assert file.column("group").tolist() == [number // 10 for number in range(40)]
    assert file.column("part").tolist() == [0] * 30 + [2] * 10
    assert file.origin(31) == "test item 1"
    assert file.name == f"{name}-data"


def test_iterated_once(module: Module) -> None:
    """One pass over the data is all that an import takes, and a run that finds its source file takes none."""
    name = module(
        "import numpy as np\n"
        "passes = []\n"
        "def data():\n"
        "    passes.append(1)\n"
        "    yield from ((np.full((8, 8), number, np.uint8), number % 2) for number in range(40))\n"
    )
    for epochs in ("1", "2"):
        words = ["run", f"python:{name}:data", "--epochs", epochs, "--jobs", "1"]
        result = CliRunner().invoke(augment, words)
        assert result.exit_code == 0, result.output
    assert "read: 40 items in" in CliRunner().invoke(augment, ["import", f"python:{name}:data", "o.h5"]).output
    assert len(importlib.import_module(name).passes) == 2


def test_bad_pictures(module: Module) -> None:
    """They are listed by number with what is wrong; the others keep their labels and numbers."""
    pictures = [GREY, np.full((4, 4), np.nan), GREY, np.zeros((4, 4, 4), np.uint8), png(GREY)[:40], GREY.astype(int),
                np.full((2, 2), 1.5), np.zeros((0, 3), np.uint8), "a.png", None, GREY]  # fmt: skip
    name = module(data=[(picture, number) for number, picture in enumerate(pictures)])
    scan = scan_of(f"{name}:data")
    assert scan.class_names == ["0", "2", "10"]
    assert [scan.reader.origin(index) for index in range(3)] == ["item 0", "item 2", "item 10"]
    reasons = dict(scan.bad)
    for item, told in {
        1: "NaN", 3: "has the shape (4, 4, 4); expected (H, W)", 4: "cannot be read", 5: "is int64; expected", 6: "1.5",
        7: "(0, 3)", 8: "is a str", 9: "is a NoneType; expected a picture",
    }.items():  # fmt: skip
        assert told in reasons.pop(f"item {item}")
    assert not reasons
    source = open_source(f"python:{name}:data")
    with pytest.raises(EpochbankError, match=r"8 of 11 pictures or files cannot be used:\n  item 1 has NaN"):
        import_source(source, Path("o.h5"), ImportOptions(), 1, quiet=True)
    import_source(source, Path("o.h5"), ImportOptions(on_bad="skip"), 1, quiet=True)
    assert open_source_file(Path("o.h5")).skipped == 8


def test_a_picture_that_is_too_large() -> None:
    """An array of more pixels than any picture may have is bad; it is not copied to find out."""
    endless = np.broadcast_to(np.uint8(0), (10_000, 10_000))
    with pytest.raises(BadPicture, match="is 10000 x 10000; expected at most"):
        pixels_of(endless)


# Identity


def test_identity(module: Module) -> None:
    """It changes with the module's text and with Hugging Face's fingerprint; no function is called for it."""
    first = module("def data():\n    raise SystemError('called')\n")
    identity = open_source(f"python:{first}:data").identity()
    assert open_source(f"python:{first}:data").identity() == identity
    Path(f"{first}.py").write_text("def data():\n    raise SystemError('called')  # data of May\n")
    assert open_source(f"python:{first}:data").identity() != identity
    one, other = (Labelled([], []) for _ in range(2))
    one._fingerprint, other._fingerprint = "1f", "2e"  # type: ignore[attr-defined]
    kept = [one, {"train": one, "test": one}]
    changed = [other, {"train": one, "test": other}]
    for before, after in zip(kept, changed, strict=True):
        name = module(data=before)
        identity = open_source(f"python:{name}:data").identity()
        vars(importlib.import_module(name))["data"] = after
        assert open_source(f"python:{name}:data").identity() != identity


def test_a_function_from_elsewhere(module: Module) -> None:
    """The text of the module that a function comes from counts as well."""
    home = module("def data():\n    yield [[0.5]], 1\n")
    name = module(f"from {home} import data\n")
    identity = open_source(f"python:{name}:data").identity()
    with Path(f"{home}.py").open("a") as file:
        file.write("# changed\n")
    assert open_source(f"python:{name}:data").identity() != identity


def test_a_module_without_a_file() -> None:
    """What has no text cannot be found again; so it is refused where that is wanted."""
    result = CliRunner().invoke(augment, ["plan", "python:sys:path"])
    assert result.exit_code == 2
    assert "module sys has no source file; expected a module that is a file" in result.stderr


# Refusals


def test_what_the_iterator_raises(module: Module) -> None:
    """A fault of the user's is told by type, text, item and line, and is the cause of what is raised."""
    name = module(
        "def data():\n"
        "    yield [[0.5]], 1\n"
        "    yield [[0.5]], 1\n"
        "    raise KeyError('no such page')\n"
    )  # fmt: skip
    with pytest.raises(
        EpochbankError, match=rf"raised KeyError at item 2: 'no such page' \(\S+{name}.py, line 4\)"
    ) as told:
        scan_of(f"{name}:data")
    assert isinstance(told.value.__cause__, KeyError)
    name = module("def data(path):\n    return []\n\ndef broken():\n    return 1 / 0\n")
    with pytest.raises(EpochbankError, match=r"raised TypeError when it was opened: data\(\) missing 1 required"):
        scan_of(f"{name}:data")
    with pytest.raises(EpochbankError, match="raised ZeroDivisionError when it was opened: division by zero"):
        scan_of(f"{name}:broken")


@pytest.mark.parametrize(
    ("spec", "code", "told"),
    [
        ("no_such_module_here:data", 2, ["'no_such_module_here:data' cannot be imported (ModuleNotFoundError",
                                         "expected module:function"]),
        ("{}", 2, ["has no ''", "Write python:module:function"]),
        ("", 2, ["cannot be imported", "expected module:function"]),
        ("{}:nothing", 2, ["has no 'nothing'"]),
        ("{}:number", 2, ["gives a int", "expected an iterable of items, (picture, label)"]),
        ("{}:none", 1, ["gives no picture that can be used; expected at least one"]),
        ("{}:text", 1, ["item 0 is a str; expected (picture, label), (picture, label, group), or a mapping"]),
        ("{}:four", 1, ["item 0 is a tuple of 4; expected (picture, label)"]),
        ("{}:keys", 1, ["item 0 has the keys 'image', 'fine_label'; expected image or img", "label or class"]),
        ("{}:both", 1, ["item 0 'writer' and 'user' may each be the group; expected one"]),
        ("{}:batch", 1, ["item 0 has a label that is a ndarray of the shape (2,); expected an integer or text"]),
        ("{}:floating", 1, ["item 0 has a label that is a float"]),
        ("{}:empty", 1, ["item 1 has an empty label"]),
        ("{}:mixed", 1, ["item 1 has 'b' where others have 1; expected all text or all integers"]),
        ("{}:latin", 1, ["item 0 has the label b'\\xe9'; expected text in UTF-8"]),
        ("{}:nul", 1, ["item 0 has 'a\\x00'; expected text without NUL"]),
        ("{}:half", 1, ["item 0 has '\\udce9', which is no Unicode text"]),
        ("{}:ungrouped", 1, ["item 1 has no group, where others have one"]),
        ("{}:grouped", 1, ["item 1 has no group, where others have one; expected a group for all or for none"]),
        ("{}:unlabelled", 1, ["item 0 has the label -1; expected 0 to 1"]),
        ("{}:beyond", 1, ["item 0 has the label 2; expected 0 to 1"]),
        ("{}:stranger", 1, ["item 0 has the label 'c'; expected 0 to 1, or one of its class names"]),
        ("{}:twice", 1, ["the list of class names has 'a' more than once"]),
        ("{}:other", 1, ["its parts have other class names each; expected the same"]),
        ("{}:part", 1, ["item 0 has the part 'trian'; expected train"]),
        ("{}:columns", 2, ["gives a mapping that has the part 'images'; expected train", "--split fractions"]),
        ("{}:bad", 1, ["no picture that can be used", "item 0 has the shape (2, 2, 2, 2)"]),
        ("{}:endless", 1, ["the first 256 pictures cannot be used", "item 9 has the shape (1,)"]),
    ],
)  # fmt: skip
def test_refusals(module: Module, tmp_path: Path, spec: str, code: int, told: list[str]) -> None:
    """Each is told with what was received and what is expected. No traceback, no file."""
    name = module(
        number=3, none=[], text="ab", four=[(1, 2, 3, 4)], keys=[{"image": GREY, "fine_label": 1}],
        both=[{"image": GREY, "label": 1, "writer": 1, "user": 2}], batch=[(noise(2, 4, 4), np.array([1, 2]))],
        floating=[(GREY, 1.0)], empty=[(GREY, "a"), (GREY, "")], mixed=[(GREY, 1), (GREY, "b")],
        latin=[(GREY, b"\xe9")], nul=[(GREY, "a\0")], half=[(GREY, "\udce9")],
        ungrouped=[(GREY, 1, "a"), (GREY, 1)], grouped=[(GREY, 1), (GREY, 1, "a")],
        unlabelled=Labelled([(GREY, -1)], ["a", "b"]), beyond=Labelled([(GREY, 2)], ["a", "b"]),
        stranger=Labelled([(GREY, "c")], ["a", "b"]), twice=Labelled([(GREY, 0)], ["a", "b", "a"]),
        other={"train": Labelled([], ["a"]), "test": Labelled([], ["b"])},
        part=[{"image": GREY, "label": 1, "part": "trian"}], columns={"images": [GREY], "labels": [1]},
        bad=[(noise(2, 2, 2, 2), 1)], endless=((np.zeros(1, np.uint8), 1) for _ in itertools.count()),
    )  # fmt: skip
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(augment, ["import", f"python:{spec.format(name)}", "o.h5", "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    for part in told:
        assert part in result.stderr, f"{part!r} is not in: {result.stderr}"
    assert sorted(tmp_path.iterdir()) == before


def test_options_that_are_not_for_iterators() -> None:
    """--group-pattern is for paths."""
    with pytest.raises(EpochbankError, match="--group-pattern is for"):
        open_source("python:a:b", SourceOptions(group_pattern="(.)"))


# Progress without an end in sight


@pytest.mark.parametrize(("total", "told"), [(None, "read: 7 items, "), (10, "read: 7 of 10 items (70 %), ")])
def test_progress(
    total: int | None, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the total is not known, the count and the rate are told, and no share or time left."""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    with Progress("read", total, "items") as bar:
        bar.advance(7)
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(told)
    assert line.endswith("/s" if total is None else " left")
