"""What `train` refuses before it imports Keras, which takes seconds; and runs that are named as sets are."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import epochbank
from conftest import glyphs
from epochbank.train.cli import main
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.training.run_directory import find_run


def call(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(autouse=True)
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start of Keras is an error, which a refusal must come before."""

    def fail(*_: object) -> str:
        raise AssertionError("Keras is started")

    for module in (
        "epochbank.train.training.backend",
        "epochbank.train.training.export",
        "epochbank.api.training_runs",
    ):
        monkeypatch.setattr(f"{module}.start_backend", fail)


def make_set(folder: Path, classes: int, **keywords: object) -> AugmentedSet:
    """Make a set of 60 images in `folder`/sets."""
    np.savez(folder / f"{classes}.npz", images=glyphs(60), labels=np.arange(60) % classes)
    return epochbank.generate(folder / f"{classes}.npz", epochs=1, jobs=1, sets=folder / "sets", **keywords)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run runs/kana in the working directory, on a set without a test split, with a model that is never loaded."""
    monkeypatch.chdir(tmp_path)
    made = make_set(tmp_path, 3, test=0.0)
    config = {
        "set": {"path": str(made.path), "fingerprint": made.description.fingerprint},
        "model": "cnn-small",
        "class_names": made.class_names,
        "shape": made.shape,
        "preprocessing": made.description.source["preprocessing"],
        "stored_epochs": [0],
    }
    directory = Path("runs/kana")
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.keras").touch()
    return directory


def refused(result: Result, *words: str) -> None:
    assert result.exit_code in (1, 2), result.output
    for word in words:
        assert word in result.stderr


# --- A set that no model can learn -----------------------------------------------------------------------------


def test_a_set_with_one_class_is_refused(tmp_path: Path) -> None:
    """Training and the benchmark of a model say what is missing and what the set is good for; it still streams."""
    made = make_set(tmp_path, 1, validation=0.0, test=0.0)
    for words in (("fit", made.path, "--run", tmp_path / "r"), ("bench", made.path, "--model", "cnn-small")):
        refused(call(*words), "has 1 class, '0'; a model needs at least 2", "augment preview", "batches()")
    assert not (tmp_path / "r").exists()
    assert call("bench", made.path, "--seconds", 0).exit_code == 0


def test_a_run_on_one_class_is_not_evaluated(run: Path, tmp_path: Path) -> None:
    made = make_set(tmp_path, 1, validation=0.0, test=0.0)
    config = json.loads((run / "config.json").read_text())
    config["set"] = {"path": str(made.path), "fingerprint": made.description.fingerprint}
    (run / "config.json").write_text(json.dumps(config))
    refused(call("evaluate", "kana", "--split", "validation"), "has 1 class")


# --- Batches of a small set ------------------------------------------------------------------------------------


def test_bench_takes_small_batches_of_a_small_set(tmp_path: Path) -> None:
    """The default is that of `train fit`; a batch that is too large for a model is refused before anything streams."""
    made = make_set(tmp_path, 3)
    with pytest.raises(AssertionError, match="Keras is started"):
        CliRunner().invoke(main, ["bench", str(made.path), "--model", "cnn-small", "--seconds", "0"],
                           catch_exceptions=False)  # fmt: skip
    result = call("bench", made.path, "--model", "cnn-small", "--batch-size", 256)
    count = made.num_images["train"]
    refused(result, f"{count} training images make no full batch of 256; expected at least 128. Use a smaller batch.")
    assert "ranks" not in result.stderr
    assert not result.stdout


def test_bench_says_how_long_it_takes() -> None:
    text = " ".join(call("bench", "--help").stdout.split())
    assert "Minimum seconds of each measurement" in text
    assert "5 to 25 rounds" in text
    assert "fewer for a small set" in text


# --- Runs by name ----------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_name(run: Path) -> None:
    """A path comes first, then a name in runs/; a suggestion is a path that exists."""
    assert find_run(Path("kana")) == find_run(run) == run
    for command in (("evaluate", "kanna"), ("predict", "kanna", "."), ("export", "kanna", "--out", "x"),
                    ("fit", "--resume", "kanna")):  # fmt: skip
        refused(call(*command), "not the name of one in runs/", "Did you mean `runs/kana`?")
    assert find_run(Path("runs/kana")).exists()


def test_resume_takes_a_name(run: Path) -> None:
    (run / "summary.json").write_text('{"test": null, "validation": null}')
    (run / "learning-curves.png").touch()
    refused(call("fit", "--resume", "kana"), "runs/kana is finished")


# --- Refusals that need no model -------------------------------------------------------------------------------


def test_a_missing_split_is_refused_at_once(run: Path) -> None:
    refused(call("evaluate", "kana"), "has no test split: it was made with --test 0")


def test_a_missing_model_is_refused_at_once(run: Path, tmp_path: Path) -> None:
    (run / "model.keras").unlink()
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for words in (("evaluate", "kana", "--split", "validation"), ("predict", "kana", "a.png"),
                  ("export", "kana", "--out", "out")):  # fmt: skip
        refused(call(*words), "runs/kana has no model.keras")


@pytest.mark.parametrize("content", ["[]", "no JSON", '{"classes": ["x", "y"]}'])
def test_the_classes_of_another_model_are_refused_at_once(run: Path, content: str) -> None:
    Path("exported").mkdir()
    Path("exported/classes.json").write_text(content)
    refused(call("export", "kana", "--out", "exported/model"), "classes.json belongs to another model")


def test_the_classes_of_the_same_model_are_not_refused(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    same = {"classes": config["class_names"], "outputs": "logits",
            **{key: config[key] for key in ("shape", "preprocessing")}}  # fmt: skip
    Path("classes.json").write_text(json.dumps(same))
    with pytest.raises(AssertionError, match="Keras is started"):
        epochbank.export("kana", "model")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data.zip", "is an archive; `train predict` takes image files, and folders of images. Unpack it"),
        ("data.tar.gz", "is an archive"),
        ("labels.csv", "is not an image but a .csv file; `train predict` takes image files"),
        ("gone.png", "does not exist; expected a file or a folder"),
    ],
)
def test_predict_says_what_it_takes(run: Path, name: str, message: str) -> None:
    if name != "gone.png":
        Path(name).write_bytes(b"data")
    refused(call("predict", "kana", name), f"{name} {message}")
