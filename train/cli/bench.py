"""How fast a set streams: `train bench`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...augment.console import notify
from .group import main
from .options import (
    cache_option,
    cache_size_option,
    final_option,
    originals_option,
    precision_option,
    rank_option,
    sets_option,
    shuffle_option,
    threads_option,
    training_batch_size_option,
    world_size_option,
)

if TYPE_CHECKING:
    from ..streaming.order import Shuffle


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@training_batch_size_option
@originals_option
@click.option("--seconds", type=click.FloatRange(0), default=5.0,
              help="Minimum seconds of each measurement: streaming, and with --model up to four times as long for "
              "the rounds of training steps.")  # fmt: skip
@threads_option
@rank_option
@world_size_option
@shuffle_option
@final_option
@click.option("--model", metavar="NAME|MODULE:FUNCTION", help="Also time training steps of this model.")
@click.option("--steps", type=click.IntRange(2), default=50,
              help="Training steps in each round; a model is measured in 5 to 25 rounds.")  # fmt: skip
@precision_option
@cache_option
@cache_size_option
@sets_option
def bench(name: str | None, batch_size: int | None, originals: float, seconds: float, threads: int | None,
          rank: int | None, world_size: int | None, shuffle: "Shuffle", final: str | None, model: str | None,
          steps: int, precision: str, cache: Path | None, cache_size: int | None, sets: Path) -> None:  # fmt: skip
    """Measure how fast a set streams.

    SET is a path, a URL, or a name in --sets; the default is the set that was written last. With --model, also measure
    the headroom (the time of a training step on the stream, divided by that of a step on one cached batch) and the
    utilization of an NVIDIA GPU. This takes at least five rounds, and more if the rounds differ, for up to four times
    --seconds.

    \b
    Examples:
      train bench
      train bench --final characters
      train bench --model cnn --batch-size 1024 --precision mixed_float16
    """
    from ...augment.store.catalog import choose_set
    from ...augment.store.objects.urls import url_of
    from ..benchmark.measure import step_time, stream_rate
    from ..feeding.augmented_set import open_set
    from ..feeding.batch_options import BatchOptions
    from ..streaming.batches import TrainingBatches, suitable_batch_size
    from ..streaming.stream import Stream
    from ..training.backend import start_backend
    from ..training.model_names import check_model_name
    from ..training.trainable import check_classes

    if model is not None:
        check_model_name(model)
    stored_set = open_set(url_of(name) or choose_set(name, sets), cache=cache, cache_size=cache_size)
    num_images = stored_set.num_images["train"]
    batch_size = batch_size or suitable_batch_size(num_images, originals)
    batches = full_batches = TrainingBatches(
        num_images, stored_set.epochs, batch_size, originals, rank or 0, world_size or 1
    )
    if model is not None:
        check_classes(stored_set)
        full_batches = replace(batches, drop_last=True)
    options = BatchOptions(final).stream_options(stored_set, 0)
    stream = Stream(stored_set, batches, seed=0, threads=threads, shuffle=shuffle, **options)
    click.echo("\n".join(stream_rate(stream, seconds).lines()))
    if model is not None:
        notify(start_backend())
        stream = Stream(stored_set, full_batches, seed=0, threads=threads, shuffle=shuffle, **options)
        click.echo("\n".join(step_time(stream, model, steps, precision, 4 * seconds).lines()))
