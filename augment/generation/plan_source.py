"""The plan for a source that is not imported yet: from a scan of it, and the import of a sample."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..distortion.choose_engine import choose_engine
from ..distortion.recipe import Recipe
from ..errors import EpochbankError
from ..ingest.importer import DEFAULT_SIZE, ImportOptions, decide, import_scanned
from ..ingest.resize import resize_engine_for, resizer
from ..ingest.source_file import SourceFile, open_source_file
from ..shared.disk_space import Limits
from ..shared.pool import Pool
from ..shared.spacing import limited
from ..shared.types import SPLITS
from ..sources import Scan, Source
from ..split.few_classes import check_labels, label_problem
from ..split.holdout import HeldOut, SplitInput, split_rows
from ..split.report import split_facts
from ..store.balance import PerClass
from .advice import recipe_notes, sampled, suggested_recipe
from .calibration import calibrate
from .missing import missing_shards
from .options import GenerationOptions
from .plan import GenerationPlan, ImportEstimate
from .spec import SetSpec

_SAMPLE = 2048
_SAMPLE_BYTES = 64 << 20


def plan_source(
    source: Source,
    recipe: Recipe,
    held_out: HeldOut,
    per_class: PerClass | None,
    import_options: ImportOptions,
    options: GenerationOptions,
    pool: Pool,
) -> GenerationPlan:
    """Plan a set of `source`, which is not imported yet; nothing is left on disk.

    The split is approximate: duplicates are found during the import, and the split depends on the digest of the source.
    """
    with tempfile.TemporaryDirectory(prefix="epochbank-") as folder:
        workspace = Path(folder)
        scan = source.scan(workspace)
        indices = limited(scan.labels, import_options.limit)
        sample, suggested, seconds = _import_sample(scan, indices, source.name, import_options, workspace)
        problem = label_problem(scan.labels, scan.class_names)
        warnings = [*([problem] if problem else []), *recipe_notes(recipe, sampled(sample))]
        images = _split_input(scan, indices)
        rows = split_rows(images, held_out, key=0)
        groups = {split: None if images.groups is None else images.groups[rows[split]] for split in SPLITS}
        facts = {split: split_facts(images.labels[rows[split]], groups[split], images.class_names) for split in SPLITS}
        num_images = {split: len(rows[split]) for split in SPLITS}
        if per_class is not None:
            num_images["train"] = per_class.num_images(np.bincount(images.labels[rows["train"]]))
        shards = missing_shards([], num_images, sample.shape, options)
        engine = choose_engine(options.engine, recipe, sample.shape)
        return GenerationPlan(
            location=None,
            shape=sample.shape,
            num_classes=len(images.class_names),
            splits=facts,
            num_images=num_images,
            per_class=per_class,
            shards=tuple(shards),
            engine=engine.name,
            jobs=pool.size,
            place=pool.place,
            estimate=calibrate(SetSpec(sample, recipe), engine, shards, pool),
            import_estimate=ImportEstimate(int(np.prod(sample.shape)) * len(indices), seconds * len(indices)),
            preprocessing=sample.decided,
            notes=[*scan.all_notes(), *warnings, *_unknown_yet(sample, import_options)],
            suggested=suggested,
            refused=(problem or "") if held_out.validation or held_out.test else "",
        )


def check_groups(scan: Scan, import_options: ImportOptions, held_out: HeldOut) -> None:
    """Raise `EpochbankError`, before the import, if the labels or groups of a source cannot be used.

    There may be one class, or a class for nearly every image, or too few groups for the splits.
    """
    if scan.groups is not None:
        split_rows(_split_input(scan, limited(scan.labels, import_options.limit)), held_out, key=0)
    check_labels(scan.labels, scan.class_names, held_out)


def check_import_limits(scan: Scan, import_options: ImportOptions, limits: Limits, sets: Path) -> None:
    """Raise `EpochbankError` if the pixels of a source, in one channel, exceed `limits` of the directory `sets`."""
    height, width = import_options.size or scan.size or DEFAULT_SIZE
    needed = len(limited(scan.labels, import_options.limit)) * height * width
    fault = limits.exceeded(sets, needed, "source file") if limits else ""
    if fault:
        raise EpochbankError(fault)


def _import_sample(
    scan: Scan, indices: np.ndarray, name: str, options: ImportOptions, workspace: Path
) -> tuple[SourceFile, dict[str, str], float]:
    """Return a source file of a sample, the options that suit it, and the seconds that one image took on one core."""
    height, width = options.size or scan.size or DEFAULT_SIZE
    most = max(32, min(_SAMPLE, _SAMPLE_BYTES // (3 * height * width)))
    few = replace(options, limit=min(most, len(indices)), on_bad="skip")
    engine = resize_engine_for(len(indices))
    preprocessing, _, suggested = decide(scan, indices, options, name=name)
    resizer(engine, preprocessing)  # Start the engine first: its start-up is not measured.
    begun = time.perf_counter()
    import_scanned(scan, name, workspace / "sample.h5", few, jobs=1, quiet=True, engine=engine)
    sample = open_source_file(workspace / "sample.h5")
    seconds = (time.perf_counter() - begun) / sample.num_images
    bad = {"on_bad": "skip"} if sample.skipped else {}
    return sample, {"recipe": suggested_recipe(sample.shape), **suggested, **bad}, seconds


def _split_input(scan: Scan, indices: np.ndarray) -> SplitInput:
    present, labels = np.unique(scan.labels[indices], return_inverse=True)
    return SplitInput(
        labels,
        [scan.class_names[number] for number in present],
        None if scan.groups is None else scan.groups[indices],
        None if scan.splits is None else scan.splits[indices],
    )


def _unknown_yet(sample: SourceFile, options: ImportOptions) -> list[str]:
    """Return notes on what a sample cannot show, or shows only for a part of the source."""
    notes = ["the import finds duplicates and assigns groups to splits, so the splits may differ slightly"]
    if sample.skipped:
        refused = "; `augment run` refuses them without --on-bad skip" if options.on_bad == "refuse" else ""
        notes.append(f"{sample.skipped:,} of the sampled images cannot be used{refused}")
    return notes
