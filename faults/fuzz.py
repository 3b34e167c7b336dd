"""Feed every parser of epochbank with bytes that a coverage-guided fuzzer (Atheris) invents.

    python faults/fuzz.py --minutes 1                  # each parser for one minute
    python faults/fuzz.py --minutes 30 --only csv zip  # two parsers, for half an hour each
    python faults/fuzz.py --replay csv FILE            # one input, with its traceback

A parser may return or raise `EpochbankError`. Another exception, a crash, more than 2 s of processor time or more than
500 MB of memory is a fault (2 GB for Parquet, because PyArrow allocates what a page claims). Each parser has a separate
process, and its inputs stay in --corpus, where a later run continues. Each kind of fault is kept once, minimized, in
--findings. The script ends with exit code 1 if there is a fault. It needs `pip install 'epochbank[fuzz]'`, and
the development dependencies for the valid inputs.
"""

import argparse
import contextlib
import hashlib
import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz_json import mutated
from fuzz_targets import PARSERS, Parser, memory

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 2.0
"""Processor time that one input may take."""
_ADDRESS_SPACE = 2 << 30
"""Bytes that a process may allocate beyond what the imports took: a larger array is a `MemoryError`."""
_HANG = 20
"""Seconds after which libFuzzer ends a process whose input does not end."""
_TREES = 0.7
"""Share of the inputs in JSON that are mutated as a tree, and not as bytes."""
_MINIMIZING = 10.0
"""Seconds spent on making a finding shorter."""


@dataclass
class Result:
    """What fuzzing one parser gave."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    inputs: int = 0
    """Inputs in the corpus."""
    findings: dict[str, Path] = field(default_factory=dict)
    """One input for each kind of fault."""


def main() -> int:
    """Run the command line."""
    options = _arguments()
    if options.replay:
        return _replay(options.replay[0], Path(options.replay[1]))
    if options.child:
        return _child(options.child, options.seconds, options.corpus, options.findings)
    if importlib.util.find_spec("atheris") is None:
        print("Atheris is not installed. Install it: pip install 'epochbank[fuzz]'", file=sys.stderr)
        return 1
    names = options.only or list(PARSERS)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda name: _fuzz(name, options), names))
    _print_table(results)
    return int(any(result.findings for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes for each parser (default 1)")
    parser.add_argument(
        "--only", nargs="+", choices=list(PARSERS), metavar="PARSER", help=f"some of: {', '.join(PARSERS)}"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="parsers at a time (default: one per core)"
    )
    parser.add_argument(
        "--corpus", type=Path, default=ROOT / "build/fuzz/corpus", help="inputs that a later run continues with"
    )
    parser.add_argument("--findings", type=Path, default=ROOT / "build/fuzz/findings", help="inputs that are faults")
    parser.add_argument("--replay", nargs=2, metavar=("PARSER", "FILE"), help="read one input, and print its traceback")
    parser.add_argument("--child", choices=list(PARSERS), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- The process that starts one process after another for a parser -----------------------------------------------


def _fuzz(name: str, options: argparse.Namespace) -> Result:
    """Fuzz a parser in processes that each end with their time or with a crash."""
    corpus, findings = options.corpus / name, options.findings / name
    corpus.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(findings, ignore_errors=True)
    findings.mkdir(parents=True)
    result, end = Result(name), time.monotonic() + 60 * options.minutes
    started = time.monotonic()
    while (left := end - time.monotonic()) > 1:
        words = ("--child", name, "--seconds", str(int(left)), "--corpus", str(corpus), "--findings", str(findings))
        # libFuzzer ends a process without its clean-up, so the files of the process are removed here.
        with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory()) as folder:
            environment = {**os.environ, "TMPDIR": folder}
            command = [sys.executable, __file__, *words]
            process = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
            log.seek(0)
            text = log.read().decode(errors="replace")
        if process.returncode and not _keep_crash(text, process.returncode, findings):
            print(f"{name}: the fuzzer ended with code {process.returncode}:\n{text[-2000:]}", file=sys.stderr)
            result.findings["the fuzzer failed"] = findings
            break
    counts = [int(one.read_text()) for one in findings.glob("executions-*")]
    result.executions, result.seconds = sum(counts), time.monotonic() - started
    result.inputs = len(list(corpus.iterdir()))
    result.findings |= {_kind_of(one): one for one in sorted(findings.glob("*.input"))}
    print(
        f"{name}: {result.executions:,} executions, {len(result.findings)} kinds of faults", file=sys.stderr, flush=True
    )
    return result


def _keep_crash(text: str, code: int, findings: Path) -> bool:
    """Keep the input with which libFuzzer ended the process, as a separate kind of finding; False if there is none."""
    kept = False
    for artifact in [one for one in findings.iterdir() if re.match("(crash|timeout|oom|leak|slow-unit)-", one.name)]:
        what = artifact.name.partition("-")[0]
        # The frames of a crash in a library, or the last line that libFuzzer printed.
        frames = re.findall(r"#\d+ .*? in (\S+)", text) or re.findall(r"ERROR: (.*)", text)
        _keep(findings, f"{what} (exit {code})", f"{what}: {' '.join(frames[:3])}", artifact.read_bytes(), text[-8000:])
        artifact.unlink()
        kept = True
    return kept


def _print_table(results: list[Result]) -> None:
    print(f"{'parser':14} {'executions':>12} {'minutes':>8} {'per second':>11} {'corpus':>7} {'faults':>7}")
    for one in [*results, _sum(results)]:
        rate = one.executions / max(one.seconds, 1e-9)
        print(
            f"{one.name:14} {one.executions:12,} {one.seconds / 60:8.1f} {rate:11,.0f} {one.inputs:7,} "
            f"{len(one.findings):7}"
        )
    for one in results:
        for kind, path in one.findings.items():
            print(f"{one.name}: {kind}\n    {path}")


def _sum(results: list[Result]) -> Result:
    total = Result("all")
    for one in results:
        total.executions, total.seconds = total.executions + one.executions, total.seconds + one.seconds
        total.inputs += one.inputs
        total.findings |= {f"{one.name}: {kind}": path for kind, path in one.findings.items()}
    return total


# --- The process that fuzzes --------------------------------------------------------------------------------------


def _child(name: str, seconds: int, corpus: Path, findings: Path) -> int:
    """Fuzz one parser in this process, which libFuzzer ends."""
    import atheris

    parser = PARSERS[name]
    with atheris.instrument_imports(include=list(parser.modules)):
        for module in parser.modules:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(module)
    folder = Path(tempfile.mkdtemp())
    watch = Watch(parser, folder, findings)
    seeds = parser.seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:02d}").write_bytes(seed)
        watch.read(seed)
    _limit_memory(_ADDRESS_SPACE)
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what parsers print, until the end
    words = findings / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in parser.words))
    flags = [
        f"-max_total_time={seconds}", f"-timeout={_HANG}", "-rss_limit_mb=0", f"-max_len={parser.longest}",
        f"-artifact_prefix={findings}/", "-verbosity=1", "-reload=0", *([f"-dict={words}"] if parser.words else ()),
    ]  # fmt: skip

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        changed = mutated(data, random) if random.random() < _TREES else None
        return changed if changed is not None and len(changed) <= most else atheris.Mutate(data, most)

    atheris.Setup(
        [sys.argv[0], str(corpus), *flags], watch.read, **({"custom_mutator": mutate} if _is_json(seeds) else {})
    )
    atheris.Fuzz()
    return 0


def _is_json(seeds: list[bytes]) -> bool:
    """Return whether the inputs of a parser are JSON, which is then mutated as a tree."""
    return any(mutated(seed, Random(0)) is not None for seed in seeds)


class Watch:
    """Reads inputs, and keeps one input of each kind of fault, minimized."""

    def __init__(self, parser: Parser, folder: Path, findings: Path):
        self._parser, self._folder, self._findings = parser, folder, findings
        self._known: set[str] = {_kind_of(path) for path in findings.glob("*.input")}
        self._count, self._counter = 0, findings / f"executions-{os.getpid()}"
        self._highest = _resident()

    def read(self, data: bytes) -> None:
        """Read an input; faults are hidden from the fuzzer, so that it continues."""
        self._count += 1
        if self._count % 256 == 0 or self._count == 1:
            self._counter.write_text(str(self._count))
        kind, trace = self.fault_of(data)
        if kind and kind not in self._known:
            self._known.add(kind)
            _keep(self._findings, kind, kind, self._minimized(data, kind), trace)

    def fault_of(self, data: bytes) -> tuple[str, str]:
        """Return the kind of fault that an input is, and its traceback; empty if it is none."""
        started = time.process_time()
        kind, trace = attempt(self._parser.parse, data, self._folder)
        spent, highest = time.process_time() - started, _resident()
        grown, self._highest = highest - self._highest, highest
        if not kind and spent > _SECONDS:
            kind = trace = f"more than {_SECONDS:.0f} s"
        if not kind and grown > self._parser.memory:
            kind = trace = f"more than {self._parser.memory >> 20} MB"
        return kind, trace

    def _minimized(self, data: bytes, kind: str) -> bytes:
        """Return a shorter input with the same kind of fault: pieces are left out as long as it stays the same."""
        if kind.startswith("more than"):
            return data
        end, size = time.monotonic() + _MINIMIZING, max(1, len(data) // 2)
        while size:
            at = 0
            while at < len(data) and time.monotonic() < end:
                shorter = data[:at] + data[at + size :]
                if self.fault_of(shorter)[0] == kind:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data


def attempt(parse: Callable[[bytes, Path], None], data: bytes, folder: Path) -> tuple[str, str]:
    """Read an input; return the kind of fault, which names exception and place, and the traceback, or two ''."""
    from epochbank import EpochbankError

    try:
        parse(data, folder)
    except EpochbankError as error:
        text = str(error)
        return (f"message of {len(text):,} characters", text[:2000]) if len(text) > 20_000 else ("", "")
    except Exception as error:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "/augment/" in frame.filename
            or "/train/" in frame.filename or "/epochbank/" in frame.filename
        ]  # fmt: skip
        place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
        return f"{type(error).__name__} in {place}", traceback.format_exc()
    return "", ""


def _keep(findings: Path, kind: str, title: str, data: bytes, trace: str) -> None:
    """Write an input and its traceback; the first line of the latter is the kind."""
    name = re.sub(r"\W+", "-", kind).strip("-")[:60] + "-" + hashlib.sha256(title.encode()).hexdigest()[:6]
    (findings / f"{name}.input").write_bytes(data)
    (findings / f"{name}.txt").write_text(f"{title}\n{trace}")


def _kind_of(finding: Path) -> str:
    return finding.with_suffix(".txt").read_text().partition("\n")[0]


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)


def _escaped(word: str) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'\\"' else f"\\x{byte:02x}" for byte in word.encode("utf-8")
    )


def _replay(name: str, path: Path) -> int:
    """Read one input, and print what happens."""
    signal.alarm(60)
    with tempfile.TemporaryDirectory() as folder:
        kind, trace = attempt(PARSERS[name].parse, path.read_bytes(), Path(folder))
    print(f"{kind}\n{trace}" if kind else "no fault")
    return int(bool(kind))


if __name__ == "__main__":
    sys.exit(main())
