"""The latency of epochbank's stream: time to the first batch, intervals between batches, slow disks."""

from collections.abc import Callable
from typing import Any

import click

from disk import DELAY, LIMIT, PACE, limited_disk, network_disk
from pace import STEP, batch_intervals, first_batch
from peers import Images
from peers.epochbank import CODECS


def measure_latency(images: Images) -> dict[str, Any]:
    """Measure all of them; print each result, and return them as JSON values."""
    from epochbank.train.training.backend import start_backend  # Keras takes seconds to import.

    start_backend()
    click.echo("")
    result: dict[str, Any] = {
        "first_batch": {codec: first_batch(images, codec) for codec in CODECS},
    }
    click.echo(_line("first batch after", result["first_batch"], lambda seconds: f"{1e3 * seconds:.1f} ms"))
    result["evenness"] = {codec: batch_intervals(images, codec) for codec in ("none", "lz4", "zstd")}
    for codec, found in result["evenness"].items():
        click.echo(f"{codec}, as fast as they come: {_describe(found['unthrottled'])}")
        click.echo(f"{codec}, {1e3 * STEP:.0f} ms per batch: {_describe(found['paced'])}")
    disk = {codec: limited_disk(images, codec) for codec in ("none", "lz4", "zstd")}
    result["limited_disk"] = {"bytes_per_second": LIMIT, **disk}
    rates = {codec: found["rate"] for codec, found in disk.items()}
    head = f"disk of {LIMIT / 1e6:.0f} MB/s, cold"
    click.echo(_line(head, rates, lambda rate: f"{rate:,.0f} images/s ({rate / rates['none']:.2f} times none)"))
    result["network_disk"] = {"delay": DELAY, **network_disk(images, "zstd")}
    found = result["network_disk"]
    click.echo(f"delay of {1e3 * DELAY:.0f} ms per read: zstd {found['rate']:,.0f} images/s with the default threads")
    click.echo(f"the same, {1e3 * PACE:.0f} ms per batch: {_describe(found['paced'])}")
    return result


def _line(head: str, values: dict[str, float], text: Callable[[float], str]) -> str:
    return f"{head}: " + ", ".join(f"{name} {text(value)}" for name, value in values.items())


def _describe(found: dict[str, float]) -> str:
    return (
        f"a batch every {found['interval_median_ms']:.2f} ms (99th percentile {found['interval_p99_ms']:.2f}), "
        f"waited {found['waited_median_ms']:.3f} ms (99th percentile {found['waited_p99_ms']:.3f}), "
        f"{100 * found['waited_share']:.2f} % of the time"
    )
