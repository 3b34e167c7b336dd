"""Which trainings a study consists of."""

from dataclasses import dataclass, replace

from ...augment.errors import EpochbankError
from ..training.fit_options import FitOptions


@dataclass(frozen=True)
class Training:
    """One training of a study."""

    stored: int
    """Number of stored epochs; 0 for originals only."""
    final: bool
    """Whether final augmentation is applied."""
    seed: int

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return f"stored-{self.stored:03d}{'-final' if self.final else ''}-seed-{self.seed}"

    def options(self, base: FitOptions) -> FitOptions:
        """Return the options of the training, which has as many steps as the others, and no early stopping."""
        final = base.final if self.final else None
        options = replace(base, seed=self.seed, final=final, patience=0)
        if self.stored:
            return options
        share = base.originals
        assert not isinstance(share, str)
        # An epoch of originals only is as many times shorter as there are originals in a batch.
        epochs = round(base.epochs / (1 - share)) if share < 1 else base.epochs
        return replace(options, originals=1.0, epochs=epochs)


def trainings(stored: tuple[int, ...], base: FitOptions, seeds: int, *, fresh: bool) -> list[Training]:
    """Return the trainings of a study, seed by seed, so that an interrupted study has results for all numbers.

    Parameters
    ----------
    stored
        Numbers of stored epochs; 0 for originals only.
    base
        The options that all trainings share. With final augmentation, each number is trained with and without it.
    seeds
        Number of seeds, from 0.
    fresh
        Also train on as many stored epochs as there are training epochs, so that each is shown once.

    Raises
    ------
    EpochbankError
        If a number is out of range.
    """
    if isinstance(base.originals, str) or base.originals >= 1 or base.finish_on_originals:
        raise EpochbankError(
            f"a study with originals {base.originals}; expected a constant share below 1, because it compares stored "
            "epochs.",
            usage=True,
        )
    wrong = [number for number in stored if not 0 <= number <= base.epochs]
    if wrong or not (stored or fresh):
        raise EpochbankError(
            f"{wrong[0] if wrong else 'no'} stored epochs; expected numbers from 0 to {base.epochs}, the number of "
            "training epochs, of which each shows one stored epoch.",
            usage=True,
        )
    numbers = sorted({*stored, *([base.epochs] if fresh else [])})
    finals = (False, True) if base.final is not None else (False,)
    return [Training(number, final, seed) for seed in range(seeds) for number in numbers for final in finals]
