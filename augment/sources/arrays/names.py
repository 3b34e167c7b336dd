"""Finds images and labels among arrays by the names that people use, and the splits that the names say.

The name of an array is split into words: `x_train`, `train/data` and `kmnist-train-imgs` have a word for the role of
the array, a word for its split, and other words. Arrays with the same other words belong together.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...shared.closest import did_you_mean
from ..base import SPLIT_NAMES

IMAGES = ("images", "image", "imgs", "img", "x", "data", "pixels", "features", "inputs")
LABELS = ("labels", "label", "y", "targets", "target", "classes", "class")
"""Words for images and labels: the preferred word first."""
GROUPS = "groups"
_SPLITS = {name: split for name, split in SPLIT_NAMES.items() if name} | {"t10k": 2}
_IGNORED = {"set", "orig", "array"}
_ABOUT = {"name", "names", "id", "ids", "path", "paths", "file", "files", "filenames", "list", "mean", "std"}
"""Words of arrays that are neither images nor labels, such as `image_ids` and `class_names`."""
_WORDS = re.compile(r"[^0-9A-Za-z]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINED = re.compile(rf"^([xy])({'|'.join(_SPLITS)})$")
"""`xtrain` and so on."""
_UNNAMED = {"arr_0": "images", "arr_1": "labels"}
"""Names that np.savez gives to the arrays of `np.savez(file, images, labels)`."""
_SHOWN = 10


@dataclass(frozen=True)
class Name:
    """The words of an array's name."""

    text: str
    role: str
    """`images`, `labels` or `groups`; empty for an array without a word for its role."""
    rank: int
    """Position of the word among those for its role: smaller is preferred."""
    split: int | None
    """Index into `SPLITS`; None if the name says none."""
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Arrays that belong together."""

    images: str
    labels: str
    groups: str | None
    split: int | None
    """Index into `SPLITS`; None if the names say none."""


def parse_name(text: str) -> Name:
    """Return the words of the name of an array, or of a file without its suffix."""
    whole = [word.lower() for word in _WORDS.split(_UNNAMED.get(text, text)) if word]
    words = [word for one in whole for word in _JOINED.sub(r"\1 \2", one).split()]
    split = next((_SPLITS[word] for word in words if word in _SPLITS), None)
    words = [word for word in words if word not in _SPLITS and word not in _IGNORED]
    for role, known in (("labels", LABELS), ("groups", (GROUPS,)), ("images", IMAGES)):
        found = [word for word in known if word in words]
        if found and not _ABOUT.intersection(words):
            rest = tuple(word for word in words if word != found[0])
            return Name(text, role, known.index(found[0]), split, rest)
    return Name(text, "", 0, split, tuple(words))


def labels_name(text: str) -> str:
    """Return a name for the labels that belong to the array or file of images `text`, such as `y_train`."""
    name = parse_name(text)
    word = IMAGES[name.rank] if name.role == "images" else ""
    found = re.sub(word, "y" if word == "x" else "labels", text, count=1, flags=re.IGNORECASE) if word else ""
    return found if word and parse_name(found).rest == name.rest else f"{text}_labels"


def find_parts(
    shapes: Mapping[str, tuple[int, ...]], images_key: str | None = None, labels_key: str | None = None
) -> list[Part]:
    """Return the arrays of images with their labels: one part without a split, or a part for each split.

    Parameters
    ----------
    shapes
        The shape of each array, by its name.
    images_key, labels_key
        Names of arrays, also without the folder or group that they are in, as the user gives them.

    Raises
    ------
    ValueError
        If no arrays fit, or several do. The text says which were found and what is expected.
    """
    names = [parse_name(text) for text in shapes]
    images = _candidates(names, "images", images_key, shapes)
    labels = _candidates(names, "labels", labels_key, shapes)
    if not images:
        raise ValueError(
            f"there is no array `images` (found {_listed(shapes)}); expected `images` and `labels`, or names such as "
            "`x_train` and `y_train`. Name them with --images-key and --labels-key"
        )
    if not labels:
        raise ValueError(
            f"there is no array `labels` (found {_listed(shapes)}); expected one label for each image. Name the array "
            "with --labels-key"
        )
    given = images_key is not None or labels_key is not None
    if given or (len(images) == 1 and len(labels) == 1):
        images, labels = ([_without_rest(name) for name in found] for found in (images, labels))
    paired = {name.rest for name in images} & {name.rest for name in labels}
    if not paired or (len(paired) > 1 and () not in paired):
        found = f"{_listed([name.text for name in images])} and {_listed([name.text for name in labels])}"
        raise ValueError(
            f"it is unclear which arrays belong together: found {found}; expected one pair, or one for each split. "
            "Name them with --images-key and --labels-key"
        )
    rest = () if () in paired else next(iter(paired))
    groups = {name.split: name.text for name in names if name.role == "groups"}
    return _parts(_best(images, rest), _best(labels, rest), groups)


def unlabeled(shapes: Mapping[str, tuple[int, ...]], parts: list[Part]) -> list[str]:
    """Return the arrays of images of a split that has no labels."""
    used, rests = {part.images for part in parts}, {parse_name(part.images).rest for part in parts}
    splits = {part.split for part in parts}
    names = map(parse_name, shapes)
    return [
        name.text
        for name in names
        if name.role == "images"
        and name.rest in rests
        and name.text not in used
        and name.split is not None
        and name.split not in splits
    ]


def _candidates(names: list[Name], role: str, key: str | None, shapes: Mapping[str, tuple[int, ...]]) -> list[Name]:
    if key is not None:
        found = [name for name in names if name.text == key] or [
            name for name in names if name.text.rpartition("/")[2] == key
        ]
        if not found:
            hint = f".{similar}" if (similar := did_you_mean(key, shapes)) else ""
            raise ValueError(f"there is no array {key!r}; expected one of {_listed(shapes)}{hint}")
        return found
    most = 5 if role == "images" else 2
    least = 2 if role == "images" else 1
    return [name for name in names if name.role == role and (not name.rest or least <= len(shapes[name.text]) <= most)]


def _without_rest(name: Name) -> Name:
    return Name(name.text, name.role, name.rank, name.split, ())


def _best(names: list[Name], rest: tuple[str, ...]) -> dict[int | None, str]:
    """Return the preferred array of each split, among those with the words `rest`."""
    best: dict[int | None, Name] = {}
    for name in names:
        if name.rest == rest and (name.split not in best or name.rank < best[name.split].rank):
            best[name.split] = name
    return {split: name.text for split, name in best.items()}


def _parts(images: dict[int | None, str], labels: dict[int | None, str], groups: dict[int | None, str]) -> list[Part]:
    if len(images) == 1 and len(labels) == 1 and images.keys() != labels.keys():
        labels = dict(zip(images, labels.values(), strict=True))
    splits: list[int | None] = [split for split in (None, 0, 1, 2) if split in images and split in labels]
    splits = splits[:1] if splits[:1] == [None] else splits
    if not splits:
        raise ValueError(
            f"found images {_listed(images.values())} and labels {_listed(labels.values())}; expected labels for the "
            "same split. Name the arrays with --images-key and --labels-key"
        )
    return [Part(images[split], labels[split], groups.get(split), split) for split in splits]


def _listed(names: Iterable[str]) -> str:
    texts = list(names)
    more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return (", ".join(texts[:_SHOWN]) or "nothing") + more
