"""A recipe whose code is named, not executed: enough to draw the parameters of stored images, not to distort one."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..shared.types import Shape
from .operations import AlbumentationsOperation, Operation, Parameters, Smooth
from .operations.seeds import seeds
from .recipe import Choice, Recipe, recipe_from_settings


@dataclass(frozen=True, kw_only=True)
class NamedCode(Operation):
    """In place of a custom operation or an Albumentations pipeline: it draws as they do, and cannot be applied."""

    name: ClassVar[str] = "code"
    compilable: ClassVar[bool] = False
    op: str

    def uniforms(self, shape: Shape) -> int:
        """Return 1, for the seed of a pipeline, or 0."""
        return int(self.op == AlbumentationsOperation.name)

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return the `seed` of a pipeline; a custom operation has no parameters."""
        return {"seed": seeds(uniform[:, 0])} if self.uniforms(shape) else {}


def is_code(op: str) -> bool:
    """Return whether the operation `op` of a recipe is code that others wrote."""
    return ":" in op or op == AlbumentationsOperation.name


def recipe_with_named_code(name: str, settings: dict[str, Any]) -> Recipe:
    """Return a recipe that draws like the one whose `settings()` these are, without executing code that it names.

    Raises `ValueError` if the settings are damaged or no longer mean the same.
    """
    stages = settings["stages"]
    # A stand-in without settings is validated in place of code, and then replaced.
    without = [
        {**stage, "operations": [_stand_in(one) if is_code(one["op"]) else one for one in stage["operations"]]}
        for stage in stages
    ]
    recipe = recipe_from_settings(name, {**settings, "stages": without})
    return replace(
        recipe,
        stages=tuple(
            replace(
                parsed,
                choices=tuple(
                    Choice(one["op"], NamedCode(op=one["op"]), choice.weight) if is_code(one["op"]) else choice
                    for choice, one in zip(parsed.choices, stored["operations"], strict=True)
                ),
            )
            for parsed, stored in zip(recipe.stages, stages, strict=True)
        ),
    )


def _stand_in(operation: dict[str, Any]) -> dict[str, Any]:
    return {"op": Smooth.name, "weight": operation["weight"], **Smooth().settings()}
