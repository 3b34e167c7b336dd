"""The commands that `inspect` and `plan` end with: they repeat what was given, suit the images, and can be pasted."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.generation.advice import recipe_notes
from epochbank.augment.shared.command_words import option_words


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def augment(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def suggested(*words: object) -> str:
    """Return the command after `Next: `, which is the last line and the same in JSON."""
    result = augment(*words, "--jobs", 1)
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert last.startswith("Next: ")
    command = last.removeprefix("Next: ")
    assert json.loads(augment(*words, "--jobs", 1, "--json").stdout)["next"] == command
    return command


def write_photographs(directory: str = "my photos", height: int = 30, width: int = 60) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        path = Path(directory, "ab"[number % 2], f"shot {number % 6}-{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(path)


def write_characters(side: int) -> None:
    np.savez("a.npz", images=glyphs(60, (side, side, 1)), labels=np.arange(60) % 3)


def test_photographs_suggest_photo_and_crop() -> None:
    """Both commands suggest `--recipe photo --fit crop`, with the options that were given, quoted for a shell."""
    write_photographs()
    pattern = r"shot (\d)-"
    given = f"--group-pattern '{pattern}'"
    assert suggested("inspect", "my photos", "--group-pattern", pattern) == (
        f"augment preview 'my photos' {given} --fit crop --recipe photo"
    )
    command = suggested("plan", "my photos", "--group-pattern", pattern, "--size", "16x16", "--epochs", 3)
    words = shlex.split(command)
    assert words[:3] == ["augment", "run", "my photos"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--recipe": "photo", "--epochs": "3", "--group-pattern": pattern, "--size": "16x16", "--fit": "crop",
        "--jobs": "1",
    }  # fmt: skip


def test_the_suggested_command_runs() -> None:
    """The command that `plan` suggests can be pasted: it makes a set, which is to be trained on then."""
    write_photographs()
    command = suggested(
        "plan", "my photos", "--size", "16x16", "--epochs", 1, "--per-class", "5:9", "--sets", "my sets"
    )
    result = augment(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    (made,) = (path.parent for path in Path("my sets").glob("*/set.json"))
    assert suggested("plan", "my photos", *shlex.split(command)[3:]) == f"train fit '{made}'"


@pytest.mark.parametrize(("side", "recipe"), [(28, " --recipe handwriting"), (48, "")])
def test_characters_suggest_a_recipe_for_characters(side: int, recipe: str) -> None:
    """Gray images get `handwriting` if they are too small for the default recipe, `kanji`."""
    write_characters(side)
    preview = "augment preview a.npz --recipe " + (recipe.split()[-1] if recipe else "kanji")
    assert suggested("inspect", "a.npz") == preview
    assert suggested("plan", "a.npz", "--epochs", 2) == f"augment run a.npz{recipe} --epochs 2 --jobs 1"


def test_given_options_are_kept() -> None:
    """A recipe and a fit that the user chose are not replaced."""
    write_photographs()
    Path("mine.toml").write_text('[[stage]]\noperation = [{ op = "flip" }]\n')
    command = suggested("plan", "my photos", "--recipe", "mine.toml", "--fit", "stretch", "--seed", 5, "--test", 0.2)
    words = "augment run 'my photos' --recipe mine.toml --seed 5 --fit stretch --test 0.2 --jobs 1"
    assert sorted(shlex.split(command)) == sorted(shlex.split(words))


def test_bad_images_suggest_to_skip_them() -> None:
    """If images cannot be used, the next command leaves them out."""
    write_photographs("photos", 30, 30)
    Path("photos/a/broken.png").write_bytes(b"no image")
    assert "--on-bad skip" in suggested("inspect", "photos")
    assert "--on-bad skip" in suggested("plan", "photos")


def test_an_imported_source_has_a_suggestion_too() -> None:
    """The plan of a source file ends with a command as well."""
    write_photographs()
    augment("import", "my photos", "photos.h5", "--size", "16x16")
    assert suggested("plan", "photos.h5") == "augment run photos.h5 --recipe photo --jobs 1"


def test_color_images_with_a_recipe_for_characters_are_noted() -> None:
    """Plan and preview say that `photo` suits photographs."""
    images = glyphs(6, (48, 48, 3))
    assert recipe_notes(load_recipe("handwriting"), images) == [
        "the images are RGB, and recipe handwriting is for characters: --recipe photo suits photographs"
    ]
    assert recipe_notes(load_recipe("photo"), images) == []


def test_a_source_file_refuses_options_of_a_source() -> None:
    """`inspect` names exactly the options that were given."""
    write_characters(48)
    augment("import", "a.npz", "a.h5")
    result = augment("inspect", "a.h5", "--labels-key", "y", "--split", "fractions", "--value-range", "255")
    assert result.exit_code == 2
    assert "such as --split and --labels-key and --value-range, apply only when it is imported" in result.output


def test_options_as_words() -> None:
    """Defaults and None are left out; pairs and paths are written as on the command line."""
    values = {"size": (32, 48), "per_class": (5, 10), "sets": Path("s"), "on_bad": "skip", "limit": None, "seed": 0}
    assert option_words(values, {"sets": "sets", "seed": 0, "on_bad": "refuse"}) == [
        "--size", "32x48", "--per-class", "5:10", "--sets", "s", "--on-bad", "skip",
    ]  # fmt: skip
