"""The report of a run: what it shows, from the run directory alone, also of runs that lack some of it."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import click
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.train.cli import main
from epochbank.train.training.evaluation_file import EVALUATION, Predictions, stored_evaluations
from epochbank.train.training.finish import write_page
from epochbank.train.training.fit_options import FitOptions
from epochbank.train.training.kept_images import choose
from epochbank.train.training.reproduce import command, option
from epochbank.train.training.run_directory import is_finished
from epochbank.train.training.run_record import read_run
from epochbank.train.training.run_report import charts
from epochbank.train.training.run_report.image_data import encode
from epochbank.train.training.run_report.page import REPORT, context, write_run_report
from epochbank.train.training.run_report.tally import tally
from finished_run import finished_run

NAMES = ["亜", "<b>b</b>", "c", "d"]
LABELS = (np.arange(40) % 4).astype(np.int32)


def predictions(seed: int = 0, wrong: float = 0.2) -> np.ndarray:
    """Predictions of `LABELS`, of which about this share is wrong."""
    random = np.random.default_rng(seed)
    return np.where(random.random(40) < wrong, random.integers(0, 4, 40), LABELS).astype(np.int32)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", NAMES, LABELS, predictions(), glyphs(40))


def data_of(page: Path) -> dict:
    """The data of the script of a page."""
    return json.loads(re.findall(r'id="evaluation">(.*?)</script>', page.read_text(), re.S)[0])


def test_a_fit_writes_the_report_and_what_it_needs(tmp_path: Path, nothing_recipe: Path) -> None:
    """The page has the numbers of the evaluation; without set and Keras, the same page is written again."""
    np.savez(tmp_path / "a.npz", images=glyphs(120, (16, 16, 1)), labels=np.arange(120) % 3)
    sets = tmp_path / "sets"
    epochbank.generate(tmp_path / "a.npz", nothing_recipe, epochs=1, sets=sets, jobs=1)
    words = ["fit", "--sets", str(sets), "--epochs", "1", "--batch-size", "32", "--run", str(tmp_path / "run")]
    fitted = CliRunner().invoke(main, words)
    assert fitted.exit_code == 0, fitted.output
    run, page = tmp_path / "run", tmp_path / "run" / REPORT
    assert str(page) in fitted.stdout
    summary = json.loads((run / "summary.json").read_text())
    for split, stored in stored_evaluations(run, 3).items():
        found = tally(stored.predictions(), 3, np.empty(0, np.int64))
        assert found.per_class[:, 1].sum() == stored.num_images == summary[split]["images"]
        assert found.per_class[:, 0].sum() / stored.num_images == summary[split]["accuracy"]
    stored, table = stored_evaluations(run, 3)["test"], (run / "mistakes.csv").read_text().splitlines()[1:]
    shown = stored.shown()
    assert shown is not None
    assert shown.worst.tolist() == [int(line.split(",")[-1]) for line in table]
    images, _ = epochbank.open_set(sets=sets).split("test", 256)[0]
    assert np.array_equal(shown.image, images[shown.position])
    assert all(origin.startswith("images[") for origin in shown.origin)
    assert np.allclose(shown.top_probability.sum(1), 1, atol=1e-3)  # Of three classes, all are kept.
    assert read_run(run).machine["cores"] >= 1
    before = {path: path.read_bytes() for path in (page, run / EVALUATION)}
    (run / EVALUATION).unlink()
    assert "has no evaluation.h5" in write_run_report(run).read_text()
    again = CliRunner().invoke(main, ["report", str(run), "--evaluate", "--batch-size", "32"])
    assert again.exit_code == 0, again.output
    shutil.rmtree(sets)
    page.unlink()
    assert CliRunner().invoke(main, ["report", str(run)]).exit_code == 0
    assert {path: path.read_bytes() for path in before} == before
    refused = CliRunner().invoke(main, ["report", str(run), "--evaluate"])
    assert "there is no set" in refused.stderr


def test_the_page_has_what_the_run_recorded(run: Path) -> None:
    """Class names of others are text; every image, mistake and class is in the data of the script."""
    page = write_run_report(run)
    text, data = page.read_text(), data_of(page)
    for part in ("Some CPU", "Some GPU", "64.0 GB", "12.0 MB", "kanji: 1 stage (rotate)", "train 320", "1 min 30 s"):
        assert part in text, part
    assert "<b>" not in text
    assert data["names"] == NAMES
    wrong = np.flatnonzero(predictions() != LABELS)
    assert sum(count for *_, count in data["pairs"]) == len(wrong)
    assert [row[:3] for row in data["classes"]] == [
        [label, 10, int((predictions()[label == LABELS] == label).sum())] for label in range(4)
    ]
    assert {data["images"][number][5] for number, *_ in data["worst"]} == set(wrong.tolist())
    assert all(int(row[1]) == LABELS[row[5]] and row[6] == f"folder/{row[5]}.png" for row in data["images"])
    low, high = re.findall(r"\((\d+\.\d\d) to (\d+\.\d\d)\)", text)[0]
    assert float(low) < 100 * np.mean(predictions() == LABELS) < float(high)


def test_what_an_earlier_version_did_not_record_is_left_out_with_a_sentence(run: Path) -> None:
    (run / EVALUATION).unlink()
    for name in ("config.json", "summary.json"):
        document = json.loads((run / name).read_text())
        for key in ("machine", "set_facts", "data", "class_names"):
            document.pop(key, None)
        (run / name).write_text(json.dumps(document))
    text = write_run_report(run).read_text()
    for sentence in ("has no evaluation.h5", "--evaluate", "do not record more of the machine", "more of the set"):
        assert sentence in text
    assert "Worst mistakes" not in text


def test_an_unfinished_run_has_a_page(run: Path) -> None:
    for name in ("summary.json", EVALUATION, "metrics.csv"):
        (run / name).unlink()
    text = write_run_report(run).read_text()
    for sentence in ("This run is not finished", "No epoch is complete yet", f"train fit --resume {run}"):
        assert sentence in text


def test_without_mistakes_the_page_says_so(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", NAMES, LABELS, LABELS, glyphs(40))
    assert "All 40 test images are classified correctly" in write_run_report(run).read_text()


def test_a_file_of_others_is_not_replaced(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.html"
    out.write_text("mine")
    with pytest.raises(EpochbankError, match="not a page that epochbank wrote"):
        epochbank.report_run(run, out)
    assert out.read_text() == "mine"
    assert epochbank.report_run(run, tmp_path / "new/page.html").stat().st_size > 10_000


def test_without_jinja2_the_run_is_finished(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says how to get the page."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert write_page(run) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'epochbank[report]'" in line
    assert f"train report {run}" in line
    assert is_finished(touch(run, "learning-curves.png", "mistakes.csv"))


def touch(run: Path, *names: str) -> Path:
    for name in names:
        (run / name).touch()
    return run


@pytest.mark.parametrize("damage", ["truncated", "no class", "other file", "huge", "newer"])
def test_damaged_predictions_are_refused_by_name(run: Path, tmp_path: Path, damage: str) -> None:
    """The file may be somebody else's: nothing outside of it is read, and no array larger than a report needs."""
    path = run / EVALUATION
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        with h5py.File(path, "r+") as file:
            if damage == "newer":
                file.attrs["format"] = 2
            elif damage == "no class":
                file["test/predicted"][3] = 4
            elif damage == "other file":
                (tmp_path / "other").write_bytes(bytes(1000))
                del file["test/position"]
                external = [(str(tmp_path / "other"), 0, 320)]
                file["test"].create_dataset("position", (40,), "i8", external=external)
            else:
                del file["test/image"]
                file["test"].create_dataset("image", (40, 1 << 14, 1 << 14, 3), "u1", chunks=(1, 64, 64, 3))
    with pytest.raises(EpochbankError, match=r"evaluation[.]h5 is (damaged|of format 2)") as refused:
        write_run_report(run)
    assert damage == "newer" or "--evaluate" in str(refused.value)
    assert not (run / REPORT).exists()


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
def test_values_of_others_give_a_page_or_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Any value of the two files may be replaced by a value of another kind."""
    monkeypatch.setattr(charts, "curves", lambda history: [])
    monkeypatch.setattr(charts, "data_wait", lambda history: None)
    path, random = finished_run(tmp_path / "run", NAMES, LABELS, predictions()) / name, Random(0)
    sound = path.read_text()
    values = (None, [], {}, "x", -1, 1.5, [1, "a"], {"a": 1}, 10**30, float("nan"))
    pages = 0
    for place in places(json.loads(sound)):
        path.write_text(json.dumps(replaced(json.loads(sound), place, random.choice(values))))
        with suppress(EpochbankError):
            pages += bool(context(read_run(path.parent)))
    assert pages > 10


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a JSON document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return `document` with another value at one place."""
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


def test_the_images_of_a_page_adapt() -> None:
    """Images of noise, which no codec compresses, are reduced until all of them have as many bytes as they may."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), np.uint8)
    found = encode(noise, 60_000)
    assert len(found) == 40
    assert 30_000 < sum(map(len, found)) <= 60_000


def test_images_are_kept_of_every_confusion() -> None:
    """Of each pair first one image, then a second one; mistakes that are sure, and correct predictions that are not."""
    label = np.repeat(np.array([0, 1, 1], np.int32), [50, 30, 20])
    predicted = np.repeat(np.array([0, 1, 0], np.int32), [50, 30, 20])
    probability = np.linspace(0, 1, 100, dtype=np.float32)
    rows = Predictions(label, predicted, probability, probability)
    halves = [Predictions(*(column[:55] for column in rows)), Predictions(*(column[55:] for column in rows))]
    pairs = [(1, 0), (0, 0), (1, 1)]
    for blocks in ([rows], halves):
        assert choose(blocks, pairs, 2, 3).tolist() == [0, 50, 99]
        assert choose(blocks, pairs, 2, 5).tolist() == [0, 1, 50, 98, 99]
        assert choose(blocks, pairs, 2, 100).tolist() == [*range(6), *range(50, 56), *range(80, 100)]
        assert choose(blocks, [(0, 1)], 2, 100).tolist() == []


def test_the_command_has_the_settings_that_are_not_defaults(tmp_path: Path) -> None:
    """`train fit` accepts it, and gives the options of the run; each option of the run is one of `train fit`."""
    changed = {"model": "cnn", "originals": "0.3:0.9", "seed": 7, "learning_rate": 1e-05, "follow": True, "epochs": 3}
    run = finished_run(tmp_path / "run", NAMES, LABELS, LABELS, batch_size=16, checkpoint_steps=5, **changed)
    text = command(read_run(run))
    assert text.startswith("train fit /data/digits-kanji-1f2e3d4c --model cnn --epochs 3 --originals 0.3:0.9")
    fit = main.commands["fit"]
    context = fit.make_context("fit", text.split()[2:])
    assert {name: context.params[name] for name in changed} == changed
    assert context.params["checkpoint_steps"] == 5
    assert "--batch-size" not in text  # 16 is what `train fit` chooses for so few images.
    known = {name for param in fit.params if isinstance(param, click.Option) for name in param.opts}
    assert {option(name) for name in FitOptions.__dataclass_fields__} <= known
