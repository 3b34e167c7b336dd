"""One try: run a command in a forked process, judge how it ended and what it left, and run it again."""

import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import table
from epochbank.train.cli import main as train
from small_set import Stage, augment, left_over, problems_as_messages, state, stream_set, wrong_in

SECONDS = 60.0
"""Seconds after which a try counts as a hang."""


def run_here(words: list[str]) -> dict[str, Any]:
    """Run a command in this process: exit code, standard output, and standard error as `text`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code: Any = 0
        try:
            if words[0] == "stream":
                with problems_as_messages():
                    print(stream_set(Path(words[1])))
            elif words[0] == "train":
                train.main(args=words[1:], prog_name="train")
            else:
                augment.main(args=words, prog_name="augment")
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            code = -1
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        for file in (out, err):
            file.seek(0)
        return {"code": code, "output": out.read().decode(), "text": err.read().decode()}


def state_or_fault(directory: Path) -> dict[str, str]:
    """Return the `state` of a directory, or what prevents that as the state of the file ''."""
    try:
        return state(directory)
    except Exception as error:  # Judged as a difference.
        return {"": repr(error)}


def in_child(work: Callable[[], dict[str, Any]], seconds: float = SECONDS) -> dict[str, Any]:
    """Return the result of `work` in a forked process; `{"signal": number}` if it is killed, or hangs (SIGKILL)."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        try:
            result = work()
        except BaseException:
            result = {"code": -1, "output": "", "text": traceback.format_exc(), "faults": [traceback.format_exc()]}
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(result))
        os._exit(0)
    os.close(writing)
    until, data = time.monotonic() + seconds, b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], max(0, until - time.monotonic()))[0]:
                os.kill(process, signal.SIGKILL)
                break
            piece = pipe.read(1 << 16)
            if not piece:
                break
            data += piece
    _, status = os.waitpid(process, 0)
    return json.loads(data) if data else {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1}


def judge(stage: Stage, ended: dict[str, Any], done: tuple[Any, str], work: Path) -> list[str]:
    """Return what is wrong with how the command ended; `done` is the state and the output of an undisturbed one."""
    text = ended.get("text", "")
    if ended.get("signal"):
        return [f"{'hang' if ended['signal'] == signal.SIGKILL else 'crash'}: ended by signal {ended['signal']}"]
    if "Traceback" in text or "Exception ignored" in text:
        return ["traceback: on standard error"]
    if ended["code"] == 0:
        if stage.writes and "was not written" in text:  # Virtual datasets, which the same command adds.
            ended["state"] = {**done[0], **ended["state"]}
        if stage.writes and ended["state"] != done[0] and not (stage.name == "gc" and "note: " in ended["output"]):
            return [f"WRONG: exit code 0 with another result: {difference(done[0], ended['state'])}"]
        if not stage.writes and ended["output"] != done[1]:
            return [f"WRONG: exit code 0 with another output: {ended['output'][-300:]}"]
        return []
    if ended["code"] != 1 and not (ended["code"] == 2 and "is not readable" in text):  # click's message for a path.
        return [f"exit code: {ended['code']} instead of 1"]
    # What a training prints first names the set, and its error ends with how to resume the run.
    said = text.partition("Error: ")[2].partition("resume with: ")[0] if stage.name == "train" else text
    if str(work) not in said + ended["output"] and "memory ran out" not in text and "too many open files: " not in text:
        return ["no path: the message names no path"]
    if "Error: " not in text:
        return ["no error: exit code 1 without a message"]
    return []


def afterwards(
    stage: Stage, ended: dict[str, Any], done: tuple[Any, str], work: Path, expected: dict[int, str], label: str = ""
) -> dict[str, Any]:
    """Check what the command left, run it again without a fault, and check the result; return `{"faults": list}`.

    `done` is the state and the output of an undisturbed command, `label` the name of the fault.
    """
    faults = wrong_in(work, expected, damaged=stage.damaged)
    name = stage.name.removeprefix("workers ")
    finished = ended.get("code") == 0 and not stage.repeats
    # A reader may fail after a file was published; then it is complete, which is checked below.
    finished |= name == "import" and (work / "source.h5").exists()
    finished |= name == "copy" and (work / "copied/set.json").exists()
    removed = name == "remove" and not list(work.glob("sets/[!.]*/set.json"))
    # What cannot be removed at the end of an export is left beside it, and `gc` removes what a removal has left.
    stuck = (not stage.repeats or name == "tag") and any(
        word in label for word in ("unlink", "read-only", "broken", "gone")
    )
    if removed or not finished:
        again = run_here(["gc", "--yes", "--sets", f"{work}/sets"] if removed else stage.words(work))
        complete = name == "train" and "is finished: " in again["text"]  # Its last call failed.
        if again["code"] != 0 and not complete:
            faults.append(f"again: exit code {again['code']}: {again['text'][-400:]}")
        elif not stage.writes and again["output"] != done[1]:
            faults.append(f"again: another output: {again['output'][-300:]}")
    if (left := left_over(work)) and (name == "train" or not stuck):
        faults.append(f"left over: {left}")
    found = state(work)
    if "was not written" in ended.get("text", "") and not stage.repeats:  # Virtual datasets; nothing depends on them.
        found = {**done[0], **found}
    if not left and not removed and found != done[0]:
        faults.append(f"again WRONG: {difference(done[0], found)}")
    return {"faults": faults}


def difference(expected: dict[str, str], found: dict[str, str]) -> str:
    names = [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
    what = {name: f"{str(expected.get(name))[:12]} -> {str(found.get(name))[:60]}" for name in names[:6]}
    return f"{len(names)} of {len(expected)} files: {what}"


def summary(found: list[dict[str, Any]]) -> str:
    """Return a table of tries by stage, a table by fault, and the kinds of faults that were found."""
    texts = [_by("stage", found), _by("fault", found)]
    faults = Counter((one["stage"], one["fault"], _kind(fault)) for one in found for fault in one["faults"])
    examples: dict[Any, str] = {}
    for one in found:
        for fault in one["faults"]:
            examples.setdefault(
                (one["stage"], one["fault"], _kind(fault)), f"n={one['number']} {one['path']}: {fault} | {one['text']}"
            )
    for (stage, label, kind), count in faults.most_common():
        texts.append(f"{count} x {stage}, {label}, {kind}: {examples[stage, label, kind][:600]}")
    return "\n\n".join(texts)


def _kind(fault: str) -> str:
    return fault.partition(":")[0]


def _by(column: str, found: list[dict[str, Any]]) -> str:
    rows = []
    for name in dict.fromkeys(one[column] for one in found):
        mine = [one for one in found if one[column] == name]
        rows.append(
            {
                column: name,
                "tries": len(mine),
                "refused": sum(one["code"] != 0 for one in mine),
                "succeeded": sum(one["code"] == 0 for one in mine),
                "faults": sum(bool(one["faults"]) for one in mine),
            }
        )
    rows.append(
        {column: "all", **{key: sum(row[key] for row in rows) for key in rows[0] if key != column}} if rows else {}
    )
    return table(rows, [column, "tries", "refused", "succeeded", "faults"])
