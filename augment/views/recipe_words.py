"""A recipe in words, from the settings that a set stores. Pure functions."""

from dataclasses import dataclass
from typing import Any

from .recipe_text import value_text

OPERATIONS = {
    "rotate": "rotates the image about its center",
    "shear": "slants the image",
    "scale": "shrinks the image and pastes it at a random place",
    "sine": "moves columns up and down along a wave",
    "blur": "blurs the image (Gaussian)",
    "sharpen": "sharpens the image (3 x 3)",
    "smooth": "smooths the image (3 x 3)",
    "elastic": "bends the image by a smooth random field",
    "stroke": "makes bright strokes thicker or thinner",
    "contrast": "changes contrast, brightness and gamma",
    "noise": "adds Gaussian noise to every pixel",
    "erase": "fills boxes with one gray value",
    "color": "changes hue, brightness and saturation",
    "affine": "shears, scales, rotates and shifts the image in one step",
    "perspective": "moves the four corners of the image",
    "flip": "mirrors the image",
    "shift": "moves the image by whole pixels",
    "crop": "crops a random box and resizes it to the size of the image",
    "albumentations": "applies an Albumentations pipeline",
}
"""What each built-in operation does."""
_CUSTOM = "custom operation, code that this report does not execute"
_OLD_NAMES = {"colour": "color"}
_LONGEST = 160
"""Characters of a value: a stored pipeline may be long."""


@dataclass(frozen=True)
class OperationWords:
    """One operation of a stage."""

    name: str
    what: str
    share: str
    """How often the stage chooses it, such as `33 %`; empty for the only one."""
    values: list[tuple[str, str]]
    """Settings, with their ranges."""


@dataclass(frozen=True)
class StageWords:
    """One stage of a recipe."""

    chance: str
    operations: list[OperationWords]


def recipe_words(settings: dict[str, Any]) -> list[StageWords]:
    """Return the stages of a recipe's settings in words."""
    return [_stage(stage) for stage in settings["stages"]]


def check_words(settings: dict[str, Any]) -> str:
    """Return what the label check of a recipe's settings does, as a sentence."""
    check = settings.get("safety")
    if check is None:
        return "The recipe has no label check."
    return (
        f"Label check: if a distorted image has lost more than {100 * check['lost']:g} % of its ink, or is blank, "
        f"epochbank draws new parameters, with at most {check['attempts']} draws in all."
    )


def _stage(stage: dict[str, Any]) -> StageWords:
    operations, probability = stage["operations"], stage["probability"]
    total = sum(one["weight"] for one in operations)
    chance = "Every image" if probability == 1 else f"{100 * probability:.4g} % of the images, chosen at random"
    return StageWords(
        chance + (": one of these operations" if len(operations) > 1 else ""),
        [_operation(one, f"{100 * one['weight'] / total:.3g} %" if len(operations) > 1 else "") for one in operations],
    )


def _operation(settings: dict[str, Any], share: str) -> OperationWords:
    name = _OLD_NAMES.get(settings["op"], settings["op"])
    values = [
        (key.replace("_", " "), _shortened(value_text(value)))
        for key, value in settings.items()
        if key not in ("op", "weight", "source")
    ]
    return OperationWords(name, OPERATIONS.get(name, _CUSTOM), share, values)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
