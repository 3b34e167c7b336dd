"""Comparing runs: the statistics, the same images, seeds, classes, and what is printed."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from epochbank import EpochbankError
from epochbank.train.cli import main
from epochbank.train.training.evaluation_file import EVALUATION
from epochbank.train.training.statistics import holm, mcnemar, wilson
from finished_run import finished_run

NAMES = ["亜", "b", "c"]
LABELS = (np.arange(60) % 3).astype(np.int32)


def run(path: Path, wrong: list[int], *, names: list[str] = NAMES, **keywords: Any) -> Path:
    """A run that misclassifies these of the 60 images."""
    predicted = LABELS.copy()
    predicted[wrong] = (LABELS[wrong] + 1) % 3
    return finished_run(path, names, LABELS, predicted, **keywords)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        # mcnemar([[50, b], [c, 60]], exact=True) of statsmodels 0.15.0
        (mcnemar(7, 1), 0.0703125),
        (mcnemar(0, 8), 2 / 2**8),
        (mcnemar(4, 4), 1),
        (mcnemar(0, 0), 1),
        (mcnemar(25, 14), 0.10812902140605732),
        (mcnemar(101, 153), 0.001327959277982038),
        # proportion_confint(correct, images, method="wilson") of statsmodels 0.15.0
        (wilson(178, 179), (0.9690386341608527, 0.9990131476485308)),
        (wilson(5, 12), (0.1932603136587565, 0.6804886874504502)),
        (wilson(9312, 10000), (0.9260716715285763, 0.9359971682765523)),
        (wilson(0, 10), (0, 0.27753279986288926)),
        # multipletests(p, method="holm") of statsmodels 0.15.0
        (holm([0.01, 0.04, 0.03, 0.005, 0.5]), [0.04, 0.09, 0.09, 0.025, 0.5]),
        (holm([0.4]), [0.4]),
        (holm([]), []),
    ],
)
def test_statistics_are_those_of_statsmodels(statistic: float, expected: float) -> None:
    assert statistic == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_pairs_and_classes_are_counted(tmp_path: Path) -> None:
    """On the same images: what only one of two runs classifies correctly, and how each class changed."""
    wrong = [[0, 1, 3, 6], [1, 4, 7, 10, 13, 16, 19, 22], []]
    runs = [run(tmp_path / "abc"[at], some, seed=at) for at, some in enumerate(wrong)]
    found = epochbank.compare(runs)
    expected = [
        {"first": a, "second": b, "images": 60, "only_first": len({*wrong[b]} - {*wrong[a]}),
         "only_second": len({*wrong[a]} - {*wrong[b]})}
        for a, b in itertools.combinations(range(3), 2)
    ]  # fmt: skip
    assert [{key: one[key] for key in expected[0]} for one in found["mcnemar"]] == expected
    p_values = [one["p"] for one in found["mcnemar"]]
    assert p_values == pytest.approx([mcnemar(one["only_first"], one["only_second"]) for one in expected])
    assert [one["p_holm"] for one in found["mcnemar"]] == pytest.approx(holm(p_values))
    (second, third) = found["classes"]
    assert (second["first"], second["second"], third["second"]) == (0, 1, 2)
    assert second["classes"] == [
        {"class": "b", "images": 20, "before": 19, "after": 12, "fixed": 0, "broken": 7},
        {"class": "亜", "images": 20, "before": 17, "after": 20, "fixed": 3, "broken": 0},
    ]
    accuracies = np.array([56, 52, 60]) / 60
    (seeds,) = found["seeds"]
    assert seeds["runs"] == [0, 1, 2]
    assert seeds["mean"] == pytest.approx(accuracies.mean())
    assert seeds["standard_error"] == pytest.approx(accuracies.std(ddof=1) / np.sqrt(3))
    assert found["settings"] == {"--seed": ["0", "1", "2"]}
    assert (found["sets"], found["notes"]) == ({}, [])


def test_runs_that_differ_in_more_than_the_seed_are_no_group(tmp_path: Path) -> None:
    """Settings that do not affect the result do not count."""
    runs = [
        run(tmp_path / "a", [1]),
        run(tmp_path / "b", [2], seed=1, threads=3),
        run(tmp_path / "c", [3], seed=2, originals=0.25),
        run(tmp_path / "d", [3], seed=3, config={"stored_epochs": [0]}),
    ]
    found = epochbank.compare(runs)
    assert [one["runs"] for one in found["seeds"]] == [[0, 1]]
    assert found["settings"]["--originals"] == ["0.5", "0.5", "0.25", "0.5"]
    assert found["settings"]["stored epochs"] == ["0, 1, 2"] * 3 + ["0"]


def test_other_images_are_compared_without_mcnemar(tmp_path: Path) -> None:
    """Neither other digests nor other class names are the same images; the comparison says so."""
    runs = [
        run(tmp_path / "a", [1, 2]),
        run(tmp_path / "b", [1], digest="1" * 32, set_name="other-photo-deadbeef"),
        run(tmp_path / "c", [1], names=["x", "y", "z"]),
        run(tmp_path / "d", [2]),
    ]
    found = epochbank.compare(runs)
    assert [(one["first"], one["second"]) for one in found["mcnemar"]] == [(0, 3)]
    (note,) = found["notes"]
    assert f"{runs[0]}, {runs[3]}; {runs[1]}; {runs[2]}" in note
    assert found["sets"]["set"][:2] == ["digits-kanji-1f2e3d4c", "other-photo-deadbeef"]


def test_a_run_without_predictions_is_compared_by_its_accuracy(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", [1, 2]), run(tmp_path / "b", [1])]
    (runs[1] / EVALUATION).unlink()
    found = epochbank.compare(runs)
    assert [one["accuracy"] for one in found["runs"]] == pytest.approx([58 / 60, 59 / 60])
    assert found["mcnemar"] == []
    assert f"train report {runs[1]} --evaluate" in found["notes"][0]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one, unfinished = run(tmp_path / "a", [1]), run(tmp_path / "b", [1])
    (unfinished / "summary.json").unlink()
    assert "is not finished" in call(one, unfinished).stderr
    assert "expected two or more" in call(one).stderr
    assert "is given twice" in call(one, tmp_path / "b/../a").stderr
    assert "was not evaluated on validation" in call(one, run(tmp_path / "c", [1]), "--split", "validation").stderr
    assert "Did you mean" not in call(one, tmp_path / "d").stdout
    assert call(one, tmp_path / "d").exit_code == 1
    with pytest.raises(EpochbankError, match="expected 'test' or 'validation'"):
        epochbank.compare([one, one], split="train")


def test_the_command_prints_tables_or_json_and_writes_a_page(tmp_path: Path) -> None:
    runs = [run(tmp_path / "first", [1, 2, 4], learning_rate=0.01), run(tmp_path / "second", [1, 3])]
    page = tmp_path / "compared.html"
    done = call(*runs, "--html", page)
    assert done.exit_code == 0, done.output
    for text in ("95.00 %", "--learning-rate", "McNemar's exact test", "+1  b: 18 to 19 of 20 correct",
                 "-1  亜: 20 to 19 of 20 correct"):  # fmt: skip
        assert text in done.stdout, done.stdout
    assert "Holm" not in done.stdout  # There is one test only.
    assert json.loads(call(*runs, "--json").stdout) == epochbank.compare(runs)
    assert "2 training runs compared" in page.read_text()
    page.write_text("mine")
    assert "not a page that epochbank wrote" in call(*runs, "--html", page).stderr
    assert page.read_text() == "mine"
