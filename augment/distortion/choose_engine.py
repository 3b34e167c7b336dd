"""Choosing the engine of a run: the compiled one, once it has reproduced Pillow's pixels, else Pillow."""

from functools import cache
from typing import Literal

import numpy as np

from ..console import notify
from ..errors import EpochbankError
from ..shared.types import Shape
from .engine import PILLOW, Engine
from .recipe import Recipe

EngineName = Literal["auto", "pillow", "compiled"]
"""What `--engine` accepts. `auto` is the compiled engine if Numba is installed and the self-check passes."""

_CHECKED_IMAGES, _CHECKED_SIDE = 6, 128
"""Images that the self-check distorts with each operation, and their longest side in pixels."""


@cache
def engine_named(name: str) -> Engine:
    """Return the engine `pillow` or `compiled`, unchecked; `ImportError` if Numba is not installed."""
    if name == "pillow":
        return PILLOW
    from .compiled import COMPILED

    return COMPILED


def choose_engine(name: EngineName, recipe: Recipe, shape: Shape) -> Engine:
    """Choose the engine for images of `shape`, and check it against Pillow; print a line if `auto` falls back.

    Raises `EpochbankError` if the compiled engine is named and unavailable, or computes other pixels.
    """
    if name == "pillow":
        return PILLOW
    fault = _fault_of_compiled(recipe, shape)
    if fault is None:
        return engine_named("compiled")
    if name == "compiled":
        raise EpochbankError(f"--engine compiled: {fault}. Omit the option or use --engine pillow.", usage=True)
    notify(f"{fault}: this run falls back to Pillow, which is several times slower")
    return PILLOW


def _fault_of_compiled(recipe: Recipe, shape: Shape) -> str | None:
    """Return why the compiled engine cannot be used, or None."""
    try:
        compiled = engine_named("compiled")
        from .compiled import compiled_before

        if not compiled_before():
            notify("compiling the engine, once on this machine: up to a minute")
        differing = self_check(compiled, recipe, shape)
    except ImportError as error:
        return f"the compiled engine needs Numba, which cannot be imported ({error}; pip install numba)"
    except Exception as error:  # A compiler may raise anything on an untested machine.
        return f"the compiled engine cannot be compiled here ({type(error).__name__}: {error})"
    if differing:
        return f"the compiled engine differs from the installed Pillow in {', '.join(differing)}"
    return None


def self_check(engine: Engine, recipe: Recipe, shape: Shape) -> list[str]:
    """Return the operations of `recipe` whose pixels or ink differ from Pillow's on a few images of `shape`."""
    rng = np.random.Generator(np.random.Philox(0))
    shape = (min(shape[0], _CHECKED_SIDE), min(shape[1], _CHECKED_SIDE), shape[2])
    images = rng.integers(0, 256, (_CHECKED_IMAGES, *shape), np.uint8)
    images[::2] //= 255 // 2  # Few values: strokes rather than noise.
    images[::2] *= 127
    members = np.arange(_CHECKED_IMAGES)
    differing = []
    for choice in (choice for stage in recipe.stages for choice in stage.choices):
        operation = choice.operation
        if not operation.compilable:
            continue
        parameters = operation.parameters(rng.random((_CHECKED_IMAGES, operation.uniforms(shape))), shape)
        target = np.empty_like(images)
        engine.apply(operation, images, target, members, parameters)
        same = np.array_equal(target, operation.apply_many(images, parameters))
        ours = engine.ink(operation, images, members, parameters)
        reference = PILLOW.ink(operation, images, members, parameters)
        if not same or not np.array_equal(np.asarray(ours), np.asarray(reference)):  # None equals None.
            differing.append(choice.op)
    return sorted(set(differing))
