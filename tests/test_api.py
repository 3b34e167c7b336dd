"""The Python interface of stage 1: the same results as the command line, and a keyword for each of its options."""

import inspect as reflection
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import epochbank
from epochbank.api import generation, views
from epochbank.api.keywords import GenerationKeywords, ImportKeywords, RefreshKeywords, SourceKeywords
from epochbank.augment.cli import main
from epochbank.augment.generation.options import GenerationOptions
from epochbank.augment.generation.plan import GenerationPlan
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.sources import SourceOptions

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 64, "chunk_size": 16}


def printed(*words: object) -> Any:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_generate_returns_the_open_set_that_the_command_line_finds(npz: Path, tmp_path: Path) -> None:
    """`generate` generates a set and opens it; a second call finds the set and adds only the new epochs."""
    sets = tmp_path / "sets"
    glyphs = epochbank.generate(npz, epochs=1, seed=3, sets=sets, **SMALL)
    assert isinstance(glyphs, epochbank.AugmentedSet)
    assert glyphs.epochs == (0,)
    facts = printed("info", "--sets", sets, "--json")
    assert (facts["path"], facts["seed"], facts["shards"]) == (str(glyphs.path), 3, 10)
    assert epochbank.generate(npz, epochs=2, seed=3, sets=sets, **SMALL).epochs == (0, 1)
    assert len(list(sets.glob("*/set.json"))) == 1
    assert generation.run(npz, epochs=2, seed=3, sets=sets, **SMALL).log is None


def test_a_plan_has_what_generate_writes(npz: Path, tmp_path: Path) -> None:
    """It is correct before the import, after it, and for a complete set; it is frozen, and `augment plan` prints it."""
    sets = tmp_path / "sets"
    before = epochbank.plan(npz, epochs=2, sets=sets, **SMALL)
    assert isinstance(before, GenerationPlan)
    assert not sets.exists()
    assert before.import_estimate is not None
    assert before.import_estimate.bytes == 300 * 20 * 16
    epochbank.generate(npz, epochs=1, sets=sets, **SMALL)
    after = epochbank.plan(npz, epochs=2, sets=sets, **SMALL)
    assert (before.images_to_write, after.images_to_write) == (780, 240)
    assert after.import_estimate is None
    with pytest.raises(AttributeError):
        after.jobs = 2  # type: ignore[misc]
    words = ("--epochs", 2, "--sets", sets, "--jobs", 1, "--shard-size", 64, "--chunk-size", 16, "--json")
    from_command = printed("plan", npz, *words)
    measured = {"seconds", "seconds_by_cores"}
    stable = {key: value for key, value in after.to_json().items() if key not in measured | {"bytes"}}
    assert {key: from_command[key] for key in stable} == stable
    assert from_command.keys() == after.to_json().keys()
    epochbank.generate(npz, epochs=2, sets=sets, **SMALL)
    done = epochbank.plan(npz, epochs=2, sets=sets, **SMALL)
    assert (done.shards, done.estimate, done.bytes) == ((), None, 0)


def test_views_return_what_the_commands_print(npz: Path, tmp_path: Path) -> None:
    """`info`, `explain`, `verify` and `list_sets` return the JSON of the commands, and sheets are Pillow images."""
    sets = tmp_path / "sets"
    glyphs = epochbank.generate(npz, epochs=1, sets=sets, **SMALL)
    assert json.loads(json.dumps(epochbank.info(glyphs))) == printed("info", "--sets", sets, "--json")
    explained = epochbank.explain(glyphs, 0, 17)
    assert json.loads(json.dumps(explained)) == printed("explain", glyphs.path, 0, 17, "--json")
    facts, faults = epochbank.list_sets(sets)
    assert json.loads(json.dumps(facts)) == printed("list", "--sets", sets, "--json")
    assert faults == []
    assert epochbank.verify(glyphs, jobs=1) == []
    sheets = [
        epochbank.preview(npz, sets=tmp_path / "none"),
        epochbank.preview(npz, "handwriting", seed=1, sets=tmp_path / "none"),
        epochbank.preview(glyphs),
        views.explain_image(glyphs.path, 0, 17),
    ]
    assert all(isinstance(sheet, Image.Image) for sheet in sheets)
    assert not (tmp_path / "none").exists()
    shard = next(glyphs.path.glob("epoch-0000/*.h5"))
    shard.write_bytes(shard.read_bytes()[:-1])
    (fault,) = epochbank.verify(glyphs.path.name, sets=sets, jobs=1)
    assert str(shard) in fault
    with pytest.raises(epochbank.EpochbankError, match="missing or incomplete"):
        epochbank.preview(glyphs)


def test_import_and_inspect(npz: Path, tmp_path: Path) -> None:
    """`import_source` writes a source file that `generate` takes; `inspect` returns its report."""
    file = epochbank.import_source(npz, tmp_path / "glyphs.h5", size=(10, 8), jobs=1)
    assert (file.num_images, file.shape) == (300, (10, 8, 1))
    assert epochbank.generate(tmp_path / "glyphs.h5", epochs=1, sets=tmp_path / "sets", **SMALL).shape == (10, 8, 1)
    facts = epochbank.inspect(npz, tmp_path / "inspected", jobs=1)
    assert facts["images"] == 300
    assert (tmp_path / "inspected" / "sheet.png").exists()
    with pytest.raises(epochbank.EpochbankError, match="exists; expected a new file"):
        epochbank.import_source(npz, tmp_path / "glyphs.h5")


def test_recipes_may_be_names_files_or_objects(npz: Path, tmp_path: Path) -> None:
    """A recipe's name, file and object identify the same set."""
    recipe = epochbank.load_recipe("handwriting")
    assert isinstance(recipe, epochbank.Recipe)
    path = tmp_path / "handwriting.toml"
    path.write_text(CliRunner().invoke(main, ["recipes", "handwriting"]).stdout)
    epochbank.import_source(npz, tmp_path / "g.h5", jobs=1)
    plans = [epochbank.plan(tmp_path / "g.h5", one, 1, sets=tmp_path, jobs=1) for one in ("handwriting", path, recipe)]
    assert len({plan.to_json()["fingerprint"] for plan in plans}) == 1


def test_an_unknown_keyword_is_refused() -> None:
    """An unknown keyword raises `TypeError` with the known ones."""
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'; expected .*color"):
        epochbank.generate("digits", colour="rgb")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "an int of at least 1"), ("seed", -1, "at least 0"), ("seed", None, "an int"),
        ("jobs", 0, "at least 1"), ("limit", 0, "at least 1"), ("shard_size", -5, "at least 1"),
        ("chunk_size", 0, "at least 1"), ("codec", "rar", "'zstd' or 'lz4' or 'gzip' or 'none' or None"),
        ("engine", "gpu", "'auto' or 'pillow' or 'compiled'"), ("color", "blue", "'auto' or 'gray' or 'rgb'"),
        ("invert", True, "'auto' or 'yes' or 'no'"), ("on_bad", "drop", "'refuse' or 'skip'"),
        ("split", "none", "'source' or 'fractions'"), ("size", 64, "(H, W) in pixels"),
        ("size", (0, 64), "each from 1 to 4096"), ("size", (64, 64, 1), "(H, W)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", [epochbank.generate, epochbank.plan])
def test_invalid_values_are_refused(
    npz: Path, tmp_path: Path, function: Callable[..., Any], name: str, value: Any, expected: str
) -> None:
    """Python refuses the values that the command line refuses, with name, value and what is expected."""
    with pytest.raises(epochbank.EpochbankError) as refused:
        function(npz, sets=tmp_path / "sets", **{name: value})
    assert str(refused.value).startswith(f"{name}={value!r} is invalid; expected ")
    assert expected in str(refused.value)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "sets").exists()


def test_invalid_values_are_refused_by_every_function(npz: Path, tmp_path: Path) -> None:
    """The functions with named parameters check them, too."""
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (epochbank.import_source, {"file": tmp_path / "a.h5", "jobs": 0}),
        (epochbank.import_source, {"file": tmp_path / "a.h5", "color": "blue"}),
        (epochbank.inspect, {"out": tmp_path / "out", "limit": 0}),
        (epochbank.inspect, {"out": tmp_path / "out", "jobs": -1}),
        (epochbank.preview, {"seed": -1}),
        (epochbank.preview, {"size": "64x64"}),
        (epochbank.verify, {"jobs": 0}),
    ]
    for function, keywords in calls:
        with pytest.raises(epochbank.EpochbankError, match="is invalid; expected"):
            function(npz, **keywords)
    assert list(tmp_path.iterdir()) == [npz]


FUNCTIONS = {
    "run": generation.run, "plan": epochbank.plan, "import": epochbank.import_source, "inspect": epochbank.inspect,
    "preview": epochbank.preview, "explain": epochbank.explain, "verify": epochbank.verify, "info": epochbank.info,
    "list": epochbank.list_sets, "diff": epochbank.diff, "tag": epochbank.tag, "refresh": epochbank.refresh,
    "repair": epochbank.repair, "remove": epochbank.remove, "gc": epochbank.gc, "export": epochbank.export_set,
    "copy": epochbank.copy_set, "report": epochbank.report,
}  # fmt: skip
KEYWORDS = {
    "run": GenerationKeywords, "plan": GenerationKeywords, "import": ImportKeywords, "preview": ImportKeywords,
    "inspect": SourceKeywords, "refresh": RefreshKeywords,
}  # fmt: skip
PRINTING = {"as_json", "digests", "print_path", "profile", "out", "open_it", "yes"}
"""Options for printing a result or writing an image, which Python functions return."""


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_option_of_the_command_line_is_a_keyword(command: str) -> None:
    """Every option has a keyword with the same name and default, and every keyword has an option."""
    parameters = reflection.signature(FUNCTIONS[command]).parameters
    keywords = KEYWORDS[command].__annotations__ if command in KEYWORDS else {}
    params = main.commands[command].params
    required = ["1" for param in params if isinstance(param, click.Argument) and param.required]
    defaults = main.commands[command].make_context(command, required).params
    options = [param for param in params if isinstance(param, click.Option)]
    assert {*keywords} <= {option.name for option in options}
    for option in options:
        assert option.name in {*parameters, *keywords, *PRINTING}, option.name
        if option.name in parameters and option.name not in ("sets", "out", "runs"):
            assert parameters[option.name].default == defaults[option.name], option.name


def test_defaults_are_those_of_the_command_line(npz: Path, tmp_path: Path) -> None:
    """Without keywords and options, Python and the command line plan the same set."""
    epochbank.import_source(npz, tmp_path / "g.h5", jobs=1)
    ours = epochbank.plan(tmp_path / "g.h5", sets=tmp_path).to_json()
    theirs = printed("plan", tmp_path / "g.h5", "--sets", tmp_path, "--json")
    for key in ("set", "fingerprint", "images", "images_to_write", "shards", "engine", "jobs"):
        assert ours[key] == theirs[key]


def test_everything_public_is_importable_documented_and_listed() -> None:
    """`__all__` is complete and sorted, each name has a docstring, and an unknown name raises `AttributeError`."""
    assert sorted(epochbank.__all__) == epochbank.__all__
    assert set(epochbank.__all__) == set(epochbank._MODULES)
    assert {"open_set", "AugmentedSet", "AugmentedSequence", "generate", "load_recipe", "EpochbankError"} <= set(
        dir(epochbank)
    )
    for name in epochbank.__all__:
        assert getattr(epochbank, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = epochbank.nothing


def test_every_keyword_reaches_an_option() -> None:
    """A keyword without a field of the same name would be ignored."""
    reached = {field.name for kind in (GenerationOptions, ImportOptions, SourceOptions) for field in fields(kind)}
    spec = {"seed", "validation", "test", "per_class", "sets", "name", "status", "scheduler", "patience"}
    assert set(GenerationKeywords.__annotations__) <= reached | spec


def test_importing_epochbank_is_lazy() -> None:
    """`import epochbank` loads no dependency; `generate` loads no Keras; `open_set` loads neither Numba nor Keras."""
    code = (
        "import sys, epochbank; slow = ('numpy', 'numba', 'keras', 'tensorflow', 'h5py', 'PIL', 'click')\n"
        "print([name for name in slow if name in sys.modules])\n"
        "epochbank.open_set, epochbank.load_recipe\n"
        "print([name for name in ('numba', 'keras', 'tensorflow') if name in sys.modules])\n"
        "epochbank.generate\n"
        "print([name for name in ('numba', 'keras', 'tensorflow', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "[]"]


def test_labels_of_a_generated_set_are_those_of_its_source(npz: Path, tmp_path: Path) -> None:
    """The splits of the set that `generate` returns have all labels of the source."""
    glyphs = epochbank.generate(npz, epochs=1, sets=tmp_path / "sets", **SMALL)
    with np.load(npz) as arrays:
        expected = np.bincount(arrays["labels"], minlength=6)
    counts = np.zeros(6, int)
    for split in ("train", "validation", "test"):
        counts += sum(np.bincount(labels, minlength=6) for _, labels in iter_split(glyphs, split))
    assert counts.tolist() == expected.tolist()


def iter_split(stored_set: epochbank.AugmentedSet, split: str) -> Any:
    data = stored_set.split(split, 64)
    return (data[number] for number in range(len(data)))
