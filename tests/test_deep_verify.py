"""`augment verify --deep`: stored images are compared with those that source, recipe and seed give."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.lifecycle.recompute import draw_sample
from epochbank.augment.shared.threads import read_on_all_cores
from epochbank.augment.store.description import read_description
from epochbank.augment.store.manifest import Entry, ManifestWriter, read_manifest, shard_file
from epochbank.augment.store.shard import Run, ShardTask, in_chunks, write_shard
from epochbank.augment.store.shard_read import read_rejected, read_run

OWN_OPERATION = "def darker(images, parameters):\n    return images // 2\n"


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two epochs, in several shards and chunks each, in which the label check rejected some draws."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(100, (12, 12, 1)), labels=np.arange(100) % 4)
    (directory / "own.toml").write_text(
        "[label_check]\nlost = 0.03\nattempts = 2\n"
        '[[stage]]\noperation = [{ op = "scale" }, { op = "rotate", degrees = [-40, 40] }]\n'
    )
    words = ("--recipe", directory / "own.toml", "--epochs", 2, "--jobs", 1, "--shard-size", 20, "--chunk-size", 5)
    assert call("run", directory / "a.npz", *words, "--sets", directory / "sets").exit_code == 0
    return directory / "sets"


@pytest.fixture
def stored(sound: Path, tmp_path: Path) -> Path:
    """The directory of a copy of that set."""
    shutil.copytree(sound, tmp_path / "sets")
    (directory,) = (tmp_path / "sets").glob("a-*")
    return directory


def rewrite(directory: Path, file: str, change: Callable[[Run, Entry], tuple[Run, dict]]) -> None:
    """Replace a shard by one with other contents, and make all checksums and digests those of the new contents."""
    description = read_description(directory)
    (entry,) = (entry for entry in read_manifest(directory) if entry.file == file)
    images, labels, rows = read_run(directory, entry, entry.start, entry.stop)
    run, counts = change(Run(images, labels.copy(), rows.copy(), read_rejected(directory, entry)[0]), entry)
    (directory / file).unlink()
    task = ShardTask(entry.split, entry.epoch, entry.start, entry.num_images, entry.chunk, entry.codec)
    chunks = in_chunks(run, entry.start, entry.chunk)
    forged = write_shard(directory / file, task, description.shape, description.fingerprint, chunks)
    writer = ManifestWriter(directory)
    writer.append(replace(forged, **({"resampled": entry.resampled, "undistorted": entry.undistorted} | counts)))
    writer.close()


def other_pixel(run: Run, entry: Entry) -> tuple[Run, dict]:
    run.images[13, 3, 4] ^= 1
    run.images[17] = 0
    return run, {}


def other_label(run: Run, entry: Entry) -> tuple[Run, dict]:
    run.labels[2] = (run.labels[2] + 1) % 4
    return run, {}


def other_row(run: Run, entry: Entry) -> tuple[Run, dict]:
    run.rows[3] += 1
    return run, {}


def no_rejections(run: Run, entry: Entry) -> tuple[Run, dict]:
    assert len(run.rejected)
    return run._replace(rejected=run.rejected[:0]), {"resampled": 0, "undistorted": 0}


def other_counts(run: Run, entry: Entry) -> tuple[Run, dict]:
    return run, {"resampled": entry.resampled + 1}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (shard_file("epoch", 1, 20), other_pixel, "(epoch 1): position 33 differs in image from"),
        (shard_file("epoch", 0, 60), other_label, "(epoch 0): position 62 differs in label from"),
        (shard_file("test", 0, 0), other_row, "(test split): position 3 differs in row from"),
        (shard_file("train", 0, 20), other_pixel, "(train split): position 33 differs in image from"),
        (shard_file("epoch", 0, 0), no_rejections, "differs in rejected attempts from"),
        (shard_file("epoch", 0, 0), other_counts, "the manifest lists "),
    ],
    ids=["pixel", "label", "row", "original", "rejections", "counts"],
)
def test_a_consistent_forgery_is_found(
    stored: Path, file: str, change: Callable[[Run, Entry], tuple[Run, dict]], message: str
) -> None:
    """A shard whose checksums, digest and manifest line were all recomputed looks sound, and is found by `--deep`."""
    rewrite(stored, file, change)
    assert call("verify", stored, "--jobs", 1).exit_code == 0
    result = call("verify", stored, "--jobs", 1, "--deep", "--share", 1)
    assert result.exit_code == 1
    assert f"\n  {stored / file} (" in result.stderr
    assert message in result.stderr
    assert "although the checksum of the file is right" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count(f"\n  {stored}") == 1


def test_sound_sets_are_the_same_when_they_are_recomputed(stored: Path) -> None:
    """A sample and everything, in this process and in workers; the sample is printed and can be drawn again."""
    entries = read_manifest(stored)
    assert sum(entry.resampled for entry in entries) > sum(entry.undistorted for entry in entries) > 0
    facts = json.loads(call("verify", stored, "--deep", "--json", "--jobs", 1).stdout)
    assert facts["sound"]
    drawn = facts["deep"]["images"]
    assert 5 * 1 < drawn <= 5 * 5  # Three splits and two epochs, a chunk of each.
    again = call("verify", stored, "--deep", "--seed", facts["deep"]["seed"], "--jobs", 1)
    assert again.exit_code == 0
    assert f"{drawn} of {facts['deep']['of']} images were recomputed and are the same" in again.stdout
    assert epochbank.verify(stored, deep=True, share=1, jobs=1) == []


def test_balanced_epochs_and_custom_operations_are_recomputed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes may be balanced. A recipe that names code needs `--trust`, and is refused before anything is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_deep_operation.py").write_text(OWN_OPERATION)
    Path("own.toml").write_text('[[stage]]\noperation = [{ op = "own_deep_operation:darker" }]\n')
    np.savez("a.npz", images=glyphs(60, (8, 8, 1)), labels=np.minimum(np.arange(60) // 20, 2))
    words = ("run", "a.npz", "--epochs", 2, "--jobs", 1, "--per-class", "5:12")
    assert call(*words).exit_code == 0
    assert call("verify", "--deep", "--share", 1, "--jobs", 1).exit_code == 0
    result = call(*words, "--recipe", "own.toml")
    assert result.exit_code == 0, result.output
    refused = call("verify", "--deep", "--jobs", 1)
    assert refused.exit_code == 2
    assert "--trust" in refused.stderr
    assert "verify:" not in refused.stderr
    assert call("verify", "--deep", "--trust", "--share", 1, "--jobs", 1).exit_code == 0
    assert call("verify", "--jobs", 1).exit_code == 0


def test_damage_is_reported_once(stored: Path) -> None:
    """A damaged shard, split.h5 or source file is one line, with or without `--deep`."""
    shard = stored / shard_file("epoch", 0, 20)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1000])
    for words in ((), ("--deep", "--share", 1)):
        facts = json.loads(call("verify", stored, "--json", "--jobs", 1, *words).stdout)
        assert len(facts["faults"]) == 1
        assert str(shard) in facts["faults"][0]
    shard.write_bytes(whole)
    split = (stored / "split.h5").read_bytes()
    (stored / "split.h5").write_bytes(split[:-1] + bytes([split[-1] ^ 1]))
    facts = json.loads(call("verify", stored, "--json", "--jobs", 1, "--deep").stdout)
    assert len(facts["faults"]) == 1
    assert facts["deep"] is None
    (stored / "split.h5").write_bytes(split)
    (source,) = stored.parent.glob("sources/*.h5")
    data = bytearray(source.read_bytes())
    at = data.index(glyphs(100, (12, 12, 1))[50].tobytes())
    data[at + 70] ^= 255
    source.write_bytes(bytes(data))
    facts = json.loads(call("verify", stored, "--json", "--jobs", 1, "--deep", "--share", 1).stdout)
    assert len(facts["faults"]) == 1
    assert "rows 50" in facts["faults"][0]
    assert facts["source"]["state"] == "damaged"
    facts = json.loads(call("verify", stored, "--json", "--jobs", 1, "--no-source", "--deep", "--share", 1).stdout)
    assert facts["source"]["state"] == "unchecked"
    assert len(facts["faults"]) == 1
    assert facts["faults"][0].startswith("not everything was recomputed: the source file")
    source.unlink()
    result = call("verify", stored, "--jobs", 1, "--deep")
    assert result.exit_code == 1
    assert "which does not exist. Restore it from a copy, or verify without --deep." in result.stderr


def test_the_share_is_checked(stored: Path) -> None:
    """A share is above 0 and up to 1, in Python and on the command line."""
    for share in ("0", "1.5", "nan"):
        assert call("verify", stored, "--deep", "--share", share).exit_code == 2
        with pytest.raises(epochbank.EpochbankError, match="expected a number above 0 up to 1"):
            epochbank.verify(stored, deep=True, share=float(share))


def entry(epoch: int, start: int, num_images: int, split: str = "epoch") -> Entry:
    file = shard_file(split, epoch, start)
    return Entry(split, epoch, start, num_images, 10, "none", file, 0, "0" * 32, "0" * 32)


def test_a_sample_is_spread_over_all_epochs_and_shards() -> None:
    """Every epoch has at least a chunk, 10 % are 10 %, 1 is everything once, and another seed takes other chunks."""
    entries = [entry(epoch, start, 95) for epoch in range(3) for start in range(0, 950, 95)] + [entry(0, 0, 7, "test")]
    for share, expected in ((1e-9, 4), (0.1, 31), (1, 301)):
        samples = draw_sample(entries, share, seed=5)
        drawn = [(sample.entry.file, chunk) for sample in samples for chunk in sample.chunks]
        assert len(drawn) == len(set(drawn)) == expected
        assert {(sample.entry.split, sample.entry.epoch) for sample in samples} == {
            ("epoch", 0), ("epoch", 1), ("epoch", 2), ("test", 0)
        }  # fmt: skip
        assert samples == draw_sample(entries[::-1], share, seed=5)
    assert len(draw_sample(entries, 0.1, seed=5)) == 31  # A chunk of each shard.
    assert draw_sample(entries, 0.1, seed=5) != draw_sample(entries, 0.1, seed=6)
    assert sum(sample.num_images for sample in draw_sample(entries, 1, seed=0)) == 30 * 95 + 7


def test_threads_return_all_results_and_the_first_exception() -> None:
    """Also with more tasks than threads; an exception ends the work, and tasks that did not begin are dropped."""
    tasks = range(100)
    assert dict(read_on_all_cores(_square, tasks, 100, 3, 0)) == {number: number**2 for number in tasks}
    assert dict(read_on_all_cores(_square, [], 0, 3, 0)) == {}
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return 1 // (number - 5)

    with pytest.raises(ZeroDivisionError):
        list(read_on_all_cores(work, tasks, 100, 2, 0))
    assert len(begun) < 20


def _square(number: int) -> int:
    return number**2
