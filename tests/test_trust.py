"""Data is not code: nothing that a stranger's set or run names is imported or executed unless the user says so."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import epochbank
from epochbank.augment.cli import main as augment
from epochbank.augment.distortion.operations.custom import load_function
from epochbank.augment.distortion.recipe import UntrustedCode, load_recipe, recipe_from_settings
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.feeding.augmented_set import open_set
from epochbank.train.training.evaluate import load_best
from epochbank.train.training.fit_options import read_options
from epochbank.train.training.models import build_model
from epochbank.train.training.run_directory import check_shape, check_trust, find_unfinished, read_config

MODULE = "strangers_code"
SOURCE = """
import keras

def same(image, generator):
    return image.copy()

def model(shape, classes):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential(layers)

print("EXECUTED")
"""
RECIPE = f'[[stage]]\noperation = [{{ op = "{MODULE}:same" }}]\n'


def call(program: Any, *words: object) -> Result:
    return CliRunner().invoke(program, [str(word) for word in words])


def forget() -> None:
    """Forget the imported module, as a new process would."""
    sys.modules.pop(MODULE, None)
    load_function.cache_clear()


@pytest.fixture
def here(tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with somebody's module, a set whose recipe names it, and a run whose model does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path(f"{MODULE}.py").write_text(SOURCE)
    Path("theirs.toml").write_text(RECIPE)
    words = ("--recipe", "theirs.toml", "--epochs", 2, "--size", "16x16", "--jobs", 1)
    assert call(augment, "run", npz, *words).exit_code == 0  # The user names this recipe, so its code is trusted.
    (made,) = (path.parent for path in Path("sets").glob("*/set.json"))
    Path("run").mkdir()
    Path("run/config.json").write_text(json.dumps(config_for(made)))
    Image.new("L", (16, 16)).save("scan.png")
    forget()
    return made


def config_for(made: Path) -> dict[str, Any]:
    opened = open_set(made)
    return {
        "set": {"path": str(made), "fingerprint": opened.description.fingerprint},
        "stored_epochs": list(opened.epochs),
        "class_names": opened.class_names,
        "shape": list(opened.shape),
        "preprocessing": opened.description.source["preprocessing"],
        "model": f"{MODULE}:model",
        "backend": keras.backend.backend(),
    }


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (augment, ("preview", "SET", "--out", "p.png")),
        (augment, ("explain", "SET", 0, 0)),
        (augment, ("explain", "SET", 0, 0, "--json", "--out", "e.png")),
        (train, ("evaluate", "run")),
        (train, ("predict", "run", "scan.png")),
        (train, ("export", "run", "--out", "exported")),
        (train, ("fit", "--resume", "run")),
    ],
)
def test_code_of_others_is_refused_by_name(here: Path, program: Any, words: tuple[object, ...]) -> None:
    """The message names the module and --trust; nothing is imported or written."""
    before = {*Path.cwd().iterdir()}
    result = call(program, *(here if word == "SET" else word for word in words))
    assert result.exit_code == 2, result.output
    for part in (f"{MODULE}:", "--trust"):
        assert part in result.stderr
    assert MODULE not in sys.modules
    assert "EXECUTED" not in result.output
    assert {*Path.cwd().iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("info", "SET"), ("info", "SET", "--json"), ("verify", "SET", "--jobs", 1), ("diff", "SET", "SET"),
        ("report", "SET"),
    ],
)  # fmt: skip
def test_looking_at_a_set_imports_nothing(here: Path, words: tuple[object, ...]) -> None:
    result = call(augment, *(here if word == "SET" else word for word in words))
    assert result.exit_code == 0, result.output
    assert MODULE not in sys.modules


def test_streaming_a_set_imports_nothing(here: Path) -> None:
    opened = open_set(here)
    images, _ = next(iter(epochbank.AugmentedSequence(opened, batch_size=8)))
    assert images.shape == (8, 16, 16, 1)
    assert MODULE not in sys.modules


def test_trusted_code_runs(here: Path) -> None:
    """With --trust, and for a recipe that the user names."""
    for words in (("preview", here, "--out", "p.png"), ("explain", here, 0, 0)):
        result = call(augment, *words, "--trust")
        assert result.exit_code == 0, result.output
        assert MODULE in sys.modules
        forget()
    assert epochbank.explain(here, 0, 0, trust=True)["stages"][0]["op"] == f"{MODULE}:same"
    assert load_recipe("theirs.toml").stages
    model = f"{MODULE}:model"
    check_trust(Path("run"), {"model": model}, trust=True)
    check_trust(Path("run"), {"model": model}, trust=False, model=model)
    with pytest.raises(EpochbankError, match="was trained with"):
        check_trust(Path("run"), {"model": model}, trust=False, model="cnn")


def test_repair_and_refresh_of_a_strangers_set(here: Path) -> None:
    """They execute the recipe, so they want --trust, too."""
    shard = next((here / "epoch-0001").glob("*.h5"))
    shard.unlink()
    for words in (("repair", here, "--jobs", 1), ("refresh", here, "--jobs", 1)):
        result = call(augment, *words)
        assert result.exit_code == 2, result.output
        assert f"{MODULE}:same" in result.stderr
        assert MODULE not in sys.modules
    assert call(augment, "repair", here, "--jobs", 1, "--trust").exit_code == 0
    assert shard.exists()


def test_a_stored_albumentations_pipeline_is_code() -> None:
    document = {
        "stages": [{"probability": 1.0, "operations": [{"op": "albumentations", "weight": 1.0, "pipeline": {}}]}]
    }
    with pytest.raises(UntrustedCode, match="Albumentations"):
        recipe_from_settings("theirs", document)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_layers_of_a_strangers_model_are_not_made(tmp_path: Path) -> None:
    """A Lambda layer in model.keras is not executed: only weights are read, and those of another model are refused."""
    lambda_layer = keras.layers.Lambda(lambda x: x + 1)
    model = keras.Sequential([keras.Input((16, 16, 1)), lambda_layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(EpochbankError, match="is not a model of the function"):
        load_best(build_model("cnn-small", (16, 16, 1), 3), tmp_path)


def test_no_module_unpickles() -> None:
    """Nor does NumPy load pickles."""
    root = Path(__file__).parents[1]
    for path in [*(root / "augment").rglob("*.py"), *(root / "train").rglob("*.py")]:
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) (pickle|dill|shelve|cloudpickle|marshal)\b", text, re.M), path
        assert not re.search(r"allow_pickle=True|yaml\.(load|full_load|unsafe_load)\(|safe_mode=False", text), path
        assert not re.search(r"(?<![\w.])(eval|exec)\(", text), path


# Crafted values


def test_nested_files_are_refused(tmp_path: Path) -> None:
    """TOML and JSON deeper than Python's stack."""
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(EpochbankError, match="not a TOML file"):
        load_recipe(path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(EpochbankError, match="is damaged"):
        read_config(tmp_path)


BOMBS = {
    "aliases": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    + "transform: {t: *a11}\n",
    "merge keys": "a0: &a0 {k0: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 12))
    + "transform: *a11\n",
    "circle": "transform: &a {b: *a}\n",
    "deep": "transform: {t: " + "[" * 150 + "]" * 150 + "}\n",
    "very deep": "transform: " + "[" * 100_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.timeout(20)
def test_yaml_that_grows_is_refused(tmp_path: Path, text: str) -> None:
    """Nine levels of nine aliases are a billion values."""
    pytest.importorskip("albumentations")
    (tmp_path / "bomb.yaml").write_text(text)
    (tmp_path / "r.toml").write_text('[[stage]]\noperation = [{ op = "albumentations", file = "bomb.yaml" }]\n')
    with pytest.raises(EpochbankError, match=r"bomb\.yaml.*(aliases|YAML)"):
        load_recipe(tmp_path / "r.toml")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\0", "a:b", "cnn", "../..", "\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Return a JSON document in which a few values, anywhere, are replaced, removed or added."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        at = document
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = draw(st.sampled_from(keys)) if keys else None
            if key is None or not isinstance(at[key], dict | list) or not at[key] or draw(st.integers(0, 3)) == 0:
                break
            at = at[key]
        if key is None:
            break
        if draw(st.integers(0, 4)) == 0:
            del at[key]
        else:
            at[key] = draw(VALUES)
    return document


CONFIG = {
    "set": {"path": "sets/x", "fingerprint": "ab" * 32},
    "stored_epochs": [0, 1],
    "class_names": ["a", "b"],
    "shape": [16, 16, 1],
    "preprocessing": None,
    "model": "cnn",
    "epochs": 3,
    "batch_size": 8,
    "originals": 0.5,
    "seed": 0,
    "learning_rate": 0.1,
    "patience": 1,
    "precision": "float32",
    "shuffle": "images",
    "threads": None,
    "rank": None,
    "world_size": None,
    "deterministic": False,
    "checkpoint_steps": None,
    "checkpoint_minutes": 5.0,
    "backend": "tensorflow",
}
BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@BOUNDED
@given(config=mutated(CONFIG))
def test_any_config_is_read_or_refused(tmp_path: Path, config: Any) -> None:
    """Values out of range are refused when they are read, and not by a library in the middle of the work."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    try:
        found = find_unfinished(tmp_path)
        check_trust(tmp_path, found, trust=False)
        check_shape(tmp_path, found)
        options = read_options(tmp_path, found)
    except EpochbankError:
        return
    assert options.model in ("cnn", "cnn-small")
    assert 1 <= options.epochs <= 1 << 31
    assert np.prod(found["shape"], dtype=object) <= 1 << 30


@BOUNDED
@given(document=mutated(load_recipe("kanji").settings()))
def test_any_stored_recipe_is_read_or_refused(document: Any) -> None:
    """A set may say anything; a recipe that is read back has exactly the settings that were stored."""
    try:
        recipe = recipe_from_settings("kanji", document)
    except ValueError:
        return
    assert recipe.settings() == document
