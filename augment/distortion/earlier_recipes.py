"""Earlier forms of built-in recipes, whose sets are still found and extended."""

from dataclasses import replace

from .recipe import Choice, Recipe, load_recipe


def first_photo(recipe: Recipe) -> Recipe | None:
    """Return the first form of the built-in recipe `photo` if `recipe` is today's, else None.

    It filled with black, and its blur did not scale with the image. Sets that were made with it are found and extended
    by the same command.
    """
    if recipe.name != "photo" or recipe.settings() != load_recipe("photo").settings():
        return None
    return replace(recipe, stages=tuple(replace(one, choices=_first_choices(one.choices)) for one in recipe.stages))


def _first_choices(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Return the choices with the defaults of format 1 for the settings that it did not have."""
    return tuple(replace(one, operation=replace(one.operation, **one.operation.younger_defaults())) for one in choices)
