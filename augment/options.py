"""The options that several commands of `augment` share, and what they are translated into."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .generation.generate import Execution
    from .ingest.importer import ImportOptions
    from .sources import SourceOptions
    from .split.balance import PerClass


class Size(click.ParamType):
    """`HxW`, or one number for a square."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(H, W), each from 1 to 4,096."""
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
        """(MIN, MAX)."""
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
jobs_option = click.option("--jobs", type=click.IntRange(1), default=None, help="Cores to use.  [default: all]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
recipe_option = click.option("--recipe", default="kanji", metavar="NAME|FILE", help="Built-in recipe, or a TOML file.")
seed_option = click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other distortions.")
source_options = _options(
    click.option(
        "--group-pattern", metavar="REGEX",
        help="Finds a picture's group (writer, sheet) in its path: the first (...), or the whole match.",
    ),
    click.option(
        "--split", type=click.Choice(["source", "fractions"]), default="source",
        help="Obey the parts that the source itself names (train/ and test/, a column `part`), or split it anew.",
    ),
    click.option(
        "--etl-sets", metavar="8G,9G,...",
        help="Sets of the ETL Character Database.  [default: all, no handwriting twice, none printed]",
    ),
    click.option(
        "--characters", metavar="kanji,...",
        help="Of ETL files: kanji, hiragana, katakana, digits, latin, symbols, or the characters themselves: "
        "\u4e9c\u54c0.  [default: all]",
    ),
)  # fmt: skip
import_options = _options(
    click.option(
        "--size", type=Size(), metavar="HxW",
        help="Picture size.  [default: the source's own if it has one, else 64x64]",
    ),
    click.option("--limit", type=click.IntRange(1), help="Take only so many pictures, evenly spaced: a quick trial."),
    click.option(
        "--invert", type=click.Choice(["auto", "yes", "no"]), default="auto",
        help="Make dark ink on light ground bright on black; auto looks at the pictures, and never inverts colour.",
    ),
    click.option(
        "--colour", type=click.Choice(["auto", "grey", "rgb"]), default="auto", help="Channels; auto looks."
    ),
    source_options,
    click.option(
        "--on-bad", type=click.Choice(["refuse", "skip"]), default="refuse",
        help="What to do about unreadable pictures; skip leaves them out and records it.",
    ),
)  # fmt: skip
run_options = _options(
    recipe_option,
    click.option("--epochs", type=click.IntRange(1), default=5, help="Distorted epochs that the set shall hold."),
    seed_option,
    import_options,
    click.option(
        "--codec",
        type=click.Choice(["zstd", "lz4", "gzip", "none"]),
        help="Compression of new shards.  [default: the set's, or zstd]",
    ),
    click.option("--validation", type=float, default=0.1, help="Fraction held out for validation."),
    click.option("--test", type=float, default=0.1, help="Fraction held out for the test."),
    click.option(
        "--per-class",
        type=Range(),
        metavar="MIN:MAX",
        help="Balance the epochs: at least MIN pictures of a class in each, distorted anew, at most MAX, in turn.",
    ),
    click.option("--shard-size", type=click.IntRange(1), help="Pictures in a shard.  [default: up to 64 MiB]"),
    click.option("--chunk-size", type=click.IntRange(1), help="Pictures in a chunk.  [default: up to 512 KiB]"),
    click.option(
        "--engine",
        type=click.Choice(["auto", "pillow", "compiled"]),
        default="auto",
        help="What computes the pictures, the same whichever; auto is compiled wherever it can be.",
    ),
    sets_option,
    jobs_option,
)


def import_settings(words: dict[str, Any]) -> "ImportOptions":
    """What `import_options` said, among a command's `words`."""
    from .ingest.importer import ImportOptions

    named = source_settings(words)
    return ImportOptions(words["size"], words["invert"], words["colour"], words["limit"], words["on_bad"], named)


def source_settings(words: dict[str, Any]) -> "SourceOptions":
    """What `source_options` said, among a command's `words`."""
    from .sources import SourceOptions

    return SourceOptions(words["group_pattern"], words["etl_sets"], words["characters"], words["split"])


def balance_of(words: dict[str, Any]) -> "PerClass | None":
    """What `--per-class` said, among a command's `words`."""
    from .split.balance import PerClass

    return PerClass(*words["per_class"]) if words["per_class"] else None


def execution_of(words: dict[str, Any]) -> "Execution":
    """What `run_options` said of how to carry the request out, among a command's `words`."""
    from .generation.generate import Execution
    from .shared.workers import core_count

    return Execution(
        words["epochs"],
        words["codec"],
        words["jobs"] or core_count(),
        words["shard_size"],
        words["chunk_size"],
        words["engine"],
    )
