"""Commands that name and remove sets: `augment tag`, `remove` and `gc`."""

import json
from pathlib import Path
from typing import Any

import click

from ..console import ask
from .group import main
from .options import json_option, sets_option, yes_option


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("tag")
@click.option("--remove", is_flag=True, help="Remove the tag from the set.")
@sets_option
def tag(name: str, tag: str, remove: bool, sets: Path) -> None:
    """Give a set a tag, a name by which to find it.

    Every command that takes a SET takes a tag, too. A set may have several.

    \b
    Examples:
      augment tag sets/digits-kanji-1f2e3d4c baseline
      augment tag baseline baseline --remove
    """
    from ...api import lifecycle
    from ..store.catalog import find_set

    directory = find_set(name, sets)
    tags = lifecycle.tag(directory, tag, remove=remove)
    click.echo(f"{directory}: {', '.join(tags) or 'no tag'}")


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@yes_option
@sets_option
def remove(name: str, yes: bool, sets: Path) -> None:
    """Remove a set.

    Its source file stays; `augment gc` removes it if no other set needs it. A set that is being written or read is
    not removed.

    \b
    Example:
      augment remove sets/digits-kanji-1f2e3d4c
    """
    from ...api import lifecycle
    from ..lifecycle.remove import finish_removals
    from ..shared.disk_space import bytes_below
    from ..shared.progress import size
    from ..store.catalog import find_set
    from ..store.objects.mirror import remote_url
    from ..store.objects.urls import url_of

    if url_of(sets) is None:
        finish_removals(sets)  # The set that is to be removed may be one of these.
    directory = find_set(name, sets)
    if remote_url(directory) is not None:
        lifecycle.remove(directory)  # Refuses.
    ask(f"Remove {directory} ({size(bytes_below(directory))})?", yes)
    click.echo(f"{directory} removed: {size(lifecycle.remove(directory))}")


@main.command()
@click.option("--unused-for", type=click.FloatRange(0), metavar="DAYS",
              help="Also remove sets that were neither trained on nor written to for this number of days.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@yes_option
@sets_option
@json_option
def gc(unused_for: float | None, dry_run: bool, yes: bool, sets: Path, as_json: bool) -> None:
    """Remove what no set needs.

    List orphaned shards, temporary files of runs that were stopped, and source files that no set was made from, with
    their bytes; then ask, and remove them. Files that a run is writing, or that a training run is reading, are kept. If
    --sets is the URL of an object store, list shards that no manifest lists and that were uploaded more than a day ago.

    \b
    Examples:
      augment gc --dry-run
      augment gc --unused-for 90 --yes
    """
    from ...api import lifecycle
    from ..lifecycle.gc import collect, gc_lines
    from ..lifecycle.store_gc import collect_store_garbage
    from ..shared.progress import counted, size
    from ..store.objects.urls import url_of

    found: Any
    removed: Any
    found, notes = lifecycle.gc(sets, unused_for=unused_for, dry_run=True)
    if not as_json:
        click.echo("\n".join(gc_lines(found, notes)))
    removed, kept = [], notes
    if found and not dry_run:
        ask(f"Remove {counted(len(found), 'item')} ({size(sum(one.bytes for one in found))})?", yes)
        if url_of(sets) is None:
            done = collect(sets, found)
            removed, more = done.removed, done.kept
        else:
            removed, more = collect_store_garbage(found)
        kept = [*notes, *more]
        if not as_json:
            lines = [f"note: {one}" for one in more]
            freed = size(sum(one.bytes for one in removed))
            click.echo("\n".join([*lines, f"{counted(len(removed), 'item')} removed: {freed}"]))
    if as_json:
        lists = {"found": found, "removed": removed}
        document = {key: [one.to_json() for one in listed] for key, listed in lists.items()}
        click.echo(json.dumps({**document, "notes": kept}, indent=2, ensure_ascii=False))
