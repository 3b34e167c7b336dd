"""Which images a recipe suits. Pure functions."""

from ..shared.types import Shape
from .recipe import Recipe


def size_warning(recipe: Recipe, shape: Shape) -> str | None:
    """Return a sentence if the recipe is not meant for images of `shape`; None if it is."""
    least, largest = recipe.sizes
    side = min(shape[:2])
    if least <= side <= largest:
        return None
    meant = f"at least {least} pixels" if side < least else f"at most {largest} pixels"
    fix = " or --recipe handwriting" if side < least else ""
    return (
        f"recipe {recipe.name} is meant for images whose shorter side has {meant}, but these have {side}: images may "
        f"become illegible; look at `augment preview`, and consider another --size{fix}"
    )


def fills_black(recipe: Recipe) -> list[str]:
    """Return the operations of `recipe` that fill areas from outside the image with black, in order."""
    choices = (choice for stage in recipe.stages for choice in stage.choices if choice.weight > 0)
    return list(dict.fromkeys(one.op for one in choices if getattr(one.operation, "fill", None) == "black"))
