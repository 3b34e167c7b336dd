"""The images of an evaluation that a run keeps for its report: the worst mistakes, and some of each confusion.

Memory is that of the images that are kept: `LARGEST` at most, for any number of held-out images.
"""

from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from ..feeding.sequence import EvaluationSequence
from ..reading.stored_set import StoredSet
from .confused import PAIRS, matrix_classes, ordered
from .evaluate import Evaluation
from .evaluation_file import Predictions, Shown

SIDE = 96
"""Longest side of an image that is kept, in pixels."""
LARGEST = 16 << 20
"""Bytes of all images, not compressed."""
MOST = 1000
"""Number of all images."""
_WRONG, _CORRECT = 24, 6
"""Number of images of each pair that are kept, if the others leave room."""


def keep_images(
    stored_set: StoredSet,
    split: str,
    batch_size: int,
    result: Evaluation,
    predictions: Iterable[Predictions],
    origins: Callable[[np.ndarray], list[str]],
) -> Shown:
    """Return the images to keep of the split that `result` and `predictions` evaluate; they are read from the set."""
    size = np.array(reduced(np.zeros(stored_set.shape, np.uint8)).shape)
    room = min(MOST, int(LARGEST // size.prod())) - len(result.worst)
    worst = np.array([mistake.position for mistake in result.worst], np.int64)
    found = choose(predictions, wanted(result), len(result.per_class), room)
    positions = np.union1d(worst, found)
    images = np.zeros((len(positions), *size), np.uint8)
    data = EvaluationSequence(stored_set, split, batch_size)
    try:
        for batch in np.unique(positions // batch_size).tolist():
            at = np.flatnonzero(positions // batch_size == batch)
            shown, _ = data[batch]
            for number, place in zip(at.tolist(), (positions[at] - batch * batch_size).tolist(), strict=True):
                images[number] = reduced(shown[place])
    finally:
        data.stream.close()
    top_class = np.array([mistake.top_class for mistake in result.worst], np.int32)
    top_probability = np.array([mistake.top_probability for mistake in result.worst], np.float32)
    shape = len(worst), len(result.worst[0].top_class) if result.worst else 0
    return Shown(positions, images, origins(positions), worst, top_class.reshape(shape), top_probability.reshape(shape))


def wanted(result: Evaluation) -> list[tuple[int, int]]:
    """Return the pairs (true class, predicted class) of which images are kept, the most frequent confusions first."""
    if not result.confusions:
        return []
    shown = set(matrix_classes(result.confusions, len(result.per_class)))
    often = {pair: None for pair, _ in ordered(result.confusions)[:PAIRS]}
    inside = {pair: None for pair, _ in ordered(result.confusions) if {*pair} <= shown}
    return [*(often | inside), *((label, label) for label in sorted(shown))]


def choose(predictions: Iterable[Predictions], pairs: list[tuple[int, int]], classes: int, room: int) -> np.ndarray:
    """Return the positions of up to `room` images of these pairs (true class, predicted class), int64 (m,), ascending.

    First comes one image of each pair, then a second one, and so on: of mistakes those with the highest probability of
    the predicted class, and of correct predictions those with the lowest.
    """
    codes = np.array([true * classes + predicted for true, predicted in pairs], np.int64)
    columns = [np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)]
    start = 0
    for some in predictions:
        code = some.label.astype(np.int64) * classes + some.predicted
        at = np.flatnonzero(np.isin(code, codes))
        correct = some.label[at] == some.predicted[at]
        key = np.where(correct, some.probability[at], -some.probability[at].astype(np.float64))
        columns = [np.concatenate(both) for both in zip(columns, (code[at], key, start + at), strict=True)]
        rank, columns = _ranked(*columns)
        limit = np.where(columns[0] // classes == columns[0] % classes, _CORRECT, _WRONG)
        columns = [column[rank < limit] for column in columns]
        start += len(code)
    rank, (code, _, position) = _ranked(*columns)
    number = {code: number for number, code in enumerate(codes.tolist())}
    importance = np.array([number[one] for one in code.tolist()], np.int64)
    return np.sort(position[np.lexsort((importance, rank))[: max(room, 0)]])


def _ranked(code: np.ndarray, key: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Sort rows by pair, key and position; return the rank of each row within its pair, from 0, and the columns."""
    order = np.lexsort((position, key, code))
    columns = [column[order] for column in (code, key, position)]
    _, first, inverse = np.unique(columns[0], return_index=True, return_inverse=True)
    return np.arange(len(order)) - first[inverse], columns


def reduced(image: np.ndarray) -> np.ndarray:
    """Return an image (uint8 (H, W, C)) with a longest side of `SIDE` pixels at most."""
    if max(image.shape[:2]) <= SIDE:
        return image
    small = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(small.height, small.width, image.shape[2])
