"""Memory and handles of streaming: from 20,000 to 2,000,000 pictures, and over 1,000 epochs of a small set.

    python benchmarks/memory_streaming.py             # some minutes, and 400 MB of temporary disk

The large set is the small one, with its shards named a hundred times in the manifest. Each is streamed in a process of
its own, at mix 0.5; what is told is anonymous memory, as it stands and at its peak, open files and threads.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, replace
from pathlib import Path

import click

from glyphs import write_npz

_TIMES = 100
_SMALL = 1500
_EPOCHS = 1000


@click.command()
@click.option("--images", default=20_000, help=f"Pictures of the first set; the second has {_TIMES} times as many.")
@click.option("--stream", "streamed", type=(Path, int), hidden=True, help="Stream so many epochs of a set.")
def main(images: int, streamed: tuple[Path, int] | None) -> None:
    if streamed is not None:
        click.echo(json.dumps(_stream(*streamed)))
        return
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        small = _make(Path(folder) / "small", images)
        large = _repeated(small, Path(folder) / "large", _TIMES)
        tiny = _make(Path(folder) / "tiny", _SMALL)
        click.echo(f"{'':34}{'images':>12}{'memory, MB':>12}{'peak, MB':>10}{'files':>7}{'threads':>9}{'images/s':>12}")
        # One epoch of the large set is as many pictures as a hundred of the small one.
        for name, path, epochs in (("small set", small, _TIMES), ("large set", large, 1), ("tiny set", tiny, _EPOCHS)):
            for moment in _streamed(path, epochs):
                click.echo(
                    f"{name + ', ' + moment['when']:34}{moment['images']:>12,}{moment['memory']:>12.1f}"
                    f"{moment['peak']:>10.1f}{moment['files']:>7}{moment['threads']:>9}{moment['rate']:>12,.0f}"
                )


def _make(sets: Path, images: int) -> Path:
    sets.mkdir()
    write_npz(sets / "glyphs.npz", images)
    words = [
        "--shard-size",
        "16384",
        "--epochs",
        "1",
        "--sets",
        str(sets),
        "--validation",
        "0",
        "--test",
        "0",
        "--print-path",
    ]
    command = [sys.executable, "-m", "epochbank.augment", "run", str(sets / "glyphs.npz"), *words]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(made.stdout.strip())


def _repeated(small: Path, large: Path, times: int) -> Path:
    """A set in `large` whose parts and epochs are those of `small`, so many times one after the other."""
    from epochbank.augment.store.description import read_description, write_description
    from epochbank.augment.store.manifest import read_manifest

    large.mkdir()
    description = read_description(small)
    images = {part: times * count for part, count in description.images.items()}
    write_description(large, replace(description, images=images))
    with open(large / "manifest.jsonl", "w") as file:
        for turn in range(times):
            for entry in read_manifest(small):
                of_part = description.images["train"]
                path = Path(entry.file).with_stem(f"{turn:04d}-{Path(entry.file).stem}")
                (large / path).parent.mkdir(exist_ok=True)
                os.link(small / entry.file, large / path)  # Another file to open, the same bytes.
                moved = replace(entry, start=entry.start + turn * of_part, file=str(path))
                file.write(json.dumps(asdict(moved)) + "\n")
    return large


def _streamed(path: Path, epochs: int) -> list[dict]:
    command = [sys.executable, __file__, "--stream", str(path), str(epochs)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _stream(path: Path, epochs: int) -> list[dict]:
    import time

    from epochbank.train.feeding.augmented_set import open_set
    from epochbank.train.streaming.batches import TrainingBatches
    from epochbank.train.streaming.stream import Stream

    bank = open_set(path)
    batches = TrainingBatches(bank.images["train"], bank.epochs, 256, 0.5)
    stream = Stream(bank, batches, seed=0, threads=2)
    moments, seen, begun, peak = [], 0, time.perf_counter(), 0.0
    total = epochs * len(batches)
    for step in range(total):
        seen += len(stream.batch(*divmod(step, len(batches)))[1])
        if step % 64 == 0:
            peak = max(peak, _memory())
        if step + 1 in (total // 20, total):
            moments.append(
                {
                    "when": "at its end" if step + 1 == total else "after a twentieth",
                    "images": seen,
                    "memory": _memory(),
                    "peak": peak,
                    "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                    "threads": threading.active_count(),
                    "rate": seen / (time.perf_counter() - begun),
                }
            )
    stream.close()
    return moments


def _memory() -> float:
    """Anonymous resident memory, MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main()
