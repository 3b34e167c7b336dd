"""The command line of stage 2. It translates words into calls and results into text; nothing else.

Modules are imported by the command that needs them: `--help` needs none.
"""

import json
from pathlib import Path

import click

from augment import __version__
from augment.console import HELP, Commands, say

_sets = click.option("--sets", type=click.Path(path_type=Path), default="sets", help="Directory of the sets.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_batch_size = click.option("--batch-size", type=click.IntRange(1), default=256, help="Pictures in a batch.")
_mix = click.option(
    "--mix", type=click.FloatRange(0, 1), default=0.5, help="Share of originals in a batch; 1: originals alone."
)


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
@_mix
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, dropout and order.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.002,
              help="Peak rate of Adam: warmed up, then let down along a cosine.")  # fmt: skip
@click.option("--patience", type=click.IntRange(0), default=10,
              help="Stop after so many epochs without a lower validation loss; 0: never.")  # fmt: skip
@click.option("--precision", type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]), default="float32",
              help="Mixed precision makes recent GPUs faster.")  # fmt: skip
@click.option("--run", type=click.Path(path_type=Path), help="New run directory.  [default: one in runs/]")
@_sets
def fit(name: str | None, run: Path | None, sets: Path, **words: object) -> None:
    """Train a model on a set and judge it.

    Without SET, the newest. The run directory keeps the best model, the metrics and the pictures.

    \b
    Examples:
      train fit
      train fit sets/digits-kanji-1f2e3d4c --model cnn --epochs 50 --batch-size 512
      train fit --model my_models:wide --mix 0.25
    """
    from train.backend import start_backend
    from train.bank import open_set

    bank = open_set(name, sets)
    say(start_backend())
    from train.fit import FitOptions
    from train.fit import fit as fit_model
    from train.report import write_report

    say(f"{bank.path}: {bank.images['train']:,} training pictures, {len(bank.epochs)} stored epochs, "
        f"{len(bank.class_names):,} classes")  # fmt: skip
    fitted = fit_model(bank, FitOptions(**words), run)  # type: ignore[arg-type]
    part = next((part for part in ("test", "validation") if part in fitted.held_out), "")
    pictures = write_report(fitted.run, fitted.history, fitted.held_out.get(part), part, bank.class_names)
    for part, result in fitted.held_out.items():
        click.echo(f"{part:10} accuracy {100 * result.accuracy:.2f} %  loss {result.loss:.4f}  "
                   f"({result.images:,} pictures)")  # fmt: skip
    click.echo(f"model      {fitted.run / 'model.keras'}")
    click.echo("pictures   " + "\n           ".join(map(str, pictures)))


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--split", type=click.Choice(["validation", "test"]), default="test", help="The held-out part.")
@_batch_size
@_json
def evaluate(run: Path | None, split: str, batch_size: int, as_json: bool) -> None:
    """Judge a run's best model.

    On a held-out part, batch by batch. Without RUN, the newest in runs/.

    \b
    Examples:
      train evaluate
      train evaluate runs/digits-kanji-1f2e3d4c-20260101-120000 --split validation --json
    """
    from train.backend import start_backend
    from train.run import find_run

    directory = find_run(run)
    start_backend()
    from train.evaluate import evaluate_run

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
@_batch_size
@_mix
@click.option("--seconds", type=click.FloatRange(0), default=5.0, help="Stream for at least so long.")
@click.option("--threads", type=click.IntRange(1), help="Decoding threads.  [default: up to 4]")
@click.option("--model", metavar="NAME|MODULE:FUNCTION", help="Also time training steps of this model.")
@click.option("--steps", type=click.IntRange(1), default=50, help="Training steps to time.")
@_sets
def bench(name: str | None, batch_size: int, mix: float, seconds: float, threads: int | None,
          model: str | None, steps: int, sets: Path) -> None:  # fmt: skip
    """Measure how fast a set streams.

    With --model, also how long a training step waits for it. Without SET, the newest.

    \b
    Examples:
      train bench
      train bench --model cnn --batch-size 1024
    """
    from train.backend import start_backend
    from train.bank import open_set
    from train.bench import step_time, stream_rate

    bank = open_set(name, sets)
    click.echo("\n".join(stream_rate(bank, batch_size, mix, seconds, threads).lines()))
    if model is not None:
        say(start_backend())
        click.echo("\n".join(step_time(bank, model, batch_size, mix, steps).lines()))
