"""What a newcomer meets: interrupted refreshes, names with two meanings, waiting without a name, a set that is gone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import small_set
from epochbank import EpochbankError
from epochbank.augment.cli import main as augment
from epochbank.augment.generation.publisher import Publisher
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.augment.shared.progress import Progress, progress_text
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.find import KINDS, open_source
from epochbank.augment.store import manifest
from epochbank.augment.store.catalog import find_set
from epochbank.augment.views.inspection.text import FORMATS
from epochbank.train.cli import main as train
from epochbank.train.feeding.wait import wait_for_epoch

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 5}


def call(*words: object, group: object = augment) -> Result:
    result = CliRunner().invoke(group, [str(word) for word in words])  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of three epochs, each in five shards."""
    return small_set(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def here(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that directory, which is the current one."""
    copy = Path(shutil.copytree(sound, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def stored(here: Path) -> Path:
    """The set, by its relative path."""
    return next(Path("sets").glob("*/set.json")).parent


def interrupt_refresh(stored: Path, shards: int, epochs: int = 2) -> None:
    """Interrupt a refresh after some shards have been published; each epoch has five."""
    publish, left = Publisher._publish, [shards]

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return publish(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Publisher, "_publish", interrupted)
        patched.setattr(manifest, "GROUP", 1)
        with pytest.raises(KeyboardInterrupt):
            epochbank.refresh(stored, epochs, jobs=1)


# --- An interrupted refresh -------------------------------------------------------------------------------------------


def test_an_interrupted_refresh_is_shown(stored: Path) -> None:
    """`info` and `list` say what is left to do, and how to continue; after the refresh they say nothing."""
    assert "refresh" not in call("info", stored).stdout
    interrupt_refresh(stored, shards=7)
    facts = json.loads(call("info", stored, "--json").stdout)["refresh"]
    assert facts == {"first": 2, "stop": 5, "to_publish": [4], "to_retire": [1], "writer": None}
    text = call("info", stored).stdout
    assert "refresh      unfinished; epochs to publish: 4; to retire: 1" in text
    assert f"`augment refresh {stored}` continues it" in text
    assert "--cancel" in text
    assert f"{stored.name}  (refresh unfinished)" in call("list").stdout
    assert call("refresh", stored, "--jobs", 1).exit_code == 0
    assert json.loads(call("info", stored, "--json").stdout)["refresh"] is None
    assert "refresh" not in call("list").stdout


def test_a_running_refresh_is_not_called_unfinished(stored: Path) -> None:
    interrupt_refresh(stored, shards=1)
    with writing(stored / LOCK):
        assert (
            f"refresh      running; epochs to publish: 3, 4; to retire: 0, 1\n             process {os.getpid()} "
            in (call("info", stored).stdout)
        )
        assert "(refresh running)" in call("list").stdout


def test_a_canceled_refresh_keeps_what_is_published(stored: Path) -> None:
    """Shards of an incomplete epoch stay, and another refresh completes them; nothing is generated twice."""
    interrupt_refresh(stored, shards=7)
    lines = (stored / "manifest.jsonl").read_bytes()
    result = call("refresh", stored, "--cancel")
    assert result.exit_code == 0, result.output
    assert "epochs       3 published: 1 to 3" in result.stdout
    assert "incomplete   1 epoch: 4; the published shards stay" in result.stdout
    assert "--epochs 4 completes" in result.stdout
    assert (stored / "manifest.jsonl").read_bytes() == lines
    assert "refresh" not in call("list").stdout
    assert epochbank.open_set(stored).epochs == (1, 2, 3)
    (fault,) = epochbank.verify(stored, jobs=1)
    assert "epoch-0004 is unfinished" in fault
    assert epochbank.refresh(stored, 1, jobs=1).new == [4]
    assert epochbank.open_set(stored).epochs == (2, 3, 4)
    assert epochbank.verify(stored, jobs=1) == []


def test_a_canceled_refresh_is_extended_by_run(stored: Path) -> None:
    """The advice of --cancel holds: `augment run` completes the incomplete epoch."""
    interrupt_refresh(stored, shards=2, epochs=1)
    canceled = epochbank.refresh(stored, cancel=True)
    assert (canceled.canceled, canceled.kept, canceled.incomplete) == (True, [0, 1, 2], [3])
    epochbank.generate("a.npz", epochs=4, **SMALL)
    assert epochbank.open_set(stored).epochs == (0, 1, 2, 3)
    assert epochbank.verify(stored, jobs=1) == []


def test_only_an_unfinished_refresh_can_be_canceled(stored: Path) -> None:
    """A set without one, one that is running, and --epochs are refused; a damaged goal is removed."""
    result = call("refresh", stored, "--cancel")
    assert result.exit_code == 1
    assert f"{stored} has no unfinished refresh" in result.stderr
    interrupt_refresh(stored, shards=1)
    with writing(stored / LOCK):
        assert "is being written by another run" in call("refresh", stored, "--cancel").stderr
    assert call("refresh", stored, "--cancel", "--epochs", 2).exit_code == 2
    assert (stored / "refresh.json").exists()
    (stored / "refresh.json").write_text("{")
    assert f"`augment refresh {stored} --cancel`" in call("info", stored).stderr
    assert call("refresh", stored, "--cancel").exit_code == 0
    assert call("info", stored).exit_code == 0


# --- Names with two meanings ------------------------------------------------------------------------------------------


def test_a_tag_and_a_directory_of_the_same_name_are_refused(stored: Path) -> None:
    """The message names both; a path with a slash and a `Path` mean the directory."""
    epochbank.tag(stored, "baseline")
    shutil.copytree(stored, "baseline")
    Path("baseline", "tags.json").unlink()
    result = call("info", "baseline")
    assert result.exit_code == 1
    assert "the directory ./baseline" in result.stderr
    assert f"the tag of {stored}" in result.stderr
    for explicit in ("./baseline", "baseline/", Path("baseline"), Path("baseline").absolute()):
        assert find_set(explicit, Path("sets")).samefile("baseline")
    assert find_set(stored.name, Path("sets")) == stored


def test_a_copy_here_and_the_set_are_refused(stored: Path) -> None:
    """`augment copy SET .` makes a directory of the same name; in `sets/` itself, both are one set."""
    shutil.copytree(stored, stored.name)
    with pytest.raises(EpochbankError, match="means several sets") as refused:
        find_set(stored.name, Path("sets"))
    assert f"./{stored.name}" in str(refused.value)
    assert str(stored) in str(refused.value)
    os.chdir("sets")
    assert find_set(stored.name, Path("../sets")).samefile(stored.name)


# --- train fit --wait -------------------------------------------------------------------------------------------------


def half(stored: Path, name: str) -> Path:
    """Make a copy of a set that has its splits, but only two shards of its first epoch."""
    copy = Path(shutil.copytree(stored, stored.with_name(name)))
    lines = (copy / "manifest.jsonl").read_text().splitlines(keepends=True)
    epoch = [line for line in lines if '"part":"epoch","epoch":0' in line]
    (copy / "manifest.check").unlink()
    (copy / "manifest.jsonl").write_text("".join([line for line in lines if '"part":"epoch"' not in line] + epoch[:2]))
    return copy


def complete(copy: Path, stored: Path) -> None:
    shutil.copy(stored / "manifest.jsonl", copy)


def test_the_set_that_is_being_made_is_waited_for(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the complete one that was written later."""
    copy = half(stored, "being-made")
    later = time.time() + 100
    os.utime(stored / "manifest.jsonl", (later, later))
    with writing(copy / LOCK):
        timer = threading.Timer(0.3, complete, (copy, stored))
        timer.start()
        assert wait_for_epoch(None, Path("sets"), idle=5) == copy
        timer.join()
    assert f"set that a run is making: {copy}" in capsys.readouterr().err


def test_a_set_whose_source_is_imported_is_waited_for(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a run imports a source, its set does not exist, and the newest set is another one."""
    lock = writing(Path("sets/sources") / LOCK)
    made = stored.with_name("made")
    imported = threading.Event()

    def run() -> None:
        with lock:
            imported.set()
            time.sleep(0.4)
        made.mkdir()
        with writing(made / LOCK):
            for name in ("split.h5", "manifest.jsonl", "manifest.check", "set.json"):
                shutil.copy(stored / name, made)
            time.sleep(1)

    thread = threading.Thread(target=run)
    thread.start()
    assert imported.wait(5)
    assert wait_for_epoch(None, Path("sets"), idle=5, grace=0.1) == made
    thread.join()
    assert "waiting for the set that is begun by process" in capsys.readouterr().err


def test_without_a_run_the_newest_set_is_used(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a moment in which a run may begin; the message says which set, and why."""
    begun = time.monotonic()
    assert wait_for_epoch(None, Path("sets"), grace=0.3) == stored
    assert time.monotonic() - begun >= 0.3
    assert f"no run is making a set in sets/. Newest set: {stored}, last written " in capsys.readouterr().err


# --- A set that is gone -----------------------------------------------------------------------------------------------


def test_a_run_whose_set_is_gone_says_so(stored: Path) -> None:
    """`train evaluate` names the set and its fingerprint, and suggests no other set."""
    run, other = Path("runs/r"), stored.with_name(f"{stored.name[:-8]}0badcafe")
    run.mkdir(parents=True)
    fingerprint = epochbank.info(stored)["fingerprint"]
    config = {"set": {"path": str(stored.absolute()), "fingerprint": fingerprint}, "model": "cnn-small",
              "preprocessing": {"size": 8}}  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    stored.rename(other)
    result = call("evaluate", run, group=train)
    assert result.exit_code == 1
    for part in (str(stored.absolute()), fingerprint[:8], "augment run", "train predict"):
        assert part in result.stderr
    assert "Did you mean" not in result.stderr
    assert other.name not in result.stderr


def test_only_close_names_are_suggested(stored: Path) -> None:
    """A name with another fingerprint is another set; two swapped digits are a typo."""
    gone = f"{stored.name[:-8]}0badcafe"
    assert "Did you mean" not in call("info", gone).stderr
    swapped = stored.name[:-2] + stored.name[:-3:-1]
    if swapped == stored.name:  # The last two digits are equal.
        swapped = stored.name[:-1] + ("0" if stored.name[-1] != "0" else "1")
    assert f"Did you mean `{stored.name}`?" in call("info", swapped).stderr
    assert f"Did you mean `{stored.name}`?" in call("info", stored.name[:-2]).stderr


# --- Words and figures ------------------------------------------------------------------------------------------------


def test_inspect_names_the_format(stored: Path) -> None:
    """An export is a folder of `.npz` files; `kind` is a prefix of SOURCE, and every kind has a readable name."""
    assert call("export", stored, "exported", "--format", "npz", "--jobs", 1).exit_code == 0
    assert "source       exported (NumPy arrays)" in call("inspect", "exported", "--jobs", 1).stdout
    kind = json.loads(call("inspect", "exported", "--jobs", 1, "--json").stdout)["kind"]
    assert open_source(f"{kind}:exported", SourceOptions()).name == "exported"
    assert {*KINDS, "digits", "python", "source file"} == {*FORMATS}


def test_an_unknown_or_meaningless_rate_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A slow rate is per minute, waiting has none, and neither has work of which nothing was done."""
    assert (
        progress_text(5, 100, "images", 50.0) == "5 of 100 images (5 %), 6/min, elapsed 50.0 s, remaining 15 min 50 s"
    )
    assert progress_text(5, 100, "images", 50.0, waiting=True) == "5 of 100 images (5 %), elapsed 50.0 s"
    for waiting, count in ((True, 7), (False, 0)):
        with Progress("wait for x", 10, waiting=waiting) as progress:
            progress.advance(count)
        said = capsys.readouterr().err
        assert f"wait for x: {count} images {'after' if waiting else 'in'} " in said
        assert "/s" not in said
        assert "/min" not in said


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_interrupted_overnight_says_how_to_continue(tmp_path: Path) -> None:
    """Ctrl-C reaches `make`, its shell and the command; the last line of the log and the hint are printed."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/.ready").touch()
    fake = tmp_path / "venv/bin/augment"
    fake.write_text(
        f"#!{sys.executable}\nimport sys, time\nprint('begun', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('Interrupted. 3 shards stay.')\n"
        "    sys.exit(130)\n"
    )
    fake.chmod(0o755)
    sets = tmp_path / "sets"
    words = ["make", "overnight", f"VENV={tmp_path / 'venv'}", f"SETS={sets}", "JOBS=1"]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        log, until = sets / "overnight.log", time.monotonic() + 30
        while not (log.exists() and "begun" in log.read_text()):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert "Interrupted. 3 shards stay." in said
    assert "Run the same make command again to continue." in said
