"""`train study`: how accuracy depends on the number of stored epochs."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from scipy import stats

import epochbank
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.cli import main as train
from epochbank.train.streaming.final import load_final
from epochbank.train.study import study as study_module
from epochbank.train.study.plan import Training, trainings
from epochbank.train.study.results import Row, caveats, difference, rows_of, table, verdict
from epochbank.train.training.fit_options import FitOptions


def call(*words: object) -> Result:
    return CliRunner().invoke(train, [str(word) for word in words])


@pytest.fixture
def stored_set(npz: Path, tmp_path: Path) -> Path:
    """A set with one stored epoch."""
    command = [
        "run",
        str(npz),
        "--recipe",
        "handwriting",
        "--epochs",
        "1",
        "--jobs",
        "1",
        "--sets",
        str(tmp_path / "sets"),
    ]
    made = CliRunner().invoke(augment, command)
    assert made.exit_code == 0, made.output
    (found,) = (tmp_path / "sets").glob("*/set.json")
    return found.parent


def words_of(stored_set: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("study", stored_set, "--sets", stored_set.parent, "--epochs-stored", "0", "--epochs", 2, "--seeds", 1,
            "--batch-size", 64, "--jobs", 1, "--out", out, *more)  # fmt: skip


def test_trainings() -> None:
    """Every number is trained with every seed, with and without final augmentation, and fresh distortion too."""
    base = FitOptions(epochs=30, final=load_final("characters"))
    plan = trainings((4, 1), base, 2, fresh=True)
    assert plan[:6] == [Training(n, final, 0) for n in (1, 4, 30) for final in (False, True)]
    assert {one.seed for one in plan} == {0, 1}
    assert len({one.name for one in plan}) == len(plan) == 12
    assert len(trainings((1, 4), FitOptions(epochs=30), 3, fresh=False)) == 6


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
def test_all_trainings_have_the_same_number_of_steps(share: float) -> None:
    """Originals only are shown for more epochs, because these are shorter."""
    base = FitOptions(epochs=12, batch_size=64, originals=share)
    steps = []
    for stored in (0, 2):
        options = Training(stored, False, 0).options(base)
        assert options.originals == (share if stored else 1)
        assert isinstance(options.originals, float)
        primary = 64 if options.originals == 1 else 64 * (1 - options.originals)
        steps.append(options.epochs * 6400 / primary)
    assert steps[0] == pytest.approx(steps[1], rel=0.02)


def test_statistics() -> None:
    """Intervals are those of SciPy, and differences are paired by seed."""
    random = np.random.default_rng(0)
    fresh, four = 0.9 + 0.01 * random.standard_normal((2, 5))
    row, other = Row(4, False, dict(enumerate(four))), Row(30, False, dict(enumerate(fresh)))
    low, high = stats.t.interval(0.95, 4, four.mean(), stats.sem(four))
    assert (row.mean - row.interval, row.mean + row.interval) == pytest.approx((low, high))
    lead = difference(row, other)
    assert (lead.mean, lead.error) == pytest.approx(((four - fresh).mean(), stats.sem(four - fresh)))
    assert math.isnan(Row(1, False, {0: 0.5}).interval)


def test_verdict() -> None:
    """The smallest number within the tolerance, or one standard error, of fresh distortion is named."""
    accuracies = {1: (0.80, 0.84), 2: (0.90, 0.89), 4: (0.911, 0.912), 30: (0.912, 0.913)}
    rows = rows_of(
        {Training(n, False, seed): value for n, both in accuracies.items() for seed, value in enumerate(both)}
    )
    assert verdict(rows, 30, 0.002) == "4 stored epochs are within 0.2 points of fresh distortion."
    assert verdict(rows, 30, 0.2) == "1 stored epoch is within 20.0 points of fresh distortion."
    final = rows_of({Training(1, True, seed): value for seed, value in enumerate((0.93, 0.9))})
    assert "; 1 stored epoch is within 0.2 points of fresh distortion with final augmentation." in verdict(
        [*rows, *final], 30, 0.002
    )
    without = [row for row in rows if row.stored != 4]
    assert verdict(without, 30, 0.002).startswith("No number of stored epochs below 30 is within 0.2 points")
    assert "Fresh distortion was not trained" in verdict(rows[:2], 30, 0.002)
    assert "81.99" not in table(rows, 30)[1]
    assert "82.00 ± 25.41" in table(rows, 30)[1]


def test_caveats() -> None:
    """One seed, and an image that is worth more than the tolerance, are named; two seeds and many images are not."""
    one, two = (rows_of({Training(4, False, seed): 0.9 for seed in range(seeds)}) for seeds in (1, 2))
    assert caveats(two, 500, "test", 0.002) == []
    assert caveats(one, 500, "test", 0.002) == ["One seed gives no standard error; --seeds 3 does."]
    assert caveats(two, 40, "validation", 0.003) == [
        "One of the 40 validation images is 2.5 points, more than the tolerance of 0.3."
    ]


@pytest.mark.long
def test_a_study_trains_what_is_missing(stored_set: Path, tmp_path: Path) -> None:
    """It extends the set, trains each number, writes table and plot, and repeats nothing in a second call."""
    out = tmp_path / "study"
    done = call(*words_of(stored_set, out, "--final", "characters", "--json"))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((out / "results.json").read_text())
    assert "epoch 1/2" in done.stderr
    results = json.loads((out / "results.json").read_text())
    found = [(row["stored_epochs"], row["final"], sorted(row["accuracy"])) for row in results["rows"]]
    assert found == [(number, final, ["0"]) for final in (False, True) for number in (0, 2)]
    assert [row["fresh"] for row in results["rows"]] == [False, True] * 2
    with Image.open(out / "results.png") as image:
        assert image.size[0] > 500
    assert epochbank.open_set(stored_set).epochs == (0, 1)
    for row in results["rows"]:
        for seed, accuracy in row["accuracy"].items():
            name = Training(row["stored_epochs"], row["final"], int(seed)).name
            config = json.loads((out / name / "config.json").read_text())
            assert len(config["stored_epochs"]) == max(1, row["stored_epochs"])
            assert (config["final"] is not None) == row["final"]
            assert json.loads((out / name / "summary.json").read_text())["test"]["accuracy"] == accuracy
    times = {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")}
    again = call(*words_of(stored_set, out, "--final", "characters"))
    assert again.exit_code == 0, again.output
    assert results["verdict"] in again.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")} == times
    other = call(*words_of(stored_set, out, "--learning-rate", 0.1))
    assert other.exit_code == 2
    assert "belongs to a study with" in other.output


INTERRUPTED = """
import os, signal, sys
from epochbank.train.cli import main
from epochbank.train.training.epoch_lines import EpochLines
begin = EpochLines.on_epoch_begin
count = 0
def on_epoch_begin(self, epoch, logs=None):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGINT)
    begin(self, epoch, logs)
EpochLines.on_epoch_begin = on_epoch_begin
main(sys.argv[1:])
"""


@pytest.mark.long
def test_an_interrupted_study_continues(stored_set: Path, tmp_path: Path) -> None:
    """Ctrl-C says how many trainings are done; the same command completes the others."""
    out = tmp_path / "study"
    words = [str(word) for word in words_of(stored_set, out, "--epochs-stored", "0,1")]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, timeout=200, env={**os.environ}
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr[-2000:]
    assert "of 3 training runs are done. Run the same command again to continue." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "results.json").exists()
    completed = call(*words)
    assert completed.exit_code == 0, completed.output
    assert len(json.loads((out / "results.json").read_text())["rows"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs-stored", "1,x"], "--epochs-stored 1,x; expected whole numbers"),
        (["--epochs-stored", "3"], "3 stored epochs; expected numbers from 0 to 2"),
        (["--originals", "1"], "a study with originals 1.0; expected a constant share below 1"),
        (["--final", "nothing"], "final augmentation 'nothing' is neither built in"),
    ],
)
def test_bad_words_are_refused(stored_set: Path, tmp_path: Path, words: list[str], message: str) -> None:
    """Nothing is trained or generated."""
    done = call(*words_of(stored_set, tmp_path / "study", *words))
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert epochbank.open_set(stored_set).epochs == (0,)


def test_a_whole_number_is_a_share_of_originals() -> None:
    """`originals=0` of Python is a constant share; a study of distorted images alone is allowed."""
    planned = trainings((1,), FitOptions(originals=0, epochs=2), 1, fresh=True)
    assert [one.stored for one in planned] == [1, 2]


def test_an_interrupted_training_of_a_model_function_continues(
    stored_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names the function, so resuming needs no other permission to import it."""
    run = tmp_path / "stored-001-seed-0"
    run.mkdir()
    (run / "config.json").write_text("{}")
    given = {}
    monkeypatch.setattr(study_module, "resume", lambda run, **options: given.update(options))
    base = FitOptions(model="models:mine", epochs=2)
    study_module._train(epochbank.open_set(stored_set), Training(1, False, 0), base, run)
    assert given == {"model_name": "models:mine"}


def test_the_message_about_another_final_recipe_names_it(stored_set: Path, tmp_path: Path) -> None:
    """The names say which recipes differ; their stages would fill the screen."""
    opened = epochbank.open_set(stored_set)
    study_module.begin(opened, FitOptions(final=load_final("characters")), tmp_path)
    with pytest.raises(EpochbankError, match="a study with final 'characters', but 'photo' was given"):
        study_module.begin(opened, FitOptions(final=load_final("photo")), tmp_path)


def test_a_disk_that_is_too_small_is_refused_first(
    stored_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the bytes; nothing is generated or trained."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=17 << 20))
    with pytest.raises(EpochbankError, match=r"needs .*B and .* must stay free, but the disk of .* has 17.* left"):
        epochbank.study(stored_set, [1], sets=stored_set.parent, epochs=2, out=tmp_path / "study", jobs=1)
    assert epochbank.open_set(stored_set).epochs == (0,)
    assert not list((tmp_path / "study").glob("stored-*"))


def test_a_source_that_the_disk_cannot_hold_is_refused_before_anything_is_generated(
    npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stored epoch would fit, but not all that the study needs."""
    usage, sets = shutil.disk_usage(tmp_path), tmp_path / "sets"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20 << 20))
    with pytest.raises(EpochbankError, match=r"the study with 1000 stored epochs needs .*B and .* must stay free"):
        epochbank.study(npz, [1000], sets=sets, epochs=1000, out=tmp_path / "study", jobs=1)
    assert not list(sets.glob("*/set.json"))
    assert not (tmp_path / "study").exists()
