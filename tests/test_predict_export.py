"""`train predict` and `train export`: a trained model is used on other images, and without epochbank."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

import epochbank
import epochbank.train.cli
from epochbank.augment.ingest.preprocess import Preprocessing
from epochbank.augment.ingest.stored_preprocessing import image_files, prepared, stored_preprocessing
from epochbank.train.training.export import FORMATS, check_export


def call(*words: object) -> Result:
    return CliRunner().invoke(epochbank.train.cli.main, list(map(str, words)))


def bar(upright: bool, shift: int) -> Image.Image:
    """Return a dark bar on white, upright or lying, 20 x 30 pixels."""
    pixels = np.full((30, 20), 255, np.uint8)
    if upright:
        pixels[2:28, 8 + shift : 11 + shift] = 20
    else:
        pixels[14 + shift : 17 + shift, 2:18] = 20
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on upright and lying bars, which the import inverts; its set no longer exists."""
    folder = tmp_path_factory.mktemp("bars")
    for number in range(120):
        path = folder / "bars" / ("lying", "upright")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        bar(number % 2 == 1, number // 2 % 5 - 2).save(path)
    made = epochbank.generate(folder / "bars", epochs=1, size=(16, 16), jobs=1, sets=folder / "sets")
    result = call("fit", made.path, "--run", folder / "run", "--epochs", 30, "--patience", 0, "--originals", 1)
    assert result.exit_code == 0, result.output
    made.path.rename(folder / "gone")
    return folder / "run"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with an upright bar, one in color in a subfolder, a broken file, and one that is no image."""
    (tmp_path / "images" / "more").mkdir(parents=True)
    bar(True, 1).save(tmp_path / "images" / "upright.png")
    bar(False, -1).convert("RGB").resize((200, 300)).save(tmp_path / "images" / "more" / "lying.jpg")
    (tmp_path / "images" / "notes.txt").write_text("notes")
    return tmp_path / "images"


@pytest.mark.long
def test_predict_prepares_images_as_the_set_was(run: Path, images: Path) -> None:
    """Size, color and inversion are those of the import; folders are searched; probabilities sum to 1."""
    found = list(epochbank.predict(run, [images, bar(True, 0)]))
    assert [(one["image"], one["classes"][0]["class"]) for one in found] == [
        (str(images / "upright.png"), "upright"), (str(images / "more" / "lying.jpg"), "lying"), (1, "upright"),
    ]  # fmt: skip
    for one in found:
        probabilities = [each["probability"] for each in one["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)
        assert probabilities[0] > 0.9


def test_batches_do_not_change_predictions(run: Path, images: Path) -> None:
    one, other = (list(epochbank.predict(run, [images], top=1, batch_size=size)) for size in (1, 64))
    for a, b in zip(one, other, strict=True):
        assert a["image"] == b["image"]
        assert [each["class"] for each in a["classes"]] == [each["class"] for each in b["classes"]]
        assert a["classes"][0]["probability"] == pytest.approx(b["classes"][0]["probability"], abs=1e-5)


def test_predict_prints_a_table_and_json(run: Path, images: Path) -> None:
    """A broken file is reported in its place, the others are classified, and the exit code is 1."""
    (images / "broken.png").write_bytes(b"no image")
    table = call("predict", run, images)
    assert table.exit_code == 1
    lines = table.stdout.splitlines()
    assert lines[0].startswith(f"{images}/broken.png: cannot be read")
    assert lines[1] == f"{images}/upright.png"
    assert lines[2].split()[1:] == ["%", "upright"]
    assert "1 image cannot be used" in table.stderr
    printed = [json.loads(line) for line in call("predict", run, images, "--json", "--top", 1).stdout.splitlines()]
    assert set(printed[0]) == {"image", "error"}
    assert [len(one["classes"]) for one in printed[1:]] == [1, 1]


def test_images_that_do_not_exist(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in ((tmp_path / "gone.png", "does not exist"), (tmp_path / "empty", "contains no images")):
        with pytest.raises(epochbank.EpochbankError, match=message):
            list(epochbank.predict(run, [path]))


@pytest.mark.parametrize("name", ["savedmodel", "tflite"])
def test_an_exported_model_predicts_the_same(run: Path, images: Path, tmp_path: Path, name: str) -> None:
    """TensorFlow alone computes the same logits, and classes.json says how to use the model."""
    import tensorflow as tf

    out = tmp_path / "exported" / f"model{FORMATS[name].suffix}"
    assert epochbank.export(run, out, name) == [out, out.parent / "classes.json"]
    about = json.loads((out.parent / "classes.json").read_text(encoding="utf-8"))
    assert (about["classes"], about["outputs"], about["shape"]) == (["lying", "upright"], "logits", [16, 16, 1])
    image = prepared(images / "upright.png", Preprocessing(**about["preprocessing"]))
    assert isinstance(image, np.ndarray)
    if name == "savedmodel":
        loaded = tf.saved_model.load(str(out))
        (logits,) = np.asarray(loaded.serve(tf.constant(image[None])))
    else:
        with warnings.catch_warnings(action="ignore"):  # TensorFlow moves its interpreter to another package.
            interpreter = tf.lite.Interpreter(str(out))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        (logits,) = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    (found,) = epochbank.predict(run, [images / "upright.png"])
    assert about["classes"][int(np.argmax(logits))] == found["classes"][0]["class"]
    assert probabilities.max() == pytest.approx(found["classes"][0]["probability"], abs=1e-4)
    assert not list(out.parent.glob(".tmp-*"))


def test_export_overwrites_nothing(run: Path, tmp_path: Path) -> None:
    """An existing path is refused, and so is a folder with the classes of another model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "classes.json").write_text("[]")
    for out, message in ((tmp_path / "model", "exists; expected a new path"), (tmp_path / "other/m", "another model")):
        result = call("export", run, "--out", out)
        assert result.exit_code == 1
        assert message in result.stderr
    assert (tmp_path / "other" / "classes.json").read_text() == "[]"
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["classes.json"]


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [("onnx", "model.tflite", "does not end in .onnx"), ("tflite", "model", "does not end in .tflite"),
     ("tflight", "model", "Did you mean `tflite`")],
)  # fmt: skip
def test_wrong_formats(tmp_path: Path, name: str, out: str, message: str) -> None:
    with pytest.raises(epochbank.EpochbankError, match=message) as refused:
        check_export(name, tmp_path / out)
    assert refused.value.exit_code == 2


def test_a_missing_module_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochbank.train.training.export.find_spec", lambda name: None)
    with pytest.raises(epochbank.EpochbankError, match=r"needs onnx and tf2onnx.*pip install 'epochbank\[export\]'"):
        check_export("onnx", tmp_path / "model.onnx")


def test_a_model_that_keras_cannot_export(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an exporter raises becomes a message, and nothing is left."""

    def fail(self: keras.Model, path: Path, **keywords: object) -> None:
        Path(path).write_text("half")
        raise ValueError("no such operation.")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(epochbank.EpochbankError, match=r"as savedmodel: no such operation\. Choose another"):
        epochbank.export(run, tmp_path / "out" / "model")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("note", "invert"),
    [
        ("images are gray, 64 x 64, inverted (the background is light in 256 of 256 sampled images)", True),
        ("images are RGB, 64 x 64, not inverted (color images are inverted only with --invert yes)", False),
    ],
)
def test_the_preparation_of_older_sets_is_read_from_their_notes(note: str, invert: bool) -> None:
    """Sets from before the preparation was stored have a sentence about it."""
    found = stored_preprocessing({"notes": ["something else", note]}, (8, 9, 1))
    assert found == Preprocessing(8, 9, 1, invert=invert)


@pytest.mark.parametrize("source", [{}, {"notes": []}, {"preprocessing": {"unknown": 1}, "notes": ["images are gray"]}])
def test_a_set_that_does_not_say_how_it_was_prepared(source: dict) -> None:
    with pytest.raises(epochbank.EpochbankError, match="does not say how its images were prepared"):
        stored_preprocessing(source, (8, 8, 1))


def test_prepared_images_are_those_of_the_import(tmp_path: Path) -> None:
    """The pixels are the same as in the source file: inverted, padded, in color mode and size of the set."""
    for number in range(8):
        path = tmp_path / "source" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ImageOps.expand(bar(number % 2 == 1, number % 3), number % 4, 255).save(path)
    imported = epochbank.import_source(tmp_path / "source", tmp_path / "s.h5", size=(24, 16), fit="crop", jobs=1)
    preprocessing = stored_preprocessing({"preprocessing": imported.preprocessing}, imported.shape)
    assert preprocessing.invert
    files = list(image_files([tmp_path / "source"]))
    assert len(files) == 8
    for row in range(8):
        image = prepared(tmp_path / "source" / imported.origin(row), preprocessing)
        np.testing.assert_array_equal(image, imported.read(np.array([row]))[0])
