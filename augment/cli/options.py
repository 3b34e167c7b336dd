"""The options that several commands of `augment` share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..console import Bytes, Choice


class Size(click.ParamType):
    """`HxW`, or one number for a square."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (H, W), each from 1 to 4,096 pixels."""
        if isinstance(value, tuple):
            return value
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) <= 4096 for side in sides):
            self.fail(f"{value!r}; expected HxW in pixels, such as 64x64, each side from 1 to 4096", param, ctx)
        return int(sides[0]), int(sides[-1])


class Range(click.ParamType):
    """`MIN:MAX`, two whole numbers."""

    name = "MIN:MAX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (MIN, MAX)."""
        if isinstance(value, tuple):
            return value
        least, _, most = value.partition(":")
        if not (least.isdecimal() and most.isdecimal()):
            self.fail(f"{value!r}; expected MIN:MAX, two whole numbers, such as 100:1000", param, ctx)
        return int(least), int(most)


def _options(*options: Callable) -> Callable:
    def decorate(function: Callable) -> Callable:
        """Give `function` these options; help lists them in this order."""
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


sets_option = click.option("--sets", type=click.Path(path_type=Path), default="sets", help="Directory of the sets.")
jobs_option = click.option(
    "--jobs", type=click.IntRange(1), default=None, help="Number of worker processes.  [default: one per core]"
)
trust_option = click.option(
    "--trust", is_flag=True, help="Execute the code that the set's recipe names. Only for sets that you trust."
)
wait_option = click.option("--wait", is_flag=True, help="Wait for another run that is writing the same files.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
recipe_option = click.option(
    "--recipe",
    default="kanji",
    type=click.Path(),
    metavar="NAME|FILE",
    help="Name of a built-in recipe, or path of a TOML file.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, help="Seed of the distortions and of the order of each epoch."
)
source_options = _options(
    click.option(
        "--group-pattern", metavar="REGEX",
        help="Regular expression that finds an image's group (writer, sheet) in its path: its first (...), or the "
        "whole match.",
    ),
    click.option(
        "--label-pattern", metavar="REGEX",
        help="Regular expression that finds an image's class in its path, instead of the name of its folder.",
    ),
    click.option(
        "--path-template", metavar="TEMPLATE",
        help="Paths of the images of a list, made from its columns: images/{id}.jpg.",
    ),
    click.option(
        "--class-names", type=click.Path(), metavar="FILE",
        help="Names of integer labels: a text file with one name per line, a JSON list or object, or a CSV file.",
    ),
    click.option(
        "--images-key", metavar="NAME", help="Array, dataset or column of the images.  [default: the usual names]"
    ),
    click.option(
        "--labels-key", metavar="NAME", help="Array, dataset or column of the labels.  [default: the usual names]"
    ),
    click.option(
        "--layout", type=Choice(["auto", "nhwc", "nchw", "hwcn", "flat"]), default="auto",
        help="Order of the axes of an array of images. `flat`: each image is a row of pixels.",
    ),
    click.option(
        "--value-range", default="auto", metavar="MAX|MIN:MAX",
        help="Pixel values that become black and white, such as 1, 4095 or -1:1. `auto` decides by the values.",
    ),
    click.option(
        "--name-encoding", metavar="NAME",
        help="Encoding of names in a .zip that are not in UTF-8, such as cp932 or gbk.  [default: guessed]",
    ),
    click.option(
        "--split", type=Choice(["source", "fractions"]), default="source",
        help="`source` uses the splits that the source defines (folders train/ and test/, a column `split`); "
        "`fractions` ignores them.",
    ),
    click.option(
        "--etl-sets", metavar="8G,9G,...",
        help="Sets of the ETL Character Database.  [default: all handwritten sets, without the duplicates 8B, 9B and "
        "7S]",
    ),
    click.option(
        "--characters", metavar="kanji,...",
        help="Characters of ETL files: kanji, hiragana, katakana, digits, latin, symbols, or the characters "
        "themselves: \u4e9c\u54c0.  [default: all]",
    ),
)  # fmt: skip
import_options = _options(
    click.option(
        "--size", type=Size(), metavar="HxW",
        help="Image size in pixels.  [default: the common size of arrays, IDX files or Python items, else 64x64]",
    ),
    click.option(
        "--fit", type=Choice(["pad", "crop", "stretch"]), default="pad",
        help="How an image of another shape fills the frame: `pad` adds background, `crop` cuts off what does not fit, "
        "`stretch` changes the aspect ratio.",
    ),
    click.option(
        "--pad-color", metavar="COLOR",
        help="Color of the background that `--fit pad` adds: a name or #rrggbb.  [default: the median of the border]",
    ),
    click.option(
        "--limit", type=click.IntRange(1), help="Import only this many images, the same share of every class."
    ),
    click.option(
        "--invert", type=Choice(["auto", "yes", "no"]), default="auto",
        help="Invert images. `auto` inverts gray images if most of the sampled ones have a light background.",
    ),
    click.option(
        "--color", type=Choice(["auto", "gray", "rgb"], similar={"colour": "rgb", "color": "rgb"}), default="auto",
        help="Color mode. `auto` uses RGB if any sampled image is colored.",
    ),
    source_options,
    click.option(
        "--on-bad", type=Choice(["refuse", "skip"]), default="refuse",
        help="Action for unreadable images. `skip` omits them and records their names.",
    ),
)  # fmt: skip
runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), default="runs", help="Directory of the training runs."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask, for scripts.")
engine_option = click.option(
    "--engine", type=Choice(["auto", "pillow", "compiled"]), default="auto",
    help="Engine that computes the distortions. Every engine gives the same pixels; `auto` uses the compiled one "
    "if it is available.",
)  # fmt: skip
backend_options = _options(
    click.option(
        "--backend", type=Choice(["local", "dask"]),
        help="Where the work is done: worker processes of this machine, or of a Dask cluster.  [default: dask with "
        "--scheduler, else local]",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS|FILE",
        help="Dask scheduler: tcp://HOST:PORT, tls://HOST:PORT, or the .json file of `dask scheduler "
        "--scheduler-file`.",
    ),
    click.option(
        "--patience", type=click.FloatRange(0, min_open=True), default=600.0, metavar="SECONDS",
        help="Seconds without a usable Dask worker after which the command ends.",
    ),
)  # fmt: skip
shard_options = _options(
    click.option(
        "--codec", type=Choice(["zstd", "lz4", "gzip", "none"]),
        help="Compression of new shards.  [default: that of the set, or zstd]",
    ),
    click.option("--shard-size", type=click.IntRange(1), help="Images in a shard.  [default: up to 64 MiB decoded]"),
    click.option("--chunk-size", type=click.IntRange(1), help="Images in a chunk.  [default: up to 512 KiB decoded]"),
    engine_option,
)  # fmt: skip
limit_options = _options(
    click.option(
        "--keep-free", type=Bytes(), metavar="SIZE",
        help="Disk space to keep free, such as 50GB: stop before a shard that would use it.",
    ),
    click.option(
        "--max-bytes", type=Bytes(), metavar="SIZE",
        help="Largest size of the --sets directory, such as 2TB: stop before a shard that would exceed it.",
    ),
)  # fmt: skip
status_option = click.option(
    "--status", type=click.Path(path_type=Path), metavar="FILE",
    help="JSON file in which to keep the state of the run: done, total, rate and expected end.",
)  # fmt: skip
name_option = click.option("--name", metavar="TAG", help="Tag of the set, a name by which to find it.")
run_options = _options(
    recipe_option,
    click.option("--epochs", type=click.IntRange(1), default=5, help="Number of distorted epochs in the set."),
    seed_option,
    import_options,
    click.option("--validation", type=float, default=0.1, help="Fraction of the images in the validation split."),
    click.option("--test", type=float, default=0.1, help="Fraction of the images in the test split."),
    click.option(
        "--per-class", type=Range(), metavar="MIN:MAX",
        help="Balance the epochs: at least MIN images of each class in every epoch, by repeating images with new "
        "distortions, and at most MAX, chosen in rotation.",
    ),
    shard_options,
    limit_options,
    name_option,
    status_option,
    wait_option,
    sets_option,
    jobs_option,
    backend_options,
)  # fmt: skip
