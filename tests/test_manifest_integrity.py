"""Lines of the manifest that are lost, doubled, changed or moved are found by every command that opens a set."""

import contextlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank import open_set
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.description import fingerprint_of
from epochbank.augment.store.manifest import ManifestWriter, published_epochs, read_manifest, retirement

GOLDEN = Path(__file__).parent / "golden" / "format-1"


def augment(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `sets` directory with one set of two epochs, of several shards each."""
    directory = tmp_path_factory.mktemp("made")
    np.savez(directory / "a.npz", images=glyphs(60, (8, 8, 1)), labels=np.arange(60) % 4)
    assert run(directory).exit_code == 0
    return directory


def run(directory: Path, *words: object) -> Result:
    return augment("run", directory / "a.npz", "--epochs", 2, "--jobs", 1, "--chunk-size", 8, "--shard-size", 24,
                   "--sets", directory / "sets", *words)  # fmt: skip


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of the directory of `made`."""
    return Path(shutil.copytree(made, tmp_path / "here"))


@pytest.fixture
def stored(here: Path) -> Path:
    """The set in it."""
    return next((here / "sets").glob("*/set.json")).parent


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the golden set, whose manifest has no checksums."""
    return Path(shutil.copytree(next(GOLDEN.glob("golden-*")), tmp_path / "sets" / "golden"))


def everyone_refuses(stored: Path, *words: str) -> None:
    """`open_set`, `verify`, `list` and `info` name the manifest and the fault, in one line and without a traceback."""
    with pytest.raises(EpochbankError) as caught:
        open_set(stored)
    messages = [str(caught.value)]
    for command in (("verify", stored), ("info", stored), ("list", "--sets", stored.parent)):
        result = augment(*command)
        assert result.exit_code == 1, (command, result.output)
        assert isinstance(result.exception, SystemExit), result.exception
        messages.append(result.stderr)
    for message in messages:
        assert str(stored / "manifest.") in message, message
        for word in (*words, "estore"):
            assert word in message, message


Change = Callable[[list[bytes]], list[bytes]]


def changed(stored: Path, change: Change) -> None:
    path = stored / "manifest.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


# --- Sets with checksums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "lines; expected at least"),
        (lambda lines: lines[:-3], "lines; expected at least"),
        (lambda lines: [], "has 0 lines; expected at least"),
        (lambda lines: lines[:2] + lines[3:], "line 3 is damaged"),
        (lambda lines: lines[1:], "line 1 is damaged"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3 is damaged"),
        (lambda lines: [*lines[:2], lines[1], *lines[3:]], "line 3 is damaged"),
        (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], "line 2 is damaged"),
        (lambda lines: [*lines[:-2], lines[-1], lines[-2]], "is damaged"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"start":', b'"start": ')], "is damaged"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "lines; expected at least"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "lines; expected at least"),
    ],
    ids=["last", "last three", "emptied", "middle", "first", "doubled", "doubled for another", "moved",
         "moved at the end", "a blank", "without its end", "truncated"],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(stored: Path, change: Change, message: str) -> None:
    """Whichever lines are lost, doubled, changed or moved, the message has the line, or the number that is missing."""
    changed(stored, change)
    everyone_refuses(stored, message)


def test_a_missing_manifest_is_refused(stored: Path) -> None:
    """A set that had lines and has no manifest is not an empty set."""
    (stored / "manifest.jsonl").unlink()
    everyone_refuses(stored, "has 0 lines; expected at least")


def test_no_flipped_byte_changes_what_a_set_has(stored: Path) -> None:
    """Every byte of the manifest, flipped, is found. A byte of `manifest.check` is found, or changes nothing."""
    entries = read_manifest(stored)
    for name, always in (("manifest.jsonl", True), ("manifest.check", False)):
        whole = (stored / name).read_bytes()
        refused = 0
        for at in range(len(whole)):
            (stored / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            try:
                assert read_manifest(stored) == entries
            except EpochbankError as error:
                assert str(stored / "manifest.") in str(error)  # noqa: PT017  Either outcome is right.
                refused += 1
        assert refused == len(whole) or not always
        (stored / name).write_bytes(whole)
    assert read_manifest(stored) == entries


def test_a_damaged_check_is_named(stored: Path) -> None:
    """If `manifest.check` is damaged and the manifest is not, the message names it; without it, the set is readable."""
    path = stored / "manifest.check"
    whole = path.read_bytes()
    path.write_bytes(whole[:75] + b"#" + whole[76:])
    everyone_refuses(stored, "manifest.check, line 2 is damaged", "remove it and run `augment verify`")
    path.unlink()
    assert augment("verify", stored, "--jobs", 1).exit_code == 0


def test_a_check_that_lags_behind_is_completed(stored: Path) -> None:
    """A power failure after a line and before its checksum loses nothing, and the next writer adds the checksum."""
    path = stored / "manifest.check"
    whole, entries = path.read_bytes(), read_manifest(stored)
    for kept in (whole[:-70], whole[:-71], whole[:-1], whole[:-30] + b"\0" * 30, b""):
        path.write_bytes(kept)
        assert read_manifest(stored) == entries
        ManifestWriter(stored).close()
        assert path.read_bytes() == whole


def test_an_unfinished_line_is_ignored(stored: Path) -> None:
    """A line that was being written when the power failed has no checksum yet; readers ignore it."""
    path, entries = stored / "manifest.jsonl", read_manifest(stored)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[0][:50])
    assert read_manifest(stored) == entries
    assert len(open_set(stored).epochs) == 2
    ManifestWriter(stored).close()
    assert path.read_bytes() == whole


def test_the_documented_format(stored: Path) -> None:
    """Each line of `manifest.check`: its number, bytes of the manifest up to its end, their XXH3-128, and a CRC-32."""
    manifest = (stored / "manifest.jsonl").read_bytes()
    length = 0
    for number, (line, record) in enumerate(
        zip(manifest.splitlines(keepends=True), (stored / "manifest.check").read_text().splitlines(), strict=True), 1
    ):
        length += len(line)
        fields = record.split()
        assert [int(field) for field in fields[:2]] == [number, length]
        assert fields[2] == xxhash.xxh3_128_hexdigest(manifest[:length])


def test_a_commit_costs_the_same_for_any_set(tmp_path: Path, golden: Path) -> None:
    """Appending to a manifest of 2,000 lines writes one line to each file, and nothing else is opened."""
    (entry, *_) = read_manifest(golden)
    entries = [
        {"part": "epoch", "epoch": number, "start": 0, "images": 1, "chunk": 1, "codec": "none",
         "file": f"epoch-{number:04d}/0000000000.h5", "bytes": 1, "checksum": "0" * 32, "digest": "0" * 32}
        for number in range(2000)
    ]  # fmt: skip
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
    with contextlib.closing(ManifestWriter(tmp_path)) as writer:
        before = [(tmp_path / name).stat().st_size for name in ("manifest.jsonl", "manifest.check")]
        inodes = [(tmp_path / name).stat().st_ino for name in ("manifest.jsonl", "manifest.check")]
        writer.append(entry)
        after = [(tmp_path / name).stat().st_size for name in ("manifest.jsonl", "manifest.check")]
        assert inodes == [(tmp_path / name).stat().st_ino for name in ("manifest.jsonl", "manifest.check")]
    assert after[0] - before[0] < 400
    assert after[1] - before[1] == 70
    assert len(read_manifest(tmp_path)) == 2001


def test_a_pickled_set_is_small_and_the_same(stored: Path, tmp_path: Path) -> None:
    """Its entries are read again, without the lines that were added since; a shorter manifest is refused."""
    opened = open_set(stored)
    pickled = pickle.dumps(opened)
    assert opened.entries[0].checksum.encode() not in pickled
    lines = (stored / "manifest.jsonl").read_bytes()
    with contextlib.closing(ManifestWriter(stored)) as writer:
        writer.append(retirement(0))
    again = pickle.loads(pickled)
    assert again == opened
    assert type(again) is type(opened)
    assert again.epochs == (0, 1)
    assert pickle.loads(pickle.dumps(again)) == opened
    assert open_set(stored).epochs == (1,)
    (stored / "manifest.check").unlink()
    (stored / "manifest.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[:-1]))
    with pytest.raises(EpochbankError, match="Open the set again"):
        pickle.loads(pickled)


def test_following_the_advice_repairs_a_set_that_lost_lines(here: Path, stored: Path) -> None:
    """Remove `manifest.check`, run again: what the lost lines listed is generated again, with the same images."""
    digests = [one.digest for one in published_epochs(read_manifest(stored), open_set(stored).num_images["train"])]
    changed(stored, lambda lines: lines[:-2])
    result = run(here)
    assert result.exit_code == 1
    assert "remove manifest.check, then run `augment verify` and the same `augment run` again" in result.stderr
    (stored / "manifest.check").unlink()
    listed = augment("verify", stored, "--jobs", 1)
    assert "has 2 shards that the manifest does not list" in listed.stderr
    assert run(here).exit_code == 0
    assert augment("verify", stored, "--jobs", 1).exit_code == 0
    again = [one.digest for one in published_epochs(read_manifest(stored), open_set(stored).num_images["train"])]
    assert again == digests


# --- Sets of earlier versions ------------------------------------------------------------------------------------


def test_a_manifest_without_checksums_is_readable_and_upgraded_by_the_next_write(golden: Path) -> None:
    """The first append adds the checksums of all lines; the lines themselves are not touched."""
    before, entries = (golden / "manifest.jsonl").read_bytes(), read_manifest(golden)
    assert len(open_set(golden).epochs) == 4
    assert not (golden / "manifest.check").exists()
    with contextlib.closing(ManifestWriter(golden)) as writer:
        writer.append(entries[0])
    assert (golden / "manifest.jsonl").read_bytes().startswith(before)
    assert len((golden / "manifest.check").read_text().splitlines()) == len(entries) + 1
    changed(golden, lambda lines: lines[:4] + lines[5:])
    everyone_refuses(golden, "line 5 is damaged")


def test_earlier_versions_read_and_extend_the_manifest(stored: Path) -> None:
    """Its lines have exactly the keys of format 1, and lines without checksums that such a version appends count."""
    path = stored / "manifest.jsonl"
    keys = ["part", "epoch", "start", "images", "chunk", "codec", "file", "bytes", "checksum", "digest", "redrawn",
            "undistorted"]  # fmt: skip
    lines = path.read_text().splitlines()
    assert all(list(json.loads(line)) == keys for line in lines)
    more = [json.loads(line) | {"epoch": 7} for line in lines if '"part":"epoch","epoch":1' in line]
    for line in more:
        line["file"] = line["file"].replace("epoch-0001", "epoch-0007")
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in more)
    assert [one.epoch for one in published_epochs(read_manifest(stored), open_set_train(stored))] == [0, 1, 7]
    ManifestWriter(stored).close()
    assert len((stored / "manifest.check").read_text().splitlines()) == len(lines) + len(more)


def open_set_train(stored: Path) -> int:
    return int(json.loads((stored / "set.json").read_text())["images"]["train"])


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_shards_without_any_manifest_are_refused(golden: Path, damage: Callable[[Path], object]) -> None:
    """Also without checksums: a killed run leaves one shard that is not listed, not all of them."""
    damage(golden / "manifest.jsonl")
    everyone_refuses(golden, "is empty or missing, but there are")


@pytest.mark.parametrize(
    "change",
    [{"epoch": 1}, {"start": 24}, {"images": 0}, {"images": "24"}, {"images": 2**70}, {"chunk": 0}, {"codec": "lzma"},
     {"codec": ["zstd"]}, {"bytes": -1}, {"bytes": 1.5}, {"digest": "x" * 32}, {"digest": 7}, {"checksum": ""},
     {"part": "epochs"}, {"part": None}, {"epoch": True}, {"redrawn": 25}, {"file": "../a.h5"}, {"file": "/etc/passwd"},
     {"file": "epoch-0000/../epoch-0001/0000000000.h5"}, {"file": "epoch-0001/0000000000.h5"}, {"file": 5},
     {"file": "/dev/zero"}, {"file": "train/0000000000.h5"}],
    ids=str,
)  # fmt: skip
def test_impossible_values_are_refused(golden: Path, change: dict) -> None:
    """Also without checksums, a line of impossible values, or that names a file elsewhere, is damaged."""
    lines = [json.loads(line) for line in (golden / "manifest.jsonl").read_text().splitlines()]
    number = next(at for at, line in enumerate(lines) if line["file"] == "epoch-0000/0000000000.h5")
    lines[number] |= change
    (golden / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    everyone_refuses(golden, f"line {number + 1} is damaged")


def test_json_that_is_nested_too_deep_is_refused(golden: Path) -> None:
    """It would exhaust the stack of the parser."""
    changed(golden, lambda lines: [b"[" * 100_000 + b"\n", *lines])
    everyone_refuses(golden, "line 1 is damaged")


def test_overlapping_shards_are_refused(golden: Path) -> None:
    """Positions that two shards have would be shown twice."""
    line = json.loads((golden / "manifest.jsonl").read_text().splitlines()[2])
    assert (line["part"], line["start"], line["images"]) == ("train", 0, 24)
    more = line | {"start": 20, "images": 4, "file": "train/0000000020.h5"}
    changed(golden, lambda lines: [*lines, json.dumps(more).encode() + b"\n"])
    everyone_refuses(golden, "positions 20 to 23 of train twice")


# --- verify: what the set should hold ------------------------------------------------------------------------------


def test_verify_finds_what_the_manifest_of_an_earlier_version_lost(golden: Path) -> None:
    """A split or an epoch with a gap, and an epoch between others, are faults, one line each."""
    kept = [line for line in (golden / "manifest.jsonl").read_bytes().splitlines(keepends=True)
            if b'"validation"' not in line and b'"epoch":1,' not in line
            and b'"epoch":2,"start":24' not in line]  # fmt: skip
    changed(golden, lambda lines: kept)
    result = augment("verify", golden, "--jobs", 1, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert not facts["sound"]
    validation, first, second, unlisted = facts["faults"]
    assert "validation is unfinished: no shard has 4 images from position 0 on" in validation
    assert "epoch-0001 is unfinished: no shard has 32 images from position 0 on" in first
    assert "epoch-0002 is unfinished: no shard has 8 images from position 24 on" in second
    assert "4 shards that the manifest does not list" in unlisted


def test_verify_prints_json_whatever_is_damaged(stored: Path) -> None:
    """Also if set.json, split.h5 or the manifest is."""
    for name in ("split.h5", "manifest.jsonl", "set.json"):
        data = (stored / name).read_bytes()
        (stored / name).write_bytes(data[: len(data) // 2])
        result = augment("verify", stored, "--jobs", 1, "--json")
        assert result.exit_code == 1
        facts = json.loads(result.stdout)
        assert not facts["sound"]
        assert str(stored / name) in facts["faults"][0]
        (stored / name).write_bytes(data)
    assert json.loads(augment("verify", stored, "--jobs", 1, "--json").stdout)["sound"]


def test_verify_reports_every_fault(stored: Path) -> None:
    """A damaged split.h5 does not hide damaged shards."""
    (stored / "split.h5").write_bytes(b"")
    shard = stored / read_manifest(stored)[0].file
    shard.write_bytes(b"")
    result = augment("verify", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert f"{stored / 'split.h5'} is damaged" in result.stderr
    assert f"{shard} (" in result.stderr
    assert len(json.loads(augment("verify", stored, "--jobs", 1, "--json").stdout)["faults"]) == 2


# --- What may be in the directory of a set -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set.json", "split.h5", "manifest.jsonl", "manifest.check", "epoch-0000", ".lock",
                                  "log.jsonl"])  # fmt: skip
def test_links_out_of_a_set_are_refused(here: Path, stored: Path, name: str, tmp_path: Path) -> None:
    """A run would write through them into a file of the user's."""
    mine = tmp_path / "mine"
    if (stored / name).exists():
        (stored / name).rename(mine)
    else:
        mine.write_text("precious")
    (stored / name).symlink_to(mine)
    before = mine.read_bytes() if mine.is_file() else None
    for result in (augment("info", stored), augment("verify", stored, "--jobs", 1), run(here, "--epochs", 3)):
        assert result.exit_code == 1, result.output
        assert (
            f"{stored / name} is a symbolic link to {mine}; expected a file or a directory in the set" in result.stderr
        )
    with pytest.raises(EpochbankError, match="cp -rL"):
        open_set(stored)
    assert before is None or mine.read_bytes() == before


def test_a_shard_that_is_a_link_out_of_the_set_does_not_count(stored: Path, tmp_path: Path) -> None:
    """It is missing, even if the file that it leads to is right."""
    shard = stored / read_manifest(stored)[0].file
    shard.rename(tmp_path / "elsewhere.h5")
    shard.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(EpochbankError, match="it is a symbolic link to"):
        open_set(stored)
    assert "it is a symbolic link to" in augment("verify", stored, "--jobs", 1).stderr


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["set.json", "split.h5", "manifest.jsonl", "manifest.check", "shard"])
def test_a_fifo_is_not_opened(stored: Path, name: str) -> None:
    """Opening one would wait forever."""
    path = stored / (read_manifest(stored)[-1].file if name == "shard" else name)
    path.unlink()
    os.mkfifo(path)
    for command in ("info", "verify"):
        result = augment(command, stored)
        if command == "verify" or name != "shard":
            assert result.exit_code == 1
            assert str(path) in result.stderr
            assert "no regular file" in result.stderr
    with pytest.raises(EpochbankError, match="no regular file"):
        open_set(stored)


def test_links_to_sets_and_inside_them_are_accepted(stored: Path, tmp_path: Path) -> None:
    """A set may be reached through a link, and may contain a link to another place of the same set."""
    link = tmp_path / "link"
    link.symlink_to(stored)
    (stored / "epoch-0000").rename(stored / "elsewhere")
    (stored / "epoch-0000").symlink_to("elsewhere")
    assert augment("verify", link, "--jobs", 1).exit_code == 0
    assert len(open_set(link).epochs) == 2


@pytest.mark.parametrize(
    "change",
    [{"class_names": [1]}, {"class_names": []}, {"images": {"train": 5}}, {"images": []}, {"recipe": 7},
     {"images": {"train": -1, "validation": 0, "test": 0}}, {"split_checksum": None}, {"source": {}}, {"source": []},
     {"warnings": [3]}, {"fingerprint": "0" * 64}, {"identity": {}}, {"identity": {"shape": [8, 8]}},
     {"identity": {"shape": [1 << 20, 1 << 20, 3]}}],
    ids=str,
)  # fmt: skip
def test_a_set_with_impossible_values_is_refused(stored: Path, change: dict) -> None:
    """Even if somebody computed the checksum of set.json again."""
    path = stored / "set.json"
    document = json.loads(path.read_text()) | change
    document.pop("checksum")
    path.write_text(json.dumps(document | {"checksum": fingerprint_of(document)}))
    for command in (("info", stored), ("verify", stored), ("list", "--sets", stored.parent)):
        result = augment(*command)
        assert result.exit_code == 1
        assert f"{path} is damaged" in result.stderr
