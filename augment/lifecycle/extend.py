"""Add epochs to a set from its source file, without the original source."""

from pathlib import Path

from ..generation.options import GenerationOptions
from ..generation.plan import plan_set
from ..generation.run import execute
from ..generation.run_log import RunLog
from ..generation.stored_spec import locate_stored
from ..shared.atomic import naming, sweep
from ..shared.backend import open_pool
from ..shared.disk_space import check_disk_space
from ..shared.lock import LOCK, writing
from ..store.manifest import read_manifest
from .refresh import like_newest


def extend(directory: Path, options: GenerationOptions, *, trust: bool = False, reserve: int = 0) -> RunLog | None:
    """Generate the epochs that the set in `directory` lacks of `options.epochs`; return None if it has them all.

    `reserve` is the number of bytes that the disk must hold in addition, for later work. Raises `EpochbankError` if the
    source file is missing or damaged, the disk has too little space, a limit would be exceeded, the recipe names code
    and `trust` is False, or another run writes the set.
    """
    location = locate_stored(directory, trust)
    assert location.description is not None
    with (
        open_pool(options.backend, options.jobs) as pool,
        writing(directory / LOCK, wait=options.wait, can_wait=True),
        naming(directory),
    ):
        sweep(directory)
        plan = plan_set(location, like_newest(read_manifest(directory), options), pool, folder=directory)
        check_disk_space(directory, plan.bytes + reserve, fix="or choose fewer epochs")
        if not plan.shards:
            return None
        return execute(plan, pool, location.description.source["spec"], options.limits)
