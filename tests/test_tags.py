"""Sets are found by path, directory name, tag or fingerprint; runs and last use are listed."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import epochbank
from epochbank import EpochbankError
from epochbank.augment.cli import main as augment
from epochbank.augment.shared.atomic import TEMPORARY
from epochbank.augment.store import catalog
from epochbank.augment.store.catalog import all_sets, find_set
from epochbank.augment.store.description import read_description
from epochbank.augment.store.tags import read_tags
from epochbank.augment.store.usage import last_used, record_use
from epochbank.train.cli import main as train
from epochbank.train.training.run_list import list_runs


def call(*words: object, group: object = augment) -> Result:
    return CliRunner().invoke(group, [str(word) for word in words])  # type: ignore[arg-type]


@pytest.fixture
def sets(npz: Path, tmp_path: Path) -> Path:
    """Two sets with seeds 1 and 2."""
    for seed in (1, 2):
        epochbank.generate(npz, epochs=1, seed=seed, jobs=1, sets=tmp_path / "sets")
    return tmp_path / "sets"


def test_a_set_is_found_by_every_name(sets: Path) -> None:
    """Path, directory name, tag, and a prefix of the fingerprint of four digits or more, in any case."""
    _, second = all_sets(sets)
    epochbank.tag(second, "baseline")
    fingerprint = read_description(second).fingerprint
    for name in (second, str(second), second.name, "baseline", fingerprint[:4], fingerprint[:12].upper(), fingerprint):
        assert find_set(name, sets) == second, name
    assert epochbank.open_set("baseline", sets=sets).path == second
    assert call("info", "baseline", "--sets", sets).exit_code == 0
    assert call("bench", fingerprint[:8], "--sets", sets, "--seconds", 0, group=train).exit_code == 0
    with pytest.raises(EpochbankError, match="there is no set"):
        find_set(fingerprint[:3], sets)


def test_ambiguity_lists_the_candidates(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets whose fingerprints begin alike are both named."""
    monkeypatch.setattr(catalog, "_fingerprint", lambda directory: "abcdef" + directory.name)
    with pytest.raises(EpochbankError, match="names 2 sets") as refused:
        find_set("abcd", sets)
    assert all(directory.name in str(refused.value) for directory in all_sets(sets))


def test_a_typo_in_a_tag_names_the_closest(sets: Path) -> None:
    epochbank.tag(all_sets(sets)[0], "baseline")
    result = call("info", "baselnie", "--sets", sets)
    assert result.exit_code == 1
    assert "Did you mean `baseline`?" in result.stderr


def test_a_tag_belongs_to_one_set(sets: Path) -> None:
    """It can be given again to the same set, and to another one once it was taken away."""
    first, second = all_sets(sets)
    assert call("tag", first, "best").stdout.strip() == f"{first}: best"
    assert call("tag", "best", "best", "--sets", sets).exit_code == 0
    refused = call("tag", second, "best")
    assert refused.exit_code == 1
    assert f"{first} has the tag 'best' already" in refused.stderr
    assert call("tag", "best", "best", "--remove", "--sets", sets).exit_code == 0
    assert not (first / "tags.json").exists()
    assert epochbank.tag(second, "best") == ["best"]
    assert epochbank.tag(second, "also") == ["also", "best"]
    refused = call("tag", second, "bets", "--remove")
    assert "Did you mean `best`?" in refused.stderr


@pytest.mark.parametrize("tag", ["", "a/b", "..", "-x", "a b", "x" * 65, "digits", "sources"])
def test_impossible_tags_are_refused(sets: Path, tag: str) -> None:
    """A tag is neither a path, nor an option, nor a source, nor a directory in `sets/`."""
    with pytest.raises(EpochbankError, match="tag") as refused:
        epochbank.tag(all_sets(sets)[0], tag)
    assert refused.value.exit_code == 2
    assert read_tags(all_sets(sets)[0]) == []


def test_run_gives_a_name(npz: Path, sets: Path) -> None:
    """A new set and an existing one get the tag; a tag of another set is refused before anything is generated."""
    words = ("run", npz, "--epochs", 1, "--jobs", 1, "--sets", sets)
    assert call(*words, "--seed", 1, "--name", "one").exit_code == 0
    assert call(*words, "--seed", 3, "--name", "three").exit_code == 0
    assert read_description(find_set("three", sets)).identity["seed"] == 3
    assert read_description(find_set("one", sets)).identity["seed"] == 1
    refused = call(*words, "--seed", 4, "--name", "one")
    assert refused.exit_code == 1
    assert len(all_sets(sets)) == 3
    assert call(*words, "--seed", 4, "--name", "a/b").exit_code == 2


def test_damaged_tags_are_reported_and_hide_no_other_set(sets: Path) -> None:
    first, second = all_sets(sets)
    epochbank.tag(second, "best")
    (first / "tags.json").write_text("{")
    assert find_set("best", sets) == second
    facts, faults = epochbank.list_sets(sets)
    assert [one["path"] for one in facts] == [str(second)]
    assert "tags.json is damaged" in faults[0]


def test_a_temporary_directory_is_no_set(sets: Path) -> None:
    """A set that is being removed has such a name."""
    first, second = all_sets(sets)
    first.rename(sets / f"{TEMPORARY}00-removed")
    assert all_sets(sets) == [second]


def test_last_use_and_runs_are_listed(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`augment list` counts the runs of each set in runs/, and `train runs` shows set, model and accuracy."""
    _, second = all_sets(sets)
    runs = tmp_path / "runs"
    for number, finished in ((1, True), (2, False)):
        run = runs / f"run-{number}"
        run.mkdir(parents=True)
        config = {"set": {"path": str(second), "fingerprint": read_description(second).fingerprint}, "model": "cnn"}
        (run / "config.json").write_text(json.dumps(config))
        os.utime(run / "config.json", (1000 + number, 1000 + number))
        if finished:
            (run / "summary.json").write_text(json.dumps({"test": {"accuracy": 0.75}, "epochs": 4}))
    (runs / "broken").mkdir()
    (runs / "broken/config.json").write_text("[]")
    before = datetime.now(UTC).replace(microsecond=0)
    record_use(second, runs / "run-1")
    used = last_used(second)
    assert used is not None
    assert used >= before
    facts, _ = epochbank.list_sets(sets, runs=runs)
    assert [len(one["trainings"]) for one in facts] == [0, 2]
    assert [one["last_used"] is None for one in facts] == [True, False]
    lines = call("list", "--sets", sets, "--runs", runs).stdout.splitlines()
    assert [line.split()[-2:] for line in lines[1:]] == [["never", "0"], ["min", "2"]]
    result = call("runs", "--runs", runs, group=train)
    assert result.exit_code == 1
    assert "broken cannot be read" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["run", "set", "model", "accuracy", "epochs", "date"]
    assert rows[1][:6] == ["run-1", second.name, "cnn", "75.00", "%", "4"]
    assert rows[2][:5] == ["run-2", second.name, "cnn", "-", "unfinished"]
    printed = json.loads(call("runs", "--runs", runs, "--json", group=train).stdout)
    assert printed == epochbank.list_runs(runs)[0]
    assert list_runs(tmp_path / "none") == ([], [])


def test_use_of_a_read_only_set_is_not_recorded_and_no_error(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails as on a read-only disk; a damaged record counts as none."""
    directory = all_sets(sets)[0]

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "read-only", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("epochbank.augment.store.usage.write_text", refuse)
        record_use(directory, Path("runs/x"))
    assert last_used(directory) is None
    (directory / "used.json").write_text('{"used": 7}')
    assert last_used(directory) is None


def test_a_set_in_a_renamed_directory_is_found_by_its_fingerprint(sets: Path, npz: Path) -> None:
    """A run with the same request extends the set under any name of its directory, and begins no other."""
    first, second = all_sets(sets)
    renamed = first.rename(sets / "mine")
    assert epochbank.generate(npz, epochs=2, seed=1, jobs=1, sets=sets).path == renamed
    assert sorted(all_sets(sets)) == sorted([renamed, second])
    assert epochbank.open_set(renamed).epochs == (0, 1)
