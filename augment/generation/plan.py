"""The generation plan: what a run will write, and how long it will take. Frozen before anything runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..distortion.choose_engine import choose_engine
from ..shared.pool import Pool
from ..shared.types import Shape
from ..split.few_classes import label_problem
from ..split.report import SplitFacts, split_facts, splits_of_set
from ..store.balance import PerClass
from ..store.manifest import Entry, first_epoch, read_manifest
from ..store.presence import lost_shards
from ..store.shard import ShardTask
from .advice import recipe_notes, sampled, suggested_recipe
from .calibration import calibrate
from .estimate import Estimate
from .location import SetLocation
from .missing import missing_shards
from .new_set import ComputedSplit, compute_split
from .options import GenerationOptions
from .plan_text import plan_card, plan_line, plan_lines

_CORES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class ImportEstimate:
    """Estimated cost of importing a source."""

    bytes: int
    """Bytes of the source file."""
    core_seconds: float
    """Seconds on one core."""


@dataclass(frozen=True)
class GenerationPlan:
    """What a run writes to complete a set. `augment plan` prints it, `augment run` executes it."""

    location: SetLocation | None
    """The set; None while the source is not imported, when nothing identifies the set yet."""
    shape: Shape
    num_classes: int
    splits: dict[str, SplitFacts]
    """What the source has for each split."""
    num_images: dict[str, int]
    """Images that the set has of each split; of training images, those of one epoch."""
    per_class: PerClass | None
    shards: tuple[ShardTask, ...] = field(repr=False)
    """Shards to write; none if the set is complete."""
    engine: str
    jobs: int
    """Worker processes."""
    estimate: Estimate | None
    """Time and bytes of the shards; None if there are none."""
    import_estimate: ImportEstimate | None
    """Cost of the import; None if the source is imported already."""
    preprocessing: str
    """What the import decided about color, size and inversion, in one sentence."""
    notes: list[str]
    """Notes on the source for the user, one sentence each."""
    split: ComputedSplit | None = field(default=None, repr=False)
    """The split of a set that does not exist yet."""
    suggested: dict[str, str] = field(default_factory=dict)
    """Options that suit the source better than the given ones, by name of the keyword in Python."""
    place: str = "on this machine"
    """Where the shards are made."""
    refused: str = ""
    """Why `augment run` refuses the labels; empty if it does not."""
    next: str = ""
    """The command that makes the set, with the options that were given and those that are suggested."""
    lost: tuple[Entry, ...] = field(default=(), repr=False)
    """Published shards that are missing or incomplete, and are among `shards`."""
    published: tuple[Entry, ...] = field(default=(), repr=False)
    """All published shards, in the order of the manifest."""

    def __repr__(self) -> str:
        return plan_line(self)

    def _repr_html_(self) -> str:
        return plan_card(self).to_html()

    @property
    def images_to_write(self) -> int:
        """Number of images in `shards`."""
        return sum(task.num_images for task in self.shards)

    @property
    def bytes(self) -> int:
        """Bytes to write, the source file included."""
        imported = self.import_estimate.bytes if self.import_estimate else 0
        return imported + (self.estimate.bytes if self.estimate else 0)

    def seconds_on(self, cores: int) -> float:
        """Return the estimated seconds of import and generation on `cores` cores."""
        generation = self.estimate.seconds_on(cores) if self.estimate else 0.0
        return self.import_seconds(cores) + generation

    def import_seconds(self, cores: int) -> float:
        """Return the estimated seconds of the import on `cores` cores."""
        return self.import_estimate.core_seconds / cores if self.import_estimate else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values: bytes, seconds, and counts of images."""
        return {
            "set": str(self.location.directory) if self.location else None,
            "fingerprint": self.location.spec.fingerprint if self.location else None,
            "shape": list(self.shape),
            "classes": self.num_classes,
            "images": self.num_images,
            "splits": {split: facts.to_json() for split, facts in self.splits.items()},
            "per_class": [self.per_class.least, self.per_class.most] if self.per_class else None,
            "shards": len(self.shards),
            "images_to_write": self.images_to_write,
            "bytes": self.estimate.bytes if self.estimate else 0,
            "source_bytes": self.import_estimate.bytes if self.import_estimate else 0,
            "engine": self.engine,
            "jobs": self.jobs,
            "seconds": self.seconds_on(self.jobs),
            "seconds_by_cores": {str(cores): self.seconds_on(cores) for cores in self.cores},
            "preprocessing": self.preprocessing,
            "notes": self.notes,
            "next": self.next,
        }

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        return plan_lines(self)

    @property
    def cores(self) -> list[int]:
        """Numbers of cores to estimate the time for, ascending."""
        return sorted({*_CORES, self.jobs})


def plan_set(
    location: SetLocation,
    options: GenerationOptions,
    pool: Pool,
    *,
    split: ComputedSplit | None = None,
    folder: Path | None = None,
) -> GenerationPlan:
    """Plan what completes the set at `location` on the workers of `pool`; nothing is left on disk.

    Its source is imported. `split` is the split of a new set, if it is computed already. The calibration run writes to
    `folder`, or to the system's temporary directory.
    """
    spec, description = location.spec, location.description
    if description is None:
        split = split or compute_split(spec)
        num_images = split.num_images
        facts = {
            name: split_facts(rows.label, rows.group, spec.source.class_names) for name, rows in split.rows.items()
        }
    else:
        num_images, facts = description.num_images, splits_of_set(location.directory, description)
    published = read_manifest(location.directory)
    lost = lost_shards(location.directory, published)
    first = first_epoch(location.directory)
    shards = missing_shards(published, num_images, spec.source.shape, options, lost, first)
    engine = choose_engine(options.engine, spec.recipe, spec.source.shape)
    problem = label_problem(spec.source.column("label"), spec.source.class_names)
    notes = [*([problem] if problem else []), *recipe_notes(spec.recipe, sampled(spec.source))]
    return GenerationPlan(
        location=location,
        shape=spec.source.shape,
        num_classes=len(spec.source.class_names),
        splits=facts,
        num_images=num_images,
        per_class=spec.per_class,
        shards=tuple(shards),
        lost=tuple(lost),
        published=tuple(published),
        engine=engine.name,
        jobs=pool.size,
        place=pool.place,
        estimate=calibrate(spec, engine, shards, pool, folder) if shards else None,
        import_estimate=None,
        preprocessing=spec.source.decided,
        notes=[*(note for note in spec.source.notes if note != spec.source.decided), *notes],
        split=split,
        suggested={"recipe": suggested_recipe(spec.source.shape)},
    )
