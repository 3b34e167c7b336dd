"""The command line of stage 2. It translates words into calls and results into text; nothing else.

Modules are imported by the command that needs them: `--help` needs none.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .. import __version__
from ..augment.console import HELP, Commands, say
from ..augment.errors import EpochbankError
from .options import (
    batch_size_option,
    json_option,
    mix_option,
    precision_option,
    sets_option,
    shard_option,
    shuffle_option,
    threads_option,
)

if TYPE_CHECKING:
    from .streaming.order import Shuffle


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Train from a set that `augment run` made, at the speed of the GPU.

    \b
    Start here:
      augment run digits --epochs 5
      train fit
      train evaluate
    """


@main.command()
@click.argument("name", metavar="[SET]", required=False)
@click.option("--model", default="cnn-small", metavar="NAME|MODULE:FUNCTION",
              help="cnn-small, cnn, or a function of (shape, classes) that returns a Keras model.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=30, help="Training epochs.")
@click.option("--batch-size", type=click.IntRange(1),
              help="Pictures in a batch.  [default: 256, fewer for a small set]")  # fmt: skip
@mix_option
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, dropout and order.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.002,
              help="Peak rate of Adam: warmed up, then let down along a cosine.")  # fmt: skip
@click.option("--patience", type=click.IntRange(0), default=10,
              help="Stop after so many epochs without a lower validation loss; 0: never.")  # fmt: skip
@precision_option
@threads_option
@shard_option
@shuffle_option
@click.option("--deterministic", is_flag=True, help="Two runs give equal metrics, on the same machine; slower.")
@click.option("--checkpoint-minutes", type=click.FloatRange(0), default=5.0,
              help="Write a checkpoint so many minutes after the last one; 0: however long it takes.")  # fmt: skip
@click.option("--checkpoint-steps", type=click.IntRange(1), help="Write one after so many steps, too.")
@click.option("--run", type=click.Path(path_type=Path), help="New run directory.  [default: one in runs/]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN",
              help="Go on with this interrupted run, at the step of its last checkpoint.")  # fmt: skip
@sets_option
def fit(name: str | None, run: Path | None, resume: Path | None, sets: Path, **words: object) -> None:
    """Train a model on a set and judge it.

    Without SET, the newest. The run directory keeps the best model, the metrics and the pictures. Interrupted,
    it also has a checkpoint: with --resume, and without what the training was begun with, it goes on from there.

    \b
    Examples:
      train fit
      train fit sets/digits-kanji-1f2e3d4c --model cnn --epochs 50 --batch-size 512
      train fit --model my_models:wide --mix 0.25
      train fit --resume runs/digits-kanji-1f2e3d4c-20260101-120000
    """
    from .feeding.augmented_set import open_set
    from .training.backend import start_backend

    if resume is not None:
        from .training.run_directory import find_unfinished

        changes = _given_anew(resume)
        find_unfinished(resume)
        say(start_backend())
        from .training.fit import resume as resume_fit

        fitted = resume_fit(resume, **changes)
    else:
        bank = open_set(name, sets)
        say(start_backend())
        from .training.fit import FitOptions
        from .training.fit import fit as fit_model

        say(f"{bank.path}: {bank.images['train']:,} training pictures, {len(bank.epochs)} stored epochs, "
            f"{len(bank.class_names):,} classes")  # fmt: skip
        fitted = fit_model(bank, FitOptions(**words), run)  # type: ignore[arg-type]
    from .training.report import write_report

    part = next((part for part in ("test", "validation") if part in fitted.held_out), "")
    pictures = write_report(fitted.run, fitted.history, fitted.held_out.get(part), part, fitted.bank.class_names)
    for part, result in fitted.held_out.items():
        click.echo(f"{part:10} accuracy {100 * result.accuracy:.2f} %  loss {result.loss:.4f}  "
                   f"({result.images:,} pictures)")  # fmt: skip
    click.echo(f"data       {fitted.advice}")
    click.echo(f"model      {fitted.run / 'model.keras'}")
    click.echo("pictures   " + "\n           ".join(map(str, pictures)))


def _given_anew(resume: Path) -> dict[str, Any]:
    """The words given with `--resume`; refused where they would have another training go on than was begun."""
    context = click.get_current_context()
    given = [param for param in context.command.params
             if context.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT]  # fmt: skip
    harmless = {"checkpoint_minutes", "checkpoint_steps", "threads"}
    refused = [param.opts[0] if isinstance(param, click.Option) else "SET"
               for param in given if param.name not in {"resume", *harmless}]  # fmt: skip
    if refused:
        raise EpochbankError(
            f"{', '.join(refused)} together with --resume; expected --checkpoint-minutes, --checkpoint-steps and "
            f"--threads at most: {resume} goes on with what it was begun with, as its config.json has it. Leave the "
            "rest out, or train anew, without --resume.",
            words=True,
        )
    return {param.name: context.params[param.name] for param in given if param.name in harmless}


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--split", type=click.Choice(["validation", "test"]), default="test", help="The held-out part.")
@batch_size_option
@json_option
def evaluate(run: Path | None, split: str, batch_size: int, as_json: bool) -> None:
    """Judge a run's best model.

    On a held-out part, batch by batch. Without RUN, the newest in runs/.

    \b
    Examples:
      train evaluate
      train evaluate runs/digits-kanji-1f2e3d4c-20260101-120000 --split validation --json
    """
    from .training.backend import start_backend
    from .training.run_directory import find_run

    directory = find_run(run)
    start_backend()
    from .training.evaluate import evaluate_run

    bank, result = evaluate_run(directory, split, batch_size)
    if as_json:
        click.echo(json.dumps({"run": str(directory), "split": split, **result.figures()}))
        return
    click.echo(f"{directory}, {split}: accuracy {100 * result.accuracy:.2f} %, loss {result.loss:.4f}, "
               f"{result.images:,} pictures")  # fmt: skip
    for (true, predicted), count in result.confusions.most_common(5):
        click.echo(f"  {count} x {bank.class_names[true]} taken for {bank.class_names[predicted]}")


@main.command()
@click.argument("name", metavar="[SET]", required=False)
@batch_size_option
@mix_option
@click.option("--seconds", type=click.FloatRange(0), default=5.0, help="Stream for at least so long.")
@threads_option
@shard_option
@shuffle_option
@click.option("--model", metavar="NAME|MODULE:FUNCTION", help="Also time training steps of this model.")
@click.option("--steps", type=click.IntRange(2), default=50, help="Training steps in each of five rounds.")
@precision_option
@sets_option
def bench(name: str | None, batch_size: int, mix: float, seconds: float, threads: int | None,
          shard: tuple[int, int] | None, shuffle: "Shuffle", model: str | None, steps: int, precision: str,
          sets: Path) -> None:  # fmt: skip
    """Measure how fast a set streams.

    With --model, also its headroom: the time of a training step on the stream over that of a step on one cached
    batch, and how busy an NVIDIA GPU is. Without SET, the newest.

    \b
    Examples:
      train bench
      train bench --model cnn --batch-size 1024 --precision mixed_float16
    """
    from .benchmark.measure import step_time, stream_rate
    from .feeding.augmented_set import open_set
    from .streaming.batches import TrainingBatches
    from .streaming.stream import Stream
    from .training.backend import start_backend

    bank = open_set(name, sets)
    batches = TrainingBatches(bank.images["train"], bank.epochs, batch_size, mix, *(shard or (0, 1)))
    click.echo("\n".join(stream_rate(Stream(bank, batches, seed=0, threads=threads, shuffle=shuffle), seconds).lines()))
    if model is not None:
        say(start_backend())
        full = replace(batches, drop_last=True)
        stream = Stream(bank, full, seed=0, threads=threads, shuffle=shuffle)
        click.echo("\n".join(step_time(stream, model, steps, precision).lines()))
