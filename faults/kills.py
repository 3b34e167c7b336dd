"""Kill commands at random moments, check what a reader sees then, and run the same command again.

    python faults/kills.py --kills 1000 --minutes 40

Each try begins with a folder, starts a command in it, and kills the command, one of its workers or its whole process
group, or sends SIGINT or SIGTERM. Then it checks the exit code and the message, that no process is left after five
seconds, and that a new reader sees only complete epochs with the images of an undisturbed run. The same command is run
again: all files must have the contents of an undisturbed run, and no temporary file may be left.

Half of the moments are drawn uniformly from the time in which an undisturbed command changes files; half come up to
10 ms after one of its changes, the n-th for a random n. Only a SIGKILL that hits a command which has changed something,
and has not ended, counts as a kill.
Tries accumulate in a file until there are enough, so the campaign can be interrupted and continued.
"""

import argparse
import collections
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import RESULTS, Tries, table

WORKERS = 2
TRAINING = "checkpointing"


def main() -> int:
    """Run the campaign, or as much of it as the time allows; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="SIGKILLs at work, over all stages [1000]")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after this time; the next call continues")
    parser.add_argument("--seed", type=int, default=None, help="seed of the moments [random]")
    parser.add_argument("--only", default="", metavar="STAGE,...", help="stages, such as generation,refresh [all]")
    parser.add_argument("--results", type=Path, default=RESULTS / "kills.jsonl", help="file of the tries")
    parser.add_argument("--dir", type=Path, default=None, help="directory for the work [a new temporary one]")
    parser.add_argument("--drivers", type=int, default=2, help="tries at the same time [2]")
    parser.add_argument("--driver", choices=["augment", "train"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.seed = random.randrange(2**31) if options.seed is None else options.seed
    tries = Tries(options.results)
    if options.driver:
        from killing import Driver

        Driver(options, tries).run(lambda: missing(options, tries.read()))
        return 0
    before = len(tries.read())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # Ends the drivers, too.
    with tempfile.TemporaryDirectory(prefix="epochbank-kills-", dir=options.dir) as folder:
        failed = _supervise(options, tries, Path(folder), before)
    found = tries.read()
    print(table(*summary(found)))
    for one in found:
        for fault in one["faults"]:
            print(f"fault: {one['stage']} ({one['victim']}, {one['mode']}, {one['seconds']:.3f} s): {fault}")
            print(f"  kept in {one['kept']}")
    new = found[before:]
    print(
        f"{len(new)} tries by this call with seed {options.seed}; {sum(missing(options, found).values())} kills missing"
    )
    return int(failed or any(one["faults"] for one in found))


def missing(options: argparse.Namespace, tries: list[dict[str, Any]]) -> dict[str, int]:
    """Return the number of kills that each stage lacks, for the stages that lack any."""
    from stages import stages

    only = options.only.split(",") if options.only else []
    chosen = [stage for stage in stages().values() if not only or stage.name in only]
    total = sum(stage.share for stage in chosen)
    counted = collections.Counter(one["stage"] for one in tries if is_kill(one))
    lacks = {stage.name: -(-options.kills * stage.share // total) - counted[stage.name] for stage in chosen}
    return {name: int(number) for name, number in lacks.items() if number > 0}


def is_kill(one: dict[str, Any]) -> bool:
    """Return whether a try was a SIGKILL that hit the command at work."""
    return one["when"] == "working" and one["victim"].startswith("KILL")


def summary(tries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of the table, one for each stage and victim and one for all, and its columns."""
    columns = ["stage", "victim", "tries", "working", "before", "after", "resumes", "faults"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = collections.defaultdict(list)
    for one in tries:
        groups[one["stage"], one["victim"]].append(one)
    groups["all", "SIGKILL"] = [one for one in tries if one["victim"].startswith("KILL")]
    groups["all", "SIGINT, SIGTERM"] = [one for one in tries if not one["victim"].startswith("KILL")]
    rows = []
    for (stage, victim), ones in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0])):
        when = collections.Counter(one["when"] for one in ones)
        counts = {name: when[name] for name in ("working", "before", "after")}
        resumes, faults = sum(one["resumed"] for one in ones), sum(bool(one["faults"]) for one in ones)
        rows.append(
            {"stage": stage, "victim": victim, "tries": len(ones), **counts, "resumes": resumes, "faults": faults}
        )
    return rows, columns


def _supervise(options: argparse.Namespace, tries: Tries, folder: Path, before: int) -> bool:
    """Keep `options.drivers` drivers busy, one of them with the trainings first; return whether one of them failed."""
    begun, shown, started, failed = time.monotonic(), time.monotonic(), 0, False
    running: list[subprocess.Popen] = []
    try:
        while True:
            for ended in [one for one in running if one.poll() is not None]:
                running.remove(ended)
                failed |= ended.returncode != 0
            lacks, left = missing(options, tries.read()), options.minutes * 60 - (time.monotonic() - begun)
            if failed or (not running and (not lacks or left <= 0)):
                return failed
            roles = ["train"] if TRAINING in lacks and not any("train" in one.args for one in running) else []
            roles += ["augment"] * options.drivers if set(lacks) - {TRAINING} else []
            for role in roles[: options.drivers - len(running)] if left > 0 else []:
                started += 1
                running.append(_driver(options, role, folder / str(started), options.seed + started, left))
            if time.monotonic() - shown > 20:
                shown = time.monotonic()
                new = tries.read()[before:]
                rate = len(new) / (shown - begun) * 60
                kills, faults = sum(map(is_kill, new)), sum(bool(one["faults"]) for one in new)
                print(
                    f"{len(new)} tries, {kills} kills at work, {rate:.0f} tries a minute, {faults} faults", flush=True
                )
            time.sleep(0.5)
    finally:
        for one in running:
            one.terminate()
            one.wait()


def _driver(options: argparse.Namespace, role: str, folder: Path, seed: int, seconds: float) -> subprocess.Popen:
    folder.mkdir()
    words = ["--driver", role, "--dir", folder, "--seed", seed, "--kills", options.kills, "--only", options.only]
    words += ["--results", options.results.absolute(), "--minutes", seconds / 60]
    return subprocess.Popen([sys.executable, __file__, *map(str, words)])


if __name__ == "__main__":
    sys.exit(main())
