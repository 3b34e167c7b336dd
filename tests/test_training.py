"""`train fit`, `train evaluate` and `train bench`, end to end."""

import csv
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from keras import layers
from PIL import Image

from epochbank import open_set
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.streaming.batches import suitable_batch_size
from epochbank.train.training.backend import start_backend
from epochbank.train.training.evaluate import evaluate
from epochbank.train.training.models import BUILT_IN, build_model, check_parameters, compile_model
from epochbank.train.training.outputs import output_kind


def call(*words: object) -> Result:
    """Run `train` in this process."""
    return CliRunner().invoke(train, [str(word) for word in words])


def fit(*words: object) -> str:
    """Run `train fit` in this process, and return its output."""
    result = call("fit", *words)
    assert result.exit_code == 0, result.output
    return result.output


def evaluate_json(*words: object) -> dict:
    """Run `train evaluate --json` in this process."""
    return json.loads(call("evaluate", *words, "--json").stdout.splitlines()[-1])


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def make_set(sets: Path, *words: str) -> Path:
    """Make a set of a few digits; return its directory."""
    words = ("run", "digits", "--jobs", "1", "--sets", str(sets), *words)
    result = CliRunner().invoke(augment, words)
    assert result.exit_code == 0, result.output
    return next(sets.glob("digits-*"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a few hundred digits, 32 x 32, with two epochs."""
    return make_set(tmp_path_factory.mktemp("digits"), "--limit", "400", "--size", "32x32", "--epochs", "2")


@pytest.fixture(scope="module")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of three epochs, and its output."""
    directory = tmp_path_factory.mktemp("runs") / "three"
    return directory, fit(digits, "--epochs", 3, "--batch-size", 32, "--run", directory)


def test_run_directory_holds_config_metrics_model_plots_and_summary(digits: Path, run: tuple[Path, str]) -> None:
    directory, output = run
    info = json.loads((digits / "set.json").read_text())
    summary = summary_of(directory)
    config = json.loads((directory / "config.json").read_text())
    assert summary["set"]["fingerprint"] == config["set"]["fingerprint"] == info["fingerprint"]
    for split in ("test", "validation"):
        assert set(summary[split]) == {"accuracy", "loss", "images"}
        assert summary[split]["images"] == info["images"][split]
    assert summary["epochs"] == 3
    assert summary["seconds"] > 0
    assert (config["batch_size"], config["originals"], config["model"]) == (32, 0.5, "cnn-small")
    with open(directory / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"accuracy", "loss", "val_accuracy", "val_loss"} <= set(rows[0])
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])
    for name in ("learning-curves.png", "mistakes.png", "confusions.png"):
        assert str(directory / name) in output
        with Image.open(directory / name) as image:
            assert min(image.size) > 200
            assert len(image.convert("L").getcolors()) > 10
    assert f"{100 * summary['test']['accuracy']:.2f} %" in output


def test_evaluate_agrees_with_the_summary_and_with_keras(digits: Path, run: tuple[Path, str]) -> None:
    """`train evaluate` with another batch size and Keras' `evaluate` give the figures of the summary."""
    directory, _ = run
    summary = summary_of(directory)
    stored_set = open_set(digits)
    model = keras.saving.load_model(directory / "model.keras")
    for split in ("test", "validation"):
        evaluated = evaluate_json(directory, "--split", split, "--batch-size", 7)
        assert evaluated["accuracy"] == summary[split]["accuracy"]
        assert evaluated["loss"] == pytest.approx(summary[split]["loss"], rel=1e-4)
        by_keras = model.evaluate(stored_set.split(split, 16), verbose=0, return_dict=True)
        assert evaluated["accuracy"] == pytest.approx(by_keras["accuracy"], abs=1e-6)
        assert evaluated["loss"] == pytest.approx(by_keras["loss"], rel=1e-3)


def test_evaluation_finds_the_mistakes(digits: Path) -> None:
    """A model whose outputs are known: counts, confusions, and the most confident mistakes first."""
    stored_set = open_set(digits)
    images = keras.Input(stored_set.shape, dtype="uint8")
    # It predicts 3 for every image, with a confidence that grows with the brightness.
    bright = layers.GlobalAveragePooling2D()(layers.Rescaling(1.0)(images))
    logits = layers.Dense(10, use_bias=False, kernel_initializer="zeros")(bright)
    model = keras.Model(images, logits)
    weights = np.zeros((1, 10))
    weights[0, 3] = 0.05
    model.set_weights([weights])
    result = evaluate(model, stored_set.test(16), 10)
    labels = np.concatenate([stored_set.test(16)[number][1] for number in range(len(stored_set.test(16)))])
    assert result.num_images == len(labels)
    assert result.accuracy == np.mean(labels == 3)
    assert result.confusions == {(label, 3): int(np.sum(labels == label)) for label in set(labels.tolist()) - {3}}
    brightness = [mistake.image.mean() for mistake in result.worst]
    assert brightness == sorted(brightness, reverse=True)
    assert all(mistake.predicted == 3 != mistake.true for mistake in result.worst)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        pytest.param((64, 64, 1), 10, marks=pytest.mark.long),
        pytest.param((28, 28, 3), 7, marks=pytest.mark.long),
        ((5, 9, 1), 2),
    ],
)
def test_built_in_models_take_any_image(name: str, shape: tuple[int, int, int], classes: int) -> None:
    """Any shape, gray and RGB, any number of classes: uint8 in, float32 logits out, and the model trains."""
    model = build_model(name, shape, classes)
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    assert output_kind(model, images) == "logits"
    compile_model(model, "logits", learning_rate=1e-3, steps=10)
    model.run_eagerly = True  # Compiling three functions would take longer than calling them.
    outputs = np.asarray(model.predict_on_batch(images))
    assert (outputs.shape, outputs.dtype) == ((4, classes), np.float32)
    before = model.test_on_batch(images, np.zeros(4, np.int32))[0]
    for _ in range(8):
        model.train_on_batch(images, np.zeros(4, np.int32))
    assert np.isfinite(before)


@pytest.mark.parametrize(
    ("machine", "given", "used"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("arm64", None, None), ("x86_64", "0", "0")],
)
def test_tensorflow_computes_by_onednn_on_x86(
    monkeypatch: pytest.MonkeyPatch, machine: str, given: str | None, used: str | None
) -> None:
    """Unless the user decides otherwise."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given or "")
    if given is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    start_backend()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == used


def test_a_run_of_an_earlier_model_of_the_same_name_is_refused() -> None:
    """The message says so, before weights that do not fit look like damage."""
    model = BUILT_IN["cnn-small"]((16, 16, 1), 3)
    with pytest.raises(
        EpochbankError, match=r"r was trained with the cnn-small of another version .* has 5 parameters"
    ):
        check_parameters(model, {"model": "cnn-small", "parameters": 5}, Path("r"))
    for config in ({"model": "own:cnn", "parameters": 5}, {"model": "cnn-small", "parameters": model.count_params()}):
        check_parameters(model, config, Path("r"))


def test_number_of_parameters_is_pinned() -> None:
    """The architectures of the built-in models do not change unnoticed: people save and compare them."""
    counts = {name: build(shape=(64, 64, 1), classes=1000).count_params() for name, build in BUILT_IN.items()}
    assert counts == {"cnn-small": 226_872, "cnn": 2_798_700}


SOFTMAX_MODEL = """
import keras
from keras import layers

def wide(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),
                             layers.Dense(classes, activation="softmax")])
"""

MODEL_WITH_LAMBDA = """
import keras
from keras import layers

class Identity(layers.Layer):
    def call(self, x):
        return x * 1.0

def build(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Lambda(lambda x: x / 255.0), Identity(),
                             layers.Flatten(), layers.Dense(classes)])
"""


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("my_models:wide", SOFTMAX_MODEL),
        pytest.param("lambda_models:build", MODEL_WITH_LAMBDA, marks=pytest.mark.long),
    ],
)
def test_custom_model_is_trained_and_evaluated(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, source: str
) -> None:
    """`--model module:function` with the module in the working directory, even if Keras cannot load its layers."""
    (tmp_path / f"{model.split(':')[0]}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    fit(digits, "--model", model, "--epochs", 1, "--batch-size", 64, "--run", "mine")
    assert evaluate_json("mine", "--trust")["accuracy"] == summary_of(Path("mine"))["test"]["accuracy"] > 0.3


@pytest.mark.long
def test_modules_in_the_working_directory_shadow_nothing(digits: Path, tmp_path: Path) -> None:
    """A custom model in `train.py` is found, next to modules named like those that epochbank and the model import."""
    (tmp_path / "train.py").write_text("import wave\n" + SOFTMAX_MODEL)
    for name in ("wave", "matplotlib", "keras"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('shadowed')")
    # -P: Python itself puts nothing on sys.path, as when the installed command starts.
    command = [sys.executable, "-P", "-m", "epochbank.train", "fit", str(digits), "--model", "train:wide"]
    command += ["--epochs", "1", "--run", "r"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "mistakes.png").exists()


def test_a_misspelled_model_gets_a_suggestion(digits: Path, tmp_path: Path) -> None:
    result = call("fit", digits, "--model", "cnn_small", "--run", tmp_path / "r")
    assert result.exit_code == 2
    assert "model 'cnn_small' is unknown; expected cnn-small, cnn, or module:function" in result.stderr
    assert "Did you mean `cnn-small`?" in result.stderr


@pytest.mark.long
def test_bench_reports_stream_and_steps(digits: Path) -> None:
    """`train bench --model` prints the rate of the stream, and the time of a step on it and on a cached batch."""
    words = ("--seconds", 0, "--steps", 2, "--model", "cnn-small", "--batch-size", 32)
    measured = call("bench", digits, *words)
    assert measured.exit_code == 0, measured.output
    for word in ("images/s", "first after", "on one cached batch", "waited"):
        assert word in measured.output


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("--mix 0.25", "--originals 0.25", "--mix is now called --originals"),
        ("--mix=1", "--originals=1", "--mix is now called --originals"),
        ("--shard 1/4", "--rank 1 --world-size 4", "--shard is now called --rank and --world-size"),
        ("--shard=0/2", "--rank 0 --world-size 2", "--shard is now called --rank and --world-size"),
        ("--shuffle pictures", "--shuffle images", "pictures is now called images"),
    ],
)
def test_old_spellings_work_and_print_the_new_name(digits: Path, old: str, new: str, named: str) -> None:
    """A renamed option has the same effect under its old name, which help does not show."""
    shown = []
    for words in (old, new):
        measured = call("bench", digits, "--seconds", 0, "--batch-size", 32, *words.split())
        assert measured.exit_code == 0, measured.output
        assert (named in measured.stderr) == (words == old)
        shown += re.findall(r"over ([\d,]+) images", measured.stdout)
    assert shown[0] == shown[1]
    for command in ("fit", "bench"):
        text = call(command, "--help").stdout
        assert not re.search(r"--mix\b|--shard|pictures", text)
        assert all(option in text for option in ("--originals", "--rank", "--world-size", "[images|chunks|shards]"))


@pytest.mark.long
def test_divergence_ends_with_a_message(digits: Path, tmp_path: Path) -> None:
    """A loss that is not finite ends the training without a summary or plots."""
    fitted = call("fit", digits, "--learning-rate", 1e30, "--epochs", 3, "--run", tmp_path / "r")
    assert fitted.exit_code == 1, fitted.output
    assert "training diverged. Train again with a lower --learning-rate (it was 1e+30)" in fitted.output
    assert not (tmp_path / "r" / "summary.json").exists()
    assert not list((tmp_path / "r").glob("*.png"))


@pytest.mark.long
def test_mixed_precision_is_evaluated_alike(digits: Path, tmp_path: Path) -> None:
    """A run with a mixed policy has float32 logits, and `train evaluate` agrees with its summary."""
    run = tmp_path / "r"
    try:
        fit(digits, "--precision", "mixed_bfloat16", "--epochs", 1, "--run", run)
    finally:
        keras.config.set_dtype_policy("float32")
    assert evaluate_json(run)["accuracy"] == pytest.approx(summary_of(run)["test"]["accuracy"], abs=0.06)


def test_without_held_out_splits_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    """A set made with --validation 0 --test 0 trains; the summary has null, and evaluate says why it cannot run."""
    sets, run = tmp_path / "sets", tmp_path / "r"
    make_set(sets, "--validation", "0", "--test", "0", "--limit", "200", "--size", "16", "--epochs", "1")
    fit("--sets", sets, "--epochs", 1, "--run", run)
    assert (summary_of(run)["test"], summary_of(run)["validation"]) == (None, None)
    refused = call("evaluate", run)
    assert refused.exit_code == 1
    assert "has no test split: it was made with --test 0" in refused.output


@pytest.mark.parametrize(
    ("num_images", "originals", "size"), [(1439, 0.5, 64), (10**6, 0.5, 256), (30, 0.5, 16), (20_000, 0, 256)]
)
def test_small_sets_get_small_batches(num_images: int, originals: float, size: int) -> None:
    """The default batch size is 256, or leaves a small set about forty steps per epoch."""
    assert suitable_batch_size(num_images, originals) == size
