"""Compare runs, from what their directories record: neither Keras nor their sets are needed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....augment.errors import EpochbankError
from ..run_record import RunRecord, read_run
from ..statistics import wilson
from .differences import Difference, Group, seed_groups, set_differences, setting_differences
from .predictions import Changes, Pair, compare_predictions, same_images


@dataclass(frozen=True)
class Result:
    """The result of a run on the split that is compared."""

    accuracy: float
    low: float
    """Lower end of the 95 % confidence interval of the accuracy, 0 to 1."""
    high: float
    loss: float
    images: int


@dataclass(frozen=True)
class Comparison:
    """Several runs, compared on one split."""

    records: list[RunRecord]
    names: list[str]
    """The names of the run directories; their paths if two have the same name."""
    split: str
    results: list[Result]
    settings: list[Difference]
    sets: list[Difference]
    groups: list[Group]
    """Runs that differ in the seed only."""
    pairs: list[Pair]
    changes: list[Changes]
    """The classes of each run, compared with the first run on the same images."""
    notes: list[str]
    """What cannot be compared, and why, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values of `train compare --json`; runs are numbers, from 0, of `runs`."""
        runs = [
            {"run": str(record.path), "set": record.fingerprint, "model": record.options.model,
             "seed": record.options.seed, "epochs": (record.summary or {}).get("epochs"),
             "seconds": record.seconds, "loss": result.loss, "accuracy": result.accuracy,
             "interval_95": [result.low, result.high], "images": result.images}
            for record, result in zip(self.records, self.results, strict=True)
        ]  # fmt: skip
        return {
            "split": self.split,
            "runs": runs,
            "settings": {one.name: one.values for one in self.settings},
            "sets": {one.name: one.values for one in self.sets},
            "seeds": [{"runs": one.runs, "mean": one.mean, "standard_error": one.error} for one in self.groups],
            "mcnemar": [
                {"first": one.first, "second": one.second, "images": one.images, "only_first": one.only_first,
                 "only_second": one.only_second, "p": one.p_value, "p_holm": one.adjusted}
                for one in self.pairs
            ],
            "classes": [
                {"first": one.first, "second": one.second,
                 "classes": [{"class": self.records[one.first].class_names[change.label], **_without_label(change)}
                             for change in one.classes]}
                for one in self.changes
            ],
            "notes": self.notes,
        }  # fmt: skip


def compare_runs(runs: Sequence[Path], split: str | None = None) -> Comparison:
    """Compare two or more runs.

    Parameters
    ----------
    runs
        Run directories. They may have been trained on different sets; then `notes` says what cannot be compared.
    split
        `test` or `validation`; None for `test` if all runs were evaluated on it, else `validation`.

    Raises
    ------
    EpochbankError
        If there are fewer than two runs, one is named twice, is not finished or was not evaluated on the split, or its
        files are damaged.
    """
    if len(runs) < 2:
        raise EpochbankError(f"{len(runs)} run is given; expected two or more.", usage=True)
    places = [run.resolve() for run in runs]
    if len({*places}) < len(places):
        twice = next(run for run, place in zip(runs, places, strict=True) if places.count(place) > 1)
        raise EpochbankError(f"{twice} is given twice; expected different runs.", usage=True)
    records = [read_run(run) for run in runs]
    split = _split_of(records, split)
    results = [_result(record, split) for record in records]
    names = [record.name for record in records]
    same = same_images(records, split)
    pairs, changes = compare_predictions(records, split, same)
    return Comparison(
        records=records,
        names=names if len({*names}) == len(names) else [str(record.path) for record in records],
        split=split,
        results=results,
        settings=setting_differences(records),
        sets=set_differences(records),
        groups=seed_groups(records, [result.accuracy for result in results]),
        pairs=pairs,
        changes=changes,
        notes=_notes(records, split, same),
    )


def _split_of(records: Sequence[RunRecord], split: str | None) -> str:
    for one in ("test", "validation") if split is None else (split,):
        if all(record.result(one) for record in records):
            return one
    for record in records:
        if record.summary is None:
            raise EpochbankError(
                f"{record.path} is not finished; expected finished runs. Continue it: train fit --resume {record.path}"
            )
    without = next(record for record in records if not record.result(split or "test"))
    raise EpochbankError(
        f"{without.path} was not evaluated on {'a split that the others have' if split is None else split}; expected "
        "the same split for all runs. Omit this run, or choose another --split."
    )


def _result(record: RunRecord, split: str) -> Result:
    found = record.result(split)
    assert found is not None
    low, high = wilson(round(found["accuracy"] * found["images"]), found["images"])
    return Result(found["accuracy"], low, high, found["loss"], found["images"])


def _notes(records: Sequence[RunRecord], split: str, same: Sequence[Sequence[int]]) -> list[str]:
    notes = [
        f"{record.path} has no evaluation.h5 with predictions for its {split} split, so McNemar's test and the classes "
        f"omit it; `train report {record.path} --evaluate` writes it."
        for record in records
        if split not in record.evaluations
    ]
    if len(same) > 1:
        groups = "; ".join(", ".join(str(records[number].path) for number in group) for group in same)
        notes.append(
            f"The {split} splits are not the same images (their digests or classes differ), so McNemar's test and the "
            f"classes compare only runs within these groups: {groups}. The accuracies of the groups are those of "
            "different images."
        )
    return notes


def _without_label(change: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(change).items() if name != "label"}
