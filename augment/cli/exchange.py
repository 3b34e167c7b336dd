"""Commands that write sets elsewhere: `augment export` and `copy`."""

from pathlib import Path
from typing import Any

import click

from ..console import Choice
from .group import main
from .options import jobs_option, sets_option


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("dest", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--format", type=Choice(["webdataset", "tfrecord", "parquet", "npz"]), default="webdataset",
              help="Format of the files.")  # fmt: skip
@click.option("--epochs", metavar="0,2-4",
              help="Stored epochs: numbers and ranges, or `none`.  [default: all published epochs]")  # fmt: skip
@click.option("--originals", is_flag=True, help="Add the undistorted training split, before the epochs.")
@click.option("--split", "splits", type=Choice(["train", "validation", "test"]), multiple=True,
              callback=lambda _, __, splits: splits or None,
              help="Export only this split; may be repeated.  [default: all splits]")  # fmt: skip
@sets_option
@jobs_option
def export(name: str, dest: Path, **keywords: Any) -> None:
    """Export epochs to WebDataset, TFRecord, Parquet or NumPy.

    Write the stored epochs as training images, and the undistorted validation and test splits, to the new directory
    DEST. Images are PNG files with label, class, group, row, epoch and position; `npz` has one array of images per
    split. DEST appears when the export is complete. `augment run DEST` uses it as a source.

    \b
    Examples:
      augment export baseline exported
      augment export baseline parquet/ --format parquet --epochs 0,2-4 --originals
      augment export baseline test/ --split test
    """
    from ...api import exchange
    from ..exchange.export import export_lines

    click.echo("\n".join(export_lines(exchange.export_set(name, dest, **keywords))))


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("dest", metavar="DEST", type=click.Path())
@click.option("--epochs", metavar="2-4", help="Consecutive stored epochs.  [default: all published epochs]")
@click.option("--with-source", is_flag=True, help="Also copy the source file, to sources/ beside the copy.")
@sets_option
@jobs_option
def copy(name: str, dest: str, **keywords: Any) -> None:
    """Copy a set, and verify the copy.

    Only what is published is copied. Every file is compared with its checksum as it is read, and the copy is read
    back. The copy appears at DEST when it is complete, or at DEST/NAME if DEST is a directory or ends in a slash. If
    the command is interrupted, run it again to continue. The copy needs the source file only to generate shards.

    \b
    Examples:
      augment copy baseline /mnt/backup/
      augment copy digits-kanji-1f2e3d4c other-sets/ --epochs 2-4 --with-source
    """
    from ...api import exchange
    from ..exchange.copy import copy_lines

    click.echo("\n".join(copy_lines(exchange.copy_set(name, dest, **keywords))))
