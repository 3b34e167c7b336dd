"""Import of a source into a source file, on all cores, with memory that does not grow with the source."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY, make_directory, move, new_file, sync
from ..shared.progress import Progress, quiet_progress, size
from ..shared.renamed import rename_keys
from ..shared.spacing import evenly_spaced, limited
from ..shared.workers import kept_workers, on_all_cores
from ..sources import Reader, Scan, Source, SourceOptions
from ..sources.value_range import ValueRanges, in_bytes
from . import source_file, source_output
from .block import Block, BlockResult, usable_images, write_block
from .near_duplicates import find_duplicates, find_near_duplicates
from .preprocess import Preprocessing, SampleStatistics, color_values, examine, other_shapes
from .resize import resize_engine_for
from .value_decision import SampledValues, ValueDecision, decide_values
from .workspace import publish_new, workspace_for

SAMPLE = 256
"""Number of images that are sampled to decide on color and inversion."""

DEFAULT_SIZE = (64, 64)

_LISTED = 20
"""Number of unusable images that a message lists; a source file records all of them."""

_FILE = "source.h5"
"""Name of the source file in the workspace."""

_SAME = 5
"""Number of them with the same reason."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import; each of them may change a pixel."""

    size: tuple[int, int] | None = None
    """(H, W); None for the size of the source's images if they share one, else 64 x 64."""
    invert: Literal["auto", "yes", "no"] = "auto"
    color: Literal["auto", "gray", "rgb"] = "auto"
    fit: Literal["pad", "crop", "stretch"] = "pad"
    """How an image of another shape fills the frame."""
    pad_color: str | None = None
    """Color of the background that `pad` adds; None for the median of the image's border."""
    limit: int | None = None
    """Number of images to import, the same share of every class; None for all."""
    on_bad: Literal["refuse", "skip"] = "refuse"
    source: SourceOptions = field(default_factory=SourceOptions)

    def __post_init__(self) -> None:
        if self.pad_color is not None and self.fit != "pad":
            raise EpochbankError(
                f"--pad-color {self.pad_color} applies only to --fit pad; received --fit {self.fit}. Omit one of them.",
                usage=True,
            )
        color_values(self.pad_color, 3)

    def settings(self) -> dict:
        """Return the options as JSON values, under the keys that the names of source files are computed from."""
        gray = {"gray": "grey"}.get(self.color, self.color)
        settings = {**rename_keys(asdict(self), {"color": "colour"}), "colour": gray}
        # Options that were added after format 2 count only if they are given, so that source files are found again.
        settings["source"] = _without_defaults(settings["source"], SourceOptions(), _FIRST_SOURCE_OPTIONS)
        by_class = {} if self.limit is None else {"limit_rule": "by class"}  # It took every k-th image before.
        return _without_defaults(settings, ImportOptions(), _FIRST_OPTIONS) | by_class


_FIRST_OPTIONS = {"size", "invert", "colour", "limit", "on_bad", "source"}
_FIRST_SOURCE_OPTIONS = {"group_pattern", "etl_sets", "characters", "split"}


def _without_defaults(settings: dict, defaults: Any, kept: set[str]) -> dict:
    """Return `settings` without those that equal the default, except for the names in `kept`."""
    return {name: value for name, value in settings.items() if name in kept or value != getattr(defaults, name)}


def import_source(
    source: Source,
    path: Path,
    options: ImportOptions,
    jobs: int,
    *,
    check: Callable[[Scan], None] = lambda scan: None,
    replace: bool = False,
    wait: bool = False,
    quiet: bool = False,
) -> list[str]:
    """Import `source` into the new file `path`, which appears when it is complete. `quiet` hides progress.

    `replace` replaces `path` if it exists; otherwise an existing file is kept, even if it appears during the import.
    `wait` waits if another process imports into `path`.

    `check` raises `EpochbankError` if the scan shows that the images cannot be used, before they are read.

    Returns messages for the user, one sentence each. Raises `EpochbankError` if images cannot be used, with their
    origins, unless `options` skip them; and if reading or writing fails.
    """
    make_directory(path.parent)
    try:
        with workspace_for(path, wait=wait) as workspace:
            if path.exists() and not replace:  # Another import finished just before this one had its workspace.
                raise EpochbankError(f"{path} exists; expected a new file. Remove it or choose another name.")
            with quiet_progress(quiet):
                scan = source.scan(workspace, jobs)
            _refuse_unusable(scan, options)
            check(scan)
            notes = import_scanned(scan, source.name, workspace / _FILE, options, jobs, quiet=quiet)
            _publish(workspace / _FILE, path, replace=replace)
            return notes
    except OSError as error:
        raise EpochbankError(
            f"the import into {path} failed: {_described(error)}. No incomplete file is left; fix the problem, then "
            "run the command again."
        ) from error


def _publish(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        move(temporary, path)
        return
    try:
        publish_new(temporary, path)
    except FileExistsError as error:
        raise EpochbankError(
            f"{path} appeared while the source was imported, and is kept; expected a new file. Remove it or choose "
            "another name, then run the command again."
        ) from error


def _described(error: OSError) -> str:
    """Return the reason of an error, with the file unless that is in the workspace, whose files are gone."""
    if error.strerror and TEMPORARY in str(error.filename or TEMPORARY):
        return error.strerror
    return str(error)


def _refuse_unusable(scan: Scan, options: ImportOptions) -> None:
    """Raise `EpochbankError` for unusable items that the scan found, unless `options` skip them."""
    if scan.bad:
        _skipped_note(scan.bad, scan, len(scan.labels), options, listed(scan.bad))


def import_scanned(
    scan: Scan,
    name: str,
    path: Path,
    options: ImportOptions,
    jobs: int,
    *,
    quiet: bool = False,
    engine: str | None = None,
) -> list[str]:
    """Like `import_source`, for a scanned source. `engine` resizes the images; None chooses the faster one."""
    indices = limited(scan.labels, options.limit)
    preprocessing, decided, _ = decide(scan, indices, options, name=name)
    notes = [*scan.all_notes(), decided]
    engine = engine or resize_engine_for(len(indices))
    with kept_workers(), new_file(path) as temporary:
        write = partial(
            _write_images, temporary, scan, preprocessing=preprocessing, engine=engine, jobs=jobs, quiet=quiet
        )
        results = write(indices)
        bad = [entry for result in results for entry in result.bad]
        skipped = [*scan.bad, *((scan.reader.origin(index), reason) for index, reason in bad)]
        lines = listed(skipped)
        if skipped:
            notes.append(_skipped_note(skipped, scan, len(indices), options, lines))
        if bad:
            temporary.unlink()
            indices = np.setdiff1d(indices, [index for index, _ in bad])
            results = write(indices)
            if any(result.bad for result in results):
                raise EpochbankError("the source changed while it was imported. Run the command again.")
        digests, dhashes = (np.asarray(source_file.mapped(temporary, column)) for column in ("digest", "likeness"))
        with ThreadPoolExecutor(3, "import") as threads, source_file.images(temporary) as image_at:
            synced = threads.submit(sync, temporary)
            duplicates = threads.submit(find_duplicates, digests)
            near_duplicates = threads.submit(find_near_duplicates, digests, dhashes, image_at)
            _finish(temporary, scan, indices, name, preprocessing, decided, notes, results, skipped)
            source_output.add_pairs(temporary, duplicates.result(), *near_duplicates.result())
            synced.result()
    return [*notes, *([f"left out:{lines}"] if skipped else [])]


def _finish(
    path: Path,
    scan: Scan,
    indices: np.ndarray,
    name: str,
    preprocessing: Preprocessing,
    decided: str,
    notes: list[str],
    results: list[BlockResult],
    skipped: list[tuple[str, str]],
) -> None:
    """Write labels, names, origins and notes; add a note if classes are left without images."""
    labels, class_names = _compact(scan.labels[indices], scan.class_names)
    if len(class_names) < len(scan.class_names):
        empty = len(scan.class_names) - len(class_names)
        notes.append(f"{empty:,} of {len(scan.class_names):,} classes have no images and are left out")
    groups, group_names = None, None
    if scan.groups is not None and scan.group_names is not None:
        groups, group_names = _compact(scan.groups[indices], scan.group_names)
    source_output.finish(
        path,
        name=name,
        labels=labels,
        class_names=class_names,
        groups=groups,
        group_names=group_names,
        block_digests=(result.digest for result in results),
        origins=_origins(scan.reader, indices),
        skipped=skipped,
        notes=notes,
        splits=None if scan.splits is None else scan.splits[indices],
        decided=decided,
        preprocessing=asdict(preprocessing),
    )


class Decision(NamedTuple):
    """What an import does to every image, and what may suit the source better."""

    preprocessing: Preprocessing
    sentence: str
    """The preprocessing and its reason."""
    suggested: dict[str, str]
    """Options that suit the sampled images better, by the names of fields of `ImportOptions`."""


def decide(scan: Scan, indices: np.ndarray, options: ImportOptions, *, name: str = "", refuse: bool = True) -> Decision:
    """Decide on the preprocessing from `options` and a sample of images.

    If the sampled images would become nearly black, or their value range is unclear, this raises `EpochbankError`,
    which begins with the `name` of the source; without `refuse`, the description of the decision says so.
    """
    sampled, values = _examine_sample(scan.reader, indices[evenly_spaced(len(indices), SAMPLE)], options)
    if values.problem and refuse:
        raise EpochbankError(f"{name}: {values.problem}" if name else values.problem)
    channels = {"gray": 1, "rgb": 3, "auto": scan.channels or (3 if sampled.color else 1)}[options.color]
    is_light = 2 * sampled.light > sampled.num_images if scan.light is None else scan.light
    invert = options.invert == "yes" or (options.invert == "auto" and channels == 1 and is_light)
    height, width = options.size or scan.size or DEFAULT_SIZE
    color = color_values(options.pad_color, channels)
    preprocessing = Preprocessing(height, width, channels, invert, options.fit, color, str(values.ranges))
    sentence, crop = _decision(preprocessing, sampled, options, scan.light), _cropping(preprocessing, sampled)
    enlarged = "" if options.size or scan.size else _enlarging(preprocessing, sampled)
    sentence = "; ".join(filter(None, [sentence, crop, enlarged, values.note, values.problem]))
    return Decision(preprocessing, sentence, {"fit": "crop"} if crop else {})


def _enlarging(preprocessing: Preprocessing, sampled: SampleStatistics) -> str:
    """Return a clause if all sampled images are smaller than the frame, which nobody chose; else ''."""
    height, width = sampled.largest
    if not 0 < max(height, width) < min(preprocessing.height, preprocessing.width):
        return ""
    return f"sampled images of at most {height} x {width} are enlarged: --size {height}x{width} keeps their size"


def _cropping(preprocessing: Preprocessing, sampled: SampleStatistics) -> str:
    """Return a clause that suggests cropping if most sampled images are photographs of another shape; else ''."""
    other = other_shapes(sampled, preprocessing)
    padded = preprocessing.fit == "pad" and preprocessing.pad_color is None and preprocessing.channels == 3
    if not padded or 2 * other <= sampled.num_images:
        return ""
    return (
        f"{other} of {sampled.num_images} sampled images are photographs of another shape, so bars are added: --fit "
        "crop fills the frame without bars"
    )


def _examine_sample(
    reader: Reader, sample: np.ndarray, options: ImportOptions
) -> tuple[SampleStatistics, ValueDecision]:
    """Decide on the value ranges by the images at `sample`, and examine these with them."""
    sampled, assumed = SampledValues(), ValueRanges()
    statistics = examine(usable_images(in_bytes(sampled.record(reader.read(sample)), assumed)))
    decision = decide_values(sampled, options.source.value_range)
    if decision.ranges != assumed:
        statistics = examine(usable_images(in_bytes(reader.read(sample), decision.ranges)))
    return statistics, decision


def _decision(
    preprocessing: Preprocessing, sampled: SampleStatistics, options: ImportOptions, light: bool | None
) -> str:
    reason = f"the background is light in {sampled.light} of {sampled.num_images} sampled images"
    if light is not None:
        reason = f"the background is {'light' if light else 'dark'} in this format"
    if options.invert != "auto":
        reason = f"--invert {options.invert}"
    elif preprocessing.channels == 3:
        reason = "color images are inverted only with --invert yes"
    kind = "gray" if preprocessing.channels == 1 else "RGB"
    inverted = "inverted" if preprocessing.invert else "not inverted"
    fit = {"pad": "", "crop": "cropped to fit, ", "stretch": "stretched to fit, "}[preprocessing.fit]
    return f"images are {kind}, {preprocessing.height} x {preprocessing.width}, {fit}{inverted} ({reason})"


def _write_images(
    path: Path, scan: Scan, indices: np.ndarray, *, preprocessing: Preprocessing, engine: str, jobs: int, quiet: bool
) -> list[BlockResult]:
    """Create `path` and write the images into it, block by block on all cores; return the results in order."""
    needed, free = len(indices) * int(np.prod(preprocessing.shape)), shutil.disk_usage(path.parent).free
    if needed > free:
        raise EpochbankError(
            f"the source file needs {size(needed)}, but the disk of {path.parent.parent} has {size(free)} left. "
            "Free space, choose another directory, or import fewer images with --limit."
        )
    offsets = source_output.create(path, len(indices), preprocessing.shape)
    rows = source_file.block_rows(preprocessing.shape)
    starts = range(0, len(indices), rows)
    blocks = (
        Block(path.absolute(), offsets, start, indices[start : start + rows], scan.reader, preprocessing, engine)
        for start in starts
    )
    results: list[BlockResult | None] = [None] * len(starts)
    with Progress("import", len(indices), quiet=quiet) as progress:
        for number, result in on_all_cores(write_block, blocks, len(starts), jobs):
            results[number] = result
            progress.advance(result.num_images)
    return [result for result in results if result is not None]


def listed(skipped: list[tuple[str, str]]) -> str:
    """Return a line for each of the first skipped images (origin, reason), and the number of others.

    Of the images with the same reason, up to five have a line, and another line counts the rest.
    """
    counts, seen, lines = Counter(reason for _, reason in skipped), Counter[str](), list[str]()
    shown = 0
    for origin, reason in skipped:
        if len(lines) == _LISTED:
            break
        seen[reason] += 1
        if seen[reason] <= _SAME:
            lines.append(f"{origin} {reason}")
            shown += 1
        elif seen[reason] == _SAME + 1:
            rest = counts[reason] - _SAME
            lines.append(f"and {rest:,} more, each of which {reason}")
            shown += rest
    more = [f"and {len(skipped) - shown:,} more"] if len(skipped) > shown else []
    return "".join(f"\n  {line}" for line in [*lines, *more])


def _skipped_note(skipped: list[tuple[str, str]], scan: Scan, total: int, options: ImportOptions, lines: str) -> str:
    """Return a note on what is left out. Raises `EpochbankError` if `options` refuse that, or nothing remains."""
    # An unusable item of the scan may be a file of many images.
    what = f"{len(skipped):,} of {total + len(scan.bad):,} {'images or files' if scan.bad else 'images'}"
    if len(skipped) - len(scan.bad) == total:
        raise EpochbankError(
            f"no image of the source can be used:{lines}\n"
            "Nothing was imported. Fix the images, then run the command again."
        )
    if options.on_bad == "refuse":
        raise EpochbankError(
            f"{what} cannot be used:{lines}\n"
            "Nothing was imported. Fix or remove these, or leave them out with --on-bad skip."
        )
    return f"{what} left out; the source file lists them"


def _compact(numbers: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return `numbers` (int (n,), indices into `names`) and `names` without the names that do not occur."""
    present = np.unique(numbers)
    if len(present) == len(names):
        return numbers, names
    return np.searchsorted(present, numbers).astype(np.int32), [names[number] for number in present]


def _origins(reader: Reader, indices: np.ndarray) -> Iterator[list[str]]:
    for start in range(0, len(indices), 4096):
        yield [reader.origin(int(index)) for index in indices[start : start + 4096]]
