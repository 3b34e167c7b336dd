"""Memory, open files and threads of streaming: 20,000 to 2,000,000 images, and 1,000 epochs of a small set.

    python benchmarks/memory_streaming.py             # a few minutes, and 400 MB of temporary disk

The large set is the small one with its shards listed a hundred times in the manifest. Each set is streamed in a
separate process, with half originals. The memory is anonymous memory, current and peak.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

import checkout  # noqa: F401
from glyphs import write_npz

_TIMES = 100
_SMALL = 1500
_EPOCHS = 1000


@click.command()
@click.option(
    "--images", "num_images", default=20_000, help=f"Images of the first set; the second has {_TIMES} times as many."
)
@click.option("--final", help="Final augmentation: the name of a built-in one, or a file.")
@click.option("--mixup", default=0.0, help="Alpha of MixUp; 0 for none.")
@click.option("--stream", "streamed", type=(Path, int), hidden=True, help="Stream this number of epochs of a set.")
def main(num_images: int, final: str | None, mixup: float, streamed: tuple[Path, int] | None) -> None:
    if streamed is not None:
        click.echo(json.dumps(_stream(*streamed, final, mixup)))
        return
    options = [*(["--final", final] if final else []), "--mixup", str(mixup)]
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        small = _make(Path(folder) / "small", num_images)
        large = _repeated(small, Path(folder) / "large", _TIMES)
        tiny = _make(Path(folder) / "tiny", _SMALL)
        click.echo(f"{'':34}{'images':>12}{'memory, MB':>12}{'peak, MB':>10}{'files':>7}{'threads':>9}{'images/s':>12}")
        # One epoch of the large set has as many images as a hundred epochs of the small one.
        for name, path, epochs in (("small set", small, _TIMES), ("large set", large, 1), ("tiny set", tiny, _EPOCHS)):
            for moment in _streamed(path, epochs, options):
                click.echo(
                    f"{name + ', ' + moment['when']:34}{moment['images']:>12,}{moment['memory']:>12.1f}"
                    f"{moment['peak']:>10.1f}{moment['files']:>7}{moment['threads']:>9}{moment['rate']:>12,.0f}"
                )


def _make(sets: Path, num_images: int) -> Path:
    sets.mkdir()
    write_npz(sets / "glyphs.npz", num_images)
    options = f"--shard-size 16384 --epochs 1 --sets {sets} --validation 0 --test 0 --print-path".split()
    command = [sys.executable, "-m", "epochbank.augment", "run", str(sets / "glyphs.npz"), *options]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(made.stdout.strip())


def _repeated(small: Path, large: Path, times: int) -> Path:
    """Make a set in `large` whose splits and epochs are those of `small`, repeated `times` times."""
    from epochbank.augment.store.description import read_description, write_description
    from epochbank.augment.store.manifest import ManifestWriter, read_manifest, shard_file

    large.mkdir()
    description = read_description(small)
    num_images = {split: times * count for split, count in description.num_images.items()}
    write_description(large, replace(description, num_images=num_images))
    with closing(ManifestWriter(large)) as manifest:
        for turn in range(times):
            for entry in read_manifest(small):
                start = entry.start + turn * description.num_images["train"]
                path = shard_file(entry.split, entry.epoch, start)
                (large / path).parent.mkdir(exist_ok=True)
                os.link(small / entry.file, large / path)  # Another file to open, with the same bytes.
                manifest.append(replace(entry, start=start, file=path))
    return large


def _streamed(path: Path, epochs: int, options: list[str]) -> list[dict]:
    command = [sys.executable, __file__, "--stream", str(path), str(epochs), *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _stream(path: Path, epochs: int, final: str | None, mixup: float) -> list[dict]:
    import time

    from epochbank.augment.store import shard_index
    from epochbank.train.feeding.augmented_set import open_set
    from epochbank.train.feeding.batch_options import BatchOptions
    from epochbank.train.streaming.batches import TrainingBatches
    from epochbank.train.streaming.stream import Stream

    shard_index.check_identity = lambda file, entry: None  # The large set lists shards more than once.
    stored_set = open_set(path)
    batches = TrainingBatches(stored_set.num_images["train"], stored_set.epochs, 256, 0.5)
    options = BatchOptions(final, mixup).stream_options(stored_set, 0)
    stream = Stream(stored_set, batches, seed=0, threads=2, **options)
    moments, seen, start, peak = [], 0, time.perf_counter(), 0.0
    total = epochs * len(batches)
    for step in range(total):
        seen += len(stream.batch(*divmod(step, len(batches)))[0])
        if step % 64 == 0:
            peak = max(peak, _memory())
        if step + 1 in (total // 20, total):
            moments.append(
                {
                    "when": "at the end" if step + 1 == total else "after a twentieth",
                    "images": seen,
                    "memory": _memory(),
                    "peak": peak,
                    "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                    "threads": threading.active_count(),
                    "rate": seen / (time.perf_counter() - start),
                }
            )
    stream.close()
    return moments


def _memory() -> float:
    """Return the anonymous resident memory in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main()
