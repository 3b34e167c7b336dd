"""Recipes: reading from TOML, validation, settings that survive JSON, fingerprints."""

import contextlib
import copy
import importlib
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.recipe import Recipe, built_in_names, load_recipe, parse_recipe, recipe_from_settings
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.description import fingerprint_of
from operation_battery import recipe_of, rules_of

few = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = itertools.count()

# --- The built-in recipes ---------------------------------------------------------------------------

FILTERS = [
    {"op": "blur", "weight": 1.0, "radius": [0.5, 1.2]},
    {"op": "sharpen", "weight": 1.0},
    {"op": "smooth", "weight": 1.0},
]


def geometry(degrees: float, side: float, wave: dict[str, bool]) -> list[dict[str, Any]]:
    return [
        {"op": "rotate", "weight": 1.0, "degrees": [-degrees, degrees]},
        {"op": "shear", "weight": 1.0, "x": [-0.2, 0.2], "y": [-0.2, 0.2]},
        {"op": "scale", "weight": 1.0, "width": [side / 64, 62 / 64], "height": [side / 64, 62 / 64]},
        {"op": "sine", "weight": 1.0, "strength": [0.15, 0.2], **wave},
    ]


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("kanji", geometry(15.0, 25, {"random_sign": True, "per_column": False})),
        ("kanji-strong", geometry(30.0, 20, {"random_sign": False, "per_column": True})),
    ],
)
def test_kanji_recipes_are_those_of_the_table(name: str, operations: list[dict[str, Any]]) -> None:
    """The recipes for kanji are those in distortions.md: one geometric operation, then one filter."""
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.settings() == {
        "stages": [{"probability": 1.0, "operations": operations}, {"probability": 1.0, "operations": FILTERS}],
        "safety": {"lost": 0.25, "attempts": 8},
    }


FINGERPRINTS = {
    "handwriting": "9f330d006f3b9776",
    "kanji": "8869189b2b0ae4a3",
    "kanji-strong": "0b439cf2df18c3f8",
    "photo": "852c3ecd5f9e7ff5",
}
"""Of the settings of format 1. They must never change, or existing sets would not be found again.

`photo` had another form before (`first_photo`), whose sets are still found.
"""

FORMAT_1_OPERATIONS = (
    "rotate", "shear", "scale", "sine", "blur", "sharpen", "smooth", "elastic", "stroke", "contrast", "noise", "erase",
    "color", "affine", "perspective", "flip", "crop",
)  # fmt: skip
"""The operations whose default settings are pinned; new ones are not added."""


def test_built_in_names() -> None:
    """All built-in recipes are listed, and each has a pinned fingerprint."""
    assert built_in_names() == sorted(FINGERPRINTS)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_of_built_in_recipes_are_pinned(name: str) -> None:
    """The settings of a built-in recipe, defaults and spelling included, are those of format 1."""
    assert fingerprint_of(load_recipe(name).settings())[:16] == FINGERPRINTS[name]


@pytest.mark.parametrize("color", ["color", "colour"])
def test_fingerprint_of_the_default_settings_is_pinned(color: str) -> None:
    """The default settings of every operation are those of format 1; `color` keeps its stored spelling there."""
    recipe = recipe_of([{"op": color if name == "color" else name} for name in FORMAT_1_OPERATIONS])
    assert fingerprint_of(recipe.settings())[:16] == "3570d97f29d79b70"
    assert '"colour"' in json.dumps(recipe.settings())


# --- Old spellings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[safety]\nlost = 0.1\nattempts = 3\n", "[label_check]\nlost = 0.1\nattempts = 3\n"),
        ("safety = false\n", "label_check = false\n"),
    ],
    ids=["table", "false"],
)
def test_safety_is_the_old_name_of_label_check(tmp_path: Path, old: str, new: str) -> None:
    """A recipe with the old key is read with a warning that names the new one, and has the same settings."""
    stages = '[[stage]]\noperation = [{ op = "color" }]\n'
    texts = [stages + text if text.startswith("[") else text + stages for text in (old, new)]
    with pytest.warns(FutureWarning, match=r"mine\.toml: `safety` is now called `label_check`"):
        recipe = load_recipe(write(tmp_path, texts[0]))
    assert recipe == load_recipe(write(tmp_path, texts[1]))
    assert ("safety" in recipe.settings()) == ("false" not in new)


def test_old_and_new_name_together_are_refused(tmp_path: Path) -> None:
    """A recipe that has both keys is refused: it is not clear which of them counts."""
    path = write(tmp_path, "safety = false\nlabel_check = false\n" + GOOD)
    with pytest.warns(FutureWarning, match="safety"):
        message = refusal(path)
    assert "safety: given together with label_check, its new name; expected one of them" in message


def test_colour_is_color(tmp_path: Path) -> None:
    """Both spellings give the same operation and the same settings, and neither warns."""
    load_recipe(write(tmp_path, '[[stage]]\noperation = [{ op = "colour" }]\n'))  # A warning would be an error.
    assert recipe_of({"op": "colour", "hue": [0, 0.1]}) == recipe_of({"op": "color", "hue": [0, 0.1]})


# --- Reading a file --------------------------------------------------------------------------------------

GOOD = '[[stage]]\noperation = [{ op = "rotate" }]\n'


def write(directory: Path, text: str, name: str = "mine.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_file(tmp_path: Path) -> None:
    """A recipe is read from a file; its default name is that of the file."""
    recipe = load_recipe(write(tmp_path, GOOD))
    assert (recipe.name, recipe.description) == ("mine", "")
    assert load_recipe(str(tmp_path / "mine.toml")) == recipe
    text = 'name = "other"\ndescription = "\N{GREEK SMALL LETTER ALPHA}"\n' + GOOD
    named = load_recipe(write(tmp_path, text))
    assert (named.name, named.description) == ("other", "\N{GREEK SMALL LETTER ALPHA}")


def refusal(path: str | Path) -> str:
    """Return the message with which the recipe is refused, as a usage error."""
    with pytest.raises(EpochbankError) as caught:
        load_recipe(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def stage(operation: str, more: str = "") -> str:
    return f"[[stage]]\n{more}\noperation = [{operation}]\n"


FIRST = "stage[0].operation[0]."

FAULTS: dict[str, tuple[str, list[str]]] = {
    # Fault: the TOML, and what the message must contain.
    "unknown operation": (
        stage('{ op = "rotat" }'),
        [f"{FIRST}op = 'rotat' is unknown", *BUILT_IN, "module:function"],
    ),
    "no operation named": (stage("{ weight = 1 }"), [f"{FIRST}op = None", *BUILT_IN]),
    "operation that is a number": (stage("{ op = 3 }"), [f"{FIRST}op = 3 is unknown", *BUILT_IN]),
    "operation that is a list": (stage('{ op = ["blur"] }'), [f"{FIRST}op = ['blur'] is unknown", *BUILT_IN]),
    "operation that is a table": (stage('{ op = { a = "blur" } }'), [f"{FIRST}op = {{'a': 'blur'}}", *BUILT_IN]),
    "unknown key of an operation": (
        stage('{ op = "rotate", angle = [1, 2] }'),
        [f"{FIRST}angle: unknown key", "degrees"],
    ),
    "key of an operation that has none": (stage('{ op = "smooth", radius = [1, 2] }'), [f"{FIRST}radius: unknown key"]),
    "unknown key of a stage": (
        stage('{ op = "blur" }', "propability = 0.5"),
        ["stage[0].propability: unknown key", "probability", "operation"],
    ),
    "unknown key at the top": ("seed = 3\n" + GOOD, ["seed: unknown key", "name", "description", "stage"]),
    "fault in a later stage": (
        GOOD + stage('{ op = "blur" }, { op = "blur", radius = [2, 1] }'),
        ["stage[1].operation[1].radius"],
    ),
    "range upside down": (
        stage('{ op = "rotate", degrees = [15, -15] }'),
        [f"{FIRST}degrees = [15, -15] is upside down", "low <= high", "-360", "360"],
    ),
    "range with nan": (stage('{ op = "shear", y = [nan, 1] }'), [f"{FIRST}y = [nan, 1];", "[low, high]"]),
    "range beyond float": (
        stage(f'{{ op = "blur", radius = [0, 1{"0" * 400}] }}'),
        [f"{FIRST}radius = [0, 1000", "<= 100"],
    ),
    "number for a flag": (
        stage('{ op = "sine", random_sign = 1 }'),
        [f"{FIRST}random_sign = 1; expected true or false"],
    ),
    "weight below 0": (stage('{ op = "blur", weight = -1 }'), [f"{FIRST}weight = -1; expected a number of 0 or more"]),
    "weight that is a string": (stage('{ op = "blur", weight = "1" }'), [f"{FIRST}weight = '1'; expected a number"]),
    "weight that is a bool": (stage('{ op = "blur", weight = true }'), [f"{FIRST}weight = True; expected a number"]),
    "weight that is nan": (stage('{ op = "blur", weight = nan }'), [f"{FIRST}weight = nan; expected a number"]),
    "weight that is inf": (stage('{ op = "blur", weight = inf }'), [f"{FIRST}weight = inf; expected a number"]),
    "weight beyond float": (
        stage(f'{{ op = "blur", weight = 1{"0" * 400} }}'),
        [f"{FIRST}weight = 1000", "expected a number"],
    ),
    "every weight 0": (
        stage('{ op = "blur", weight = 0 }, { op = "smooth", weight = 0.0 }'),
        ["stage[0].operation: every weight is 0; expected one above 0"],
    ),
    "probability above 1": (
        stage('{ op = "blur" }', "probability = 1.01"),
        ["stage[0].probability = 1.01; expected a number from 0 to 1"],
    ),
    "probability below 0": (stage('{ op = "blur" }', "probability = -0.1"), ["stage[0].probability = -0.1;"]),
    "probability that is a string": (
        stage('{ op = "blur" }', 'probability = "half"'),
        ["stage[0].probability = 'half'"],
    ),
    "probability that is a bool": (stage('{ op = "blur" }', "probability = true"), ["stage[0].probability = True"]),
    "probability that is nan": (stage('{ op = "blur" }', "probability = nan"), ["stage[0].probability = nan"]),
    "no stage": ('name = "empty"\n', ["stage: none found; expected at least one [[stage]]"]),
    "nothing at all": ("", ["stage: none found"]),
    "a list of no stages": ("stage = []\n", ["stage: none found"]),
    "stage that is a number": ("stage = 3\n", ["stage: expected [[stage]] tables"]),
    "stage that is one table": ("[stage]\noperation = []\n", ["stage: expected [[stage]] tables"]),
    "stages that are strings": ('stage = ["rotate"]\n', ["stage: expected [[stage]] tables"]),
    "no operations": ("[[stage]]\n", ["stage[0].operation: expected a list of tables", '{ op = "blur" }']),
    "empty operations": ("[[stage]]\noperation = []\n", ["stage[0].operation: expected a list of tables"]),
    "operations that are strings": ('[[stage]]\noperation = ["blur"]\n', ["stage[0].operation: expected a list"]),
    "operation that is one table": (
        '[[stage]]\noperation = { op = "blur" }\n',
        ["stage[0].operation: expected a list"],
    ),
    "name with a slash": ('name = "a/b"\n' + GOOD, ["name = 'a/b'; expected letters, digits"]),
    "empty name": ('name = ""\n' + GOOD, ["name = ''; expected letters, digits"]),
    "name that is a number": ("name = 5\n" + GOOD, ["name = 5; expected letters, digits"]),
    "not TOML": ("[[stage]\noperation = \n", ["not a TOML file", "line 1"]),
    "key twice": ('[[stage]]\noperation = [{ op = "blur", op = "blur" }]\n', ["not a TOML file"]),
    "custom operation of no module": (
        stage('{ op = "no_such_module_here:change" }'),
        [f"{FIRST}op = 'no_such_module_here:change' cannot be imported", "module:function"],
    ),
    "custom operation of an empty module": (stage('{ op = ":change" }'), [f"{FIRST}op = ':change'", "module:function"]),
    "custom operation of a relative module": (stage('{ op = ".a:b" }'), [f"{FIRST}op = '.a:b'", "module:function"]),
    "custom operation of no function": (
        stage('{ op = "math:no_such_function" }'),
        [f"{FIRST}op = 'math:no_such_function': module math has no 'no_such_function'"],
    ),
    "custom operation without a name": (stage('{ op = "math:" }'), [f"{FIRST}op = 'math:'"]),
    "custom operation that is no function": (
        stage('{ op = "pathlib:Path" }'),
        [f"{FIRST}op = 'pathlib:Path' is of type type; expected a Python function"],
    ),
    "custom operation written in C": (stage('{ op = "math:sin" }'), [f"{FIRST}op = 'math:sin'", "expected a Python"]),
    "custom operation with a key": (
        stage('{ op = "posixpath:join", strength = 3 }'),
        [f"{FIRST}strength: unknown key; expected no key"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_message_names_file_key_value_and_what_is_allowed(tmp_path: Path, fault: str) -> None:
    """A faulty file is refused with its path, the key, the value and what is allowed."""
    text, expected = FAULTS[fault]
    path = write(tmp_path, text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    for part in expected:
        assert part in message
    assert message.endswith((".", "?"))


def test_binary_file_is_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused as not TOML."""
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    assert refusal(path).startswith(f"{path}: not a TOML file: ")


@pytest.mark.parametrize("name", ["kanjy", "no/such/file.toml", ""])
def test_missing_file_is_refused(name: str) -> None:
    """A name that is neither a built-in recipe nor a file is refused with the names of the built-in recipes."""
    message = refusal(name)
    assert message.startswith(
        f"recipe {name!r} is neither a built-in recipe (handwriting, kanji, kanji-strong, photo) nor a file"
    )


def test_directory_is_refused(tmp_path: Path) -> None:
    """A directory is not a recipe."""
    assert "neither a built-in recipe" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def change(image, generator)\n    return image\n", "expected ':'"),
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
        ("limit = undefined_name\n", "undefined_name"),
        ("raise RuntimeError('no license')\n", "no license"),
        ("import math\nmath.no_such_thing\n", "no_such_thing"),
    ],
    ids=["syntax", "import", "name", "raises", "attribute"],
)
def test_module_that_cannot_be_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    """A module that raises while it is imported is refused with the reason."""
    monkeypatch.syspath_prepend(tmp_path)
    module = f"custom_recipe_module_{next(NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    importlib.invalidate_caches()
    path = write(tmp_path, stage(f'{{ op = "{module}:change" }}'))
    message = refusal(path)
    assert message.startswith(f"{path}: {FIRST}op = '{module}:change'")
    assert reason in message


# --- Settings ----------------------------------------------------------------------------------------------

RULES = {name: rules_of(BUILT_IN[name]) for name in BUILT_IN if name not in ("albumentations", "color", "flip")}
"""All operations, except those with required settings, with an old spelling, and with a combination that is refused."""


@st.composite
def good_operations(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(sorted(RULES)))
    given: dict[str, Any] = {"op": op}
    bounds, values = RULES[op]
    for key, rule in bounds.items():
        if draw(st.booleans()):
            whole = st.integers(math.ceil(rule.lowest), math.floor(rule.highest))
            number = whole if key == "boxes" else st.one_of(whole, st.floats(rule.lowest, rule.highest))
            given[key] = sorted([draw(number), draw(number)])
    for key, allowed in values.items():
        if draw(st.booleans()):
            given[key] = draw(st.sampled_from(allowed))
    if draw(st.booleans()):
        given["weight"] = draw(st.one_of(st.integers(1, 9), st.floats(0.1, 9)))
    return given


good_documents = st.fixed_dictionaries(
    {
        "name": st.just("good"),
        "stage": st.lists(
            st.fixed_dictionaries(
                {"operation": st.lists(good_operations(), min_size=1, max_size=3)},
                optional={"probability": st.one_of(st.integers(0, 1), st.floats(0, 1)), "name": st.text(max_size=5)},
            ),
            min_size=1,
            max_size=3,
        ),
    },
    optional={"description": st.text(max_size=5)},
)


@few
@given(good_documents)
def test_settings_survive_json(document: dict[str, Any]) -> None:
    """A recipe that is made from stored settings has the same stages and settings."""
    recipe = parse_recipe(document)
    stored = json.loads(json.dumps(recipe.settings()))
    assert stored == recipe.settings()
    again = recipe_from_settings("good", stored)
    assert again.settings() == recipe.settings()
    assert [one.choices for one in again.stages] == [one.choices for one in recipe.stages]
    assert [one.probability for one in again.stages] == [one.probability for one in recipe.stages]


@few
@given(good_documents)
def test_settings_contain_everything_that_was_given(document: dict[str, Any]) -> None:
    """Every value of a file is in the settings, under the same key."""
    for given_stage, stored in zip(document["stage"], parse_recipe(document).settings()["stages"], strict=True):
        assert stored["probability"] == given_stage.get("probability", 1)
        for given_operation, stored_operation in zip(given_stage["operation"], stored["operations"], strict=True):
            assert {key: stored_operation[key] for key in given_operation} == given_operation


@few
@given(good_documents, st.text(max_size=10))
def test_names_and_descriptions_are_not_settings(document: dict[str, Any], text: str) -> None:
    """The name and description of a recipe and the name of a stage are not in the settings."""
    renamed = {**document, "name": "renamed", "description": text}
    renamed["stage"] = [{**one, "name": text} for one in document["stage"]]
    assert parse_recipe(renamed).settings() == parse_recipe(document).settings()


# --- Any document at all -------------------------------------------------------------------------------

scalars = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2),
    st.sampled_from([10**400, -(10**400), float("nan"), float("inf"), 1e308, "", "rotate", ":", "math:", ".:", "a.b"]),
)
junk = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from("ab"), scalars, max_size=1))


@st.composite
def spoiled_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A valid document with an arbitrary value in one place, at any depth."""
    document = copy.deepcopy(draw(good_documents))
    at: Any = document
    while True:
        key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
            at[key] = draw(junk)
            return document
        at = at[key]


@settings(few, max_examples=300)
@given(spoiled_documents())
def test_any_document_is_a_recipe_or_a_value_error(document: dict[str, Any]) -> None:
    """Any TOML document becomes a recipe that survives JSON, or raises `ValueError`, never another exception."""
    recipe = None
    with contextlib.suppress(ValueError):
        recipe = parse_recipe(document)
    if recipe is not None:
        stored = json.loads(json.dumps(recipe.settings()))
        assert recipe_from_settings(recipe.name, stored).settings() == stored


def settings_text(document: str, directory: Path) -> str:
    return json.dumps(load_recipe(write(directory, document)).settings(), sort_keys=True)


def test_settings_do_not_depend_on_spelling(tmp_path: Path) -> None:
    """Integers or floats, explicit or omitted defaults, any order of keys: the settings are the same text."""
    short = stage('{ op = "rotate", degrees = [-15, 15] }, { op = "sine", strength = [0, 1] }', "probability = 1")
    full = stage(
        '{ weight = 1, degrees = [-15.0, 15.0], op = "rotate" }, '
        '{ per_column = false, random_sign = true, op = "sine", strength = [0.0, 1.0], weight = 1.0 }',
        "probability = 1.0",
    )
    assert settings_text(short, tmp_path) == settings_text(full, tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        stage('{ op = "rotate", degrees = [-15, 14] }, { op = "blur" }'),
        stage('{ op = "rotate" }, { op = "blur", weight = 2 }'),
        stage('{ op = "rotate" }, { op = "blur" }', "probability = 0.5"),
        stage('{ op = "blur" }, { op = "rotate" }'),
        stage('{ op = "rotate" }, { op = "blur" }, { op = "smooth", weight = 0 }'),
        stage('{ op = "rotate" }') + stage('{ op = "blur" }'),
    ],
)
def test_what_changes_a_pixel_changes_the_settings(tmp_path: Path, other: str) -> None:
    """Ranges, weights, probabilities, the order and the grouping of operations are in the settings."""
    base = stage('{ op = "rotate" }, { op = "blur" }')
    assert settings_text(other, tmp_path) != settings_text(base, tmp_path)


def test_settings_of_another_version_are_refused() -> None:
    """Settings that this version would write differently are not accepted as the same recipe."""
    stored = load_recipe("kanji").settings()
    del stored["stages"][0]["operations"][3]["per_column"]
    with pytest.raises(ValueError, match="the meaning of recipe kanji has changed since the settings were stored"):
        recipe_from_settings("kanji", stored)


def test_recipes_are_immutable() -> None:
    """A recipe and its operations cannot be changed, and its settings are a copy."""
    recipe = load_recipe("kanji")
    with pytest.raises(AttributeError):
        recipe.name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        recipe.stages[0].choices[0].operation.degrees = (0, 1)  # type: ignore[attr-defined]
    taken = recipe.settings()
    taken["stages"][0]["operations"][0]["degrees"][0] = 99
    assert recipe.settings()["stages"][0]["operations"][0]["degrees"] == [-15.0, 15.0]
    assert isinstance(recipe, Recipe)
