"""Commands that print what there is: `augment list`, `info` and `recipes`."""

import json
from pathlib import Path

import click

from .group import main
from .options import json_option, runs_option, sets_option


@main.command("list")
@sets_option
@runs_option
@json_option
def list_(sets: Path, runs: Path, as_json: bool) -> None:
    """List the sets, the newest last.

    The age is that of the last shard, `used` the time since the last training began, and `runs` the number of runs in
    --runs. Tags are in brackets. Sets whose shards are missing or incomplete are marked, and so are unfinished
    refreshes; `augment info SET` says how to continue.

    \b
    Example:
      augment list
    """
    from datetime import datetime

    from ...api import contents
    from ..errors import EpochbankError
    from ..views.list_table import list_lines

    facts, faults = contents.list_sets(sets, runs=runs)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif facts:
        click.echo("\n".join(list_lines(facts, datetime.now().astimezone())))
    elif not faults:
        click.echo(f"There is no set in {sets}/. Generate one: augment run digits")
    if faults:
        raise EpochbankError("\n".join(faults))


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--digests", is_flag=True, help="Print the fingerprint, and the digest of each epoch.")
@sets_option
@json_option
def info(name: str | None, digests: bool, sets: Path, as_json: bool) -> None:
    """Show the contents of a set, and the parameters of its recipe.

    Without SET, the set that was written last.

    \b
    Examples:
      augment info
      augment info sets/digits-kanji-1f2e3d4c --json
    """
    from ...api import contents
    from ..store.catalog import choose_set
    from ..views.info import info_lines, rejections_lines

    facts = contents.info(choose_set(name, sets))
    resampled = facts["resampled"]
    lines = rejections_lines(resampled) if resampled and "attempts" in resampled else []
    click.echo(
        json.dumps(facts, indent=2, ensure_ascii=False)
        if as_json
        else "\n".join(info_lines(facts, digests=digests) + lines)
    )


@main.command()
@click.argument("name", metavar="[NAME]", required=False)
def recipes(name: str | None) -> None:
    """List the built-in recipes, or print one.

    With NAME, print its TOML, as a start for a custom recipe.

    \b
    Examples:
      augment recipes
      augment recipes kanji > my.toml
    """
    from ..distortion.recipe import built_in_names, load_recipe, recipe_path

    if name is not None:
        load_recipe(name)
        click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False)
        return
    for built_in in built_in_names():
        click.echo(f"{built_in:14}{load_recipe(built_in).description}")
