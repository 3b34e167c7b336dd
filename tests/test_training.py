"""Training, end to end and through Keras as it is."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers
from PIL import Image

from epochbank import open_set
from epochbank.augment.cli import main as augment
from epochbank.train.cli import main as train
from epochbank.train.streaming.batches import suitable_batch_size
from epochbank.train.training.evaluate import evaluate
from epochbank.train.training.models import BUILT_IN, build_model, compile_model, gives_probabilities


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a few hundred digits, 32 x 32, two epochs."""
    sets = tmp_path_factory.mktemp("digits")
    words = ["--limit", "400", "--size", "32x32", "--epochs", "2", "--jobs", "1", "--sets", str(sets)]
    made = CliRunner().invoke(augment, ["run", "digits", *words])
    assert made.exit_code == 0, made.output
    return next(sets.glob("digits-*"))


@pytest.fixture(scope="module")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of three epochs, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "three"
    words = ["--epochs", "3", "--batch-size", "32", "--run", str(directory)]
    fitted = CliRunner().invoke(train, ["fit", str(digits), *words])
    assert fitted.exit_code == 0, fitted.output
    return directory, fitted.output


def test_a_run_directory_says_what_was_trained_and_how_it_went(digits: Path, run: tuple[Path, str]) -> None:
    """Configuration with the set's fingerprint, metrics per epoch, model, pictures, and a summary."""
    directory, told = run
    info = json.loads((digits / "set.json").read_text())
    summary = json.loads((directory / "summary.json").read_text())
    config = json.loads((directory / "config.json").read_text())
    assert summary["set"]["fingerprint"] == config["set"]["fingerprint"] == info["fingerprint"]
    for part in ("test", "validation"):
        assert set(summary[part]) == {"accuracy", "loss", "images"}
        assert summary[part]["images"] == info["images"][part]
    assert summary["epochs"] == 3
    assert summary["seconds"] > 0
    assert (config["batch_size"], config["mix"], config["model"]) == (32, 0.5, "cnn-small")
    with open(directory / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"accuracy", "loss", "val_accuracy", "val_loss"} <= set(rows[0])
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])
    for name in ("learning-curves.png", "mistakes.png", "confusions.png"):
        assert str(directory / name) in told
        with Image.open(directory / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors()) > 10
    assert f"{100 * summary['test']['accuracy']:.2f} %" in told


def test_evaluate_agrees_with_the_summary_and_with_keras(digits: Path, run: tuple[Path, str]) -> None:
    """`train evaluate` in other batches gives the summary's figures, and Keras' own evaluation does too."""
    directory, _ = run
    summary = json.loads((directory / "summary.json").read_text())
    bank = open_set(digits)
    model = keras.saving.load_model(directory / "model.keras")
    for part in ("test", "validation"):
        words = ["evaluate", str(directory), "--split", part, "--batch-size", "7", "--json"]
        judged = json.loads(CliRunner().invoke(train, words).stdout)
        assert judged["accuracy"] == summary[part]["accuracy"]
        assert judged["loss"] == pytest.approx(summary[part]["loss"], rel=1e-4)
        by_keras = model.evaluate(bank.part(part, 16), verbose=0, return_dict=True)
        assert judged["accuracy"] == pytest.approx(by_keras["accuracy"], abs=1e-6)
        assert judged["loss"] == pytest.approx(by_keras["loss"], rel=1e-3)


def test_evaluation_finds_the_mistakes(digits: Path) -> None:
    """Against a model whose answers are known: counts, confusions, and the most confident mistakes first."""
    bank = open_set(digits)
    pictures = keras.Input(bank.shape, dtype="uint8")
    # Says 3 whatever it sees, the more surely the brighter the picture.
    bright = layers.GlobalAveragePooling2D()(layers.Rescaling(1.0)(pictures))
    logits = layers.Dense(10, use_bias=False, kernel_initializer="zeros")(bright)
    model = keras.Model(pictures, logits)
    weights = np.zeros((1, 10))
    weights[0, 3] = 0.05
    model.set_weights([weights])
    result = evaluate(model, bank.test(16), 10)
    labels = np.concatenate([bank.test(16)[number][1] for number in range(len(bank.test(16)))])
    assert result.images == len(labels)
    assert result.accuracy == np.mean(labels == 3)
    assert result.confusions == {(label, 3): int(np.sum(labels == label)) for label in set(labels.tolist()) - {3}}
    brightness = [mistake.picture.mean() for mistake in result.worst]
    assert brightness == sorted(brightness, reverse=True)
    assert all(mistake.predicted == 3 != mistake.true for mistake in result.worst)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@pytest.mark.parametrize(("shape", "classes"), [((64, 64, 1), 10), ((28, 28, 3), 7), ((5, 9, 1), 2)])
def test_models_take_any_picture(name: str, shape: tuple[int, int, int], classes: int) -> None:
    """Both models: any shape, grey and RGB, any number of classes; uint8 in, float32 logits out; they can learn."""
    model = build_model(name, shape, classes)
    pictures = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    assert not gives_probabilities(model)
    compile_model(model, learning_rate=1e-3, steps=10)
    outputs = np.asarray(model.predict_on_batch(pictures))
    assert (outputs.shape, outputs.dtype) == ((4, classes), np.float32)
    before = model.test_on_batch(pictures, np.zeros(4, np.int32))[0]
    for _ in range(8):
        model.train_on_batch(pictures, np.zeros(4, np.int32))
    assert np.isfinite(before)


def test_the_number_of_parameters_is_pinned() -> None:
    """A change of architecture is a change to be seen: models are saved and compared by people."""
    counts = {name: build(shape=(64, 64, 1), classes=1000).count_params() for name, build in BUILT_IN.items()}
    assert counts == {"cnn-small": 226_872, "cnn": 3_001_992}


def test_a_model_with_a_softmax_is_trained_on_probabilities(tmp_path: Path) -> None:
    """The loss knows whether outputs are logits."""
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    flat = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    assert gives_probabilities(keras.Model(inputs, layers.Dense(3, activation="softmax")(flat)))
    assert gives_probabilities(keras.Model(inputs, layers.Softmax()(layers.Dense(3)(flat))))
    assert not gives_probabilities(keras.Model(inputs, layers.Dense(3)(flat)))


def test_a_model_of_ones_own_is_trained_saved_and_judged(digits: Path, tmp_path: Path, monkeypatch) -> None:
    """`--model module:function` with a softmax: fit, then evaluate, from the directory that holds the module."""
    (tmp_path / "my_models.py").write_text(
        "import keras\n"
        "from keras import layers\n\n"
        "def tiny(shape, classes):\n"
        "    return keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(),\n"
        "                             layers.Dense(classes, activation='softmax')])\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["--model", "my_models:tiny", "--epochs", "1", "--batch-size", "64", "--run", "mine"]
    fitted = CliRunner().invoke(train, ["fit", str(digits), *words])
    assert fitted.exit_code == 0, fitted.output
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    judged = json.loads(CliRunner().invoke(train, ["evaluate", "mine", "--json"]).stdout)
    assert judged["accuracy"] == summary["test"]["accuracy"] > 0.3


def test_bench_reports_stream_and_steps(digits: Path) -> None:
    """`train bench --model` prints the rate of the stream and the step on it beside a cached batch."""
    words = ["--seconds", "0", "--steps", "2", "--model", "cnn-small", "--batch-size", "32"]
    measured = CliRunner().invoke(train, ["bench", str(digits), *words])
    assert measured.exit_code == 0, measured.output
    for word in ("pictures/s", "first after", "on one cached batch", "waited"):
        assert word in measured.output


def test_a_lambda_that_keras_cannot_load_costs_no_training(digits: Path, tmp_path: Path, monkeypatch) -> None:
    """A model with a lambda, as one rescales in a hurry: trained, judged, and judged again later."""
    (tmp_path / "lambda_models.py").write_text(
        "import keras\n"
        "from keras import layers\n\n"
        "class Own(layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x * 1.0\n\n"
        "def build(shape, classes):\n"
        "    return keras.Sequential([keras.Input(shape), layers.Lambda(lambda x: x / 255.0), Own(),\n"
        "                             layers.Flatten(), layers.Dense(classes)])\n"
    )
    monkeypatch.chdir(tmp_path)
    fitted = CliRunner().invoke(
        train, ["fit", str(digits), "--model", "lambda_models:build", "--epochs", "1", "--run", "r"]
    )
    assert fitted.exit_code == 0, fitted.output
    judged = json.loads(CliRunner().invoke(train, ["evaluate", "r", "--json"]).stdout.splitlines()[-1])
    assert judged["accuracy"] == json.loads((tmp_path / "r" / "summary.json").read_text())["test"]["accuracy"]


def test_divergence_is_told(digits: Path, tmp_path: Path) -> None:
    """A loss that is no number ends the training with a sentence, not with pictures of nothing."""
    words = ["--learning-rate", "1e30", "--epochs", "3", "--run", str(tmp_path / "r")]
    fitted = CliRunner().invoke(train, ["fit", str(digits), *words])
    assert fitted.exit_code == 1, fitted.output
    assert "training diverged. Train again with a lower --learning-rate (it was 1e+30)" in fitted.output
    assert not (tmp_path / "r" / "summary.json").exists()


def test_mixed_precision_trains_and_is_judged_alike(digits: Path, tmp_path: Path) -> None:
    """Under a mixed policy: logits stay float32, and `train evaluate` agrees with the summary."""
    run = tmp_path / "r"
    try:
        words = ["--precision", "mixed_bfloat16", "--epochs", "1", "--run", str(run)]
        fitted = CliRunner().invoke(train, ["fit", str(digits), *words])
        assert fitted.exit_code == 0, fitted.output
    finally:
        keras.config.set_dtype_policy("float32")
    judged = json.loads(CliRunner().invoke(train, ["evaluate", str(run), "--json"]).stdout.splitlines()[-1])
    summary = json.loads((run / "summary.json").read_text())
    assert judged["accuracy"] == pytest.approx(summary["test"]["accuracy"], abs=0.06)


def test_without_held_out_parts_there_is_nothing_to_judge(tmp_path: Path) -> None:
    """A set made with --validation 0 --test 0 trains; the summary says null, and evaluate says why it cannot."""
    sets, run = tmp_path / "sets", tmp_path / "r"
    words = ["--validation", "0", "--test", "0", "--limit", "200", "--size", "16", "--epochs", "1"]
    made = CliRunner().invoke(augment, ["run", "digits", "--sets", str(sets), "--jobs", "1", *words])
    assert made.exit_code == 0, made.output
    fitted = CliRunner().invoke(train, ["fit", "--sets", str(sets), "--epochs", "1", "--run", str(run)])
    assert fitted.exit_code == 0, fitted.output
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["test"], summary["validation"]) == (None, None)
    refused = CliRunner().invoke(train, ["evaluate", str(run)])
    assert refused.exit_code == 1
    assert "has no test part: it was made with --test 0" in refused.output


@pytest.mark.parametrize(
    ("images", "mix", "size"), [(1439, 0.5, 64), (10**6, 0.5, 256), (30, 0.5, 16), (20_000, 0, 256)]
)
def test_small_sets_get_small_batches(images: int, mix: float, size: int) -> None:
    """The batch size that nobody named: 256, or what leaves a small set some forty steps an epoch."""
    assert suitable_batch_size(images, mix) == size
