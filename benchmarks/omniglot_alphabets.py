"""How much of the error on Omniglot is between alphabets, whose characters may have the same shape.

    python benchmarks/omniglot_alphabets.py omniglot/1623/originals-only-0 omniglot/1623/what-helped-0

The arguments are runs of `benchmarks/omniglot.py` with the same classes. For each, and for the average of their
probabilities, it prints the error, the error if the alphabet is known (the likeliest class of the true one), and the
share of images whose class is not among the two likeliest.
"""

from pathlib import Path, PurePosixPath

import click
import numpy as np

import checkout  # noqa: F401

SPLITS = ("test", "validation")


def errors(probability: np.ndarray, label: np.ndarray, alphabet: np.ndarray) -> dict[str, float]:
    """Return error rates in percent.

    Parameters
    ----------
    probability
        float32 (n, K): probability of each class.
    label
        int32 (n,): true classes.
    alphabet
        Text (K,): alphabet of each class.
    """
    of_alphabet = np.where(alphabet[None] == alphabet[label, None], probability, -1)
    two = np.argpartition(probability, -2)[:, -2:]
    return {
        "error": 100 * float(np.mean(probability.argmax(1) != label)),
        "if the alphabet is known": 100 * float(np.mean(of_alphabet.argmax(1) != label)),
        "not among the two likeliest": 100 * float(np.mean((two != label[:, None]).all(1))),
    }


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(runs: tuple[Path, ...]) -> None:
    """Print error rates of RUNS, and of the average of their probabilities."""
    import keras

    from epochbank import open_run

    opened = [open_run(path) for path in runs]
    models = [run.load_model() for run in opened]
    stored_set = opened[0].open_set()
    alphabet = np.array([str(PurePosixPath(name).parent) for name in stored_set.class_names])
    for split in SPLITS:
        data = stored_set.split(split)
        label = np.concatenate([data[index][1] for index in range(len(data))])
        each = [keras.ops.convert_to_numpy(keras.ops.softmax(one.predict(data, verbose=0))) for one in models]
        for path, probability in zip(runs, each, strict=True):
            _print(split, path.name, errors(probability, label, alphabet))
        if len(runs) > 1:
            _print(split, "average of these", errors(np.mean(each, axis=0), label, alphabet))


def _print(split: str, name: str, found: dict[str, float]) -> None:
    click.echo(f"{split:10}  {', '.join(f'{what}: {value:.2f} %' for what, value in found.items())}  {name}")


if __name__ == "__main__":
    main()
