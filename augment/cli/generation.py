"""Commands that generate epochs: `augment run`, `plan` and `refresh`."""

import json
import os
from pathlib import Path
from typing import Any

import click

from ..console import notify
from .group import main
from .options import (
    backend_options,
    jobs_option,
    json_option,
    limit_options,
    run_options,
    sets_option,
    shard_options,
    status_option,
    trust_option,
    wait_option,
)


@main.command()
@click.argument("source", type=click.Path())
@run_options
@click.option("--profile", is_flag=True, help="Print where the time went, by step and operation.")
@click.option("--print-path", is_flag=True, help="Print only the set's path, for scripts.")
def run(source: str, profile: bool, print_path: bool, **keywords: Any) -> None:
    """Generate a set, or complete it.

    The set contains the training, validation and test splits of SOURCE, and distorted epochs of the training split.

    SOURCE is `digits`, a folder with one folder per class, a .zip of one, arrays (.npz, .npy, .mat, HDF5), a list
    of images and labels (.csv, .tsv, .jsonl, .json), pixels in columns (.csv), .parquet, WebDataset (.tar) or
    TFRecord files, a folder of IDX files (MNIST), files of the ETL Character Database or of CASIA-HWDB (.gnt),
    `python:module:function`, or what `augment import` or `augment export` wrote. If the command is interrupted,
    run it again to continue. With a larger --epochs it generates only the new epochs.

    \b
    Examples:
      augment run digits --epochs 5
      augment run photos/ --recipe my.toml --size 64x64 --epochs 20
      augment run omniglot.zip --group-pattern '_(\\d+)\\.png$'
      augment run etl/ --etl-sets 8G,9G --characters kanji
      augment run letters/ --per-class 200:2000
      augment run digits --epochs 7 --profile
    """
    from ...api import contents, generation
    from ..store.objects.mirror import shown
    from ..views.info import info_lines, split_lines

    result = generation.run(source, **keywords)
    place = shown(result.directory)
    if print_path:
        for line in split_lines(contents.info(result.directory)) if result.log is not None else []:
            notify(line.strip())
        click.echo(os.fsencode(place))
        return
    if result.log is None:
        click.echo(f"{place} is complete: nothing to do.\n\nNext: train fit {place}")
        return
    click.echo("\n".join([*info_lines(contents.info(result.directory), details=False), *result.log.lines()]))
    if profile:
        click.echo("\n" + "\n".join(result.log.profile.lines()))
    click.echo(f"\nNext: train fit {place}    (to look at it: augment preview {place})")


@main.command()
@click.argument("source", type=click.Path())
@run_options
@json_option
def plan(source: str, as_json: bool, sets: Path, **keywords: Any) -> None:
    """Estimate images, bytes and hours of a run.

    Print what `augment run` with the same arguments would write, how long it would take on this machine and
    with more cores, measured by a calibration run with a sample of the images, and whether the disk can hold it.
    Nothing is written.

    \b
    Examples:
      augment plan digits --epochs 20
      augment plan digits --epochs 20 --json
    """
    from ...api import generation
    from ..shared.disk_space import check_disk_space
    from ..store.objects.urls import url_of

    planned = generation.plan(source, sets=sets, **keywords)
    click.echo(json.dumps(planned.to_json(), indent=2) if as_json else "\n".join(planned.lines()))
    if url_of(sets) is None:
        check_disk_space(sets, planned.bytes, "the set and its source file" if planned.import_estimate else "the set")


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--epochs", type=click.IntRange(1), default=1, help="Number of new epochs.")
@click.option("--cancel", is_flag=True,
              help="Cancel an interrupted refresh: generate and retire nothing more. What is published "
              "stays.")  # fmt: skip
@shard_options
@limit_options
@status_option
@sets_option
@jobs_option
@backend_options
@wait_option
@trust_option
def refresh(name: str | None, epochs: int, cancel: bool, sets: Path, **keywords: Any) -> None:
    """Generate new epochs of a set, and retire the oldest.

    The set keeps its number of epochs. The new epochs continue the numbering, and no epoch is generated twice. Each
    new epoch is published as soon as it is complete; then the oldest one is retired. Files that a training run reads
    are kept until it ends. If the command is interrupted, run it again to continue, or with --cancel to keep the set as
    it is; `augment info` shows what is unfinished.

    \b
    Examples:
      augment refresh --epochs 2
      augment refresh baseline --epochs 5 --keep-free 50GB
      augment refresh baseline --cancel
    """
    from ...api import generation
    from ..lifecycle.refresh import refresh_lines

    click.echo("\n".join(refresh_lines(generation.refresh(name, epochs, cancel=cancel, sets=sets, **keywords))))
