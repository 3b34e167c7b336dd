"""Engines: what carries operations out. Pillow defines the pixels; the compiled engine makes the same ones, faster.

An engine is a detail of execution and in no fingerprint. Before it is used, a compiled engine is held against
Pillow on a few pictures of the recipe at hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from ..console import say
from ..errors import EpochbankError
from ..ingest.source_file import ReadMany
from ..sources.decode import Treatment, fit_each
from .operations import Operation, Parameters
from .operations.base import Shape
from .recipe import Recipe

Name = Literal["auto", "pillow", "compiled"]
"""What a user may ask for; `auto` is compiled where Numba is installed and the self-check passes."""

_WORTH_COMPILING, _SIZES = 2048, ((127, 128), (28, 28), (63, 64), (40, 70), (9, 5))
"""Pictures of an import that Pillow has done before a compiled engine has started; sizes that it is held against."""
_CHECKED, _CHECKED_SIDE = 6, 128
"""Pictures of the self-check for each operation, and the longest side that they have."""


@dataclass(frozen=True)
class Engine:
    """How operations are carried out on the pictures of a block (uint8 (n, H, W, C), contiguous)."""

    name: str
    apply: Callable[[Operation, np.ndarray, np.ndarray, np.ndarray, Parameters], None]
    """`apply(operation, source, target, members, parameters)`: `target[m]` from `source[m]` for each m of
    `members` (int64 (k,), ascending), with the parameters of those k pictures. `source` stays as it is."""
    ink: Callable[[Operation, np.ndarray, np.ndarray, Parameters], np.ndarray | None]
    """`ink(operation, source, members, parameters)`: int64 (k, 2), the ink (sum of pixel values) that the
    operation leaves in each picture's frame, and all that was in it; None where it takes none away."""
    read: ReadMany | None = None
    """How it reads many pictures of a source file; None for one at a time."""
    fit: Callable[[np.ndarray, Treatment], np.ndarray] = fit_each
    """`fit(pictures, treatment)`: pictures of one size (uint8 (n, h, w, C), contiguous, C the treatment's, inverted
    already) brought to the treatment's size."""


def _apply_with_pillow(
    operation: Operation, source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters
) -> None:
    target[members] = operation.apply_many(source[members], parameters)


def _ink_with_numpy(
    operation: Operation, source: np.ndarray, members: np.ndarray, parameters: Parameters
) -> np.ndarray | None:
    return operation.ink(source[members], parameters) if operation.takes_ink else None


PILLOW = Engine("pillow", _apply_with_pillow, _ink_with_numpy)
"""The definition: Pillow, picture by picture, and NumPy where whole numbers give the same pixels."""


@cache
def engine_named(name: str) -> Engine:
    """The engine `pillow` or `compiled`, unchecked; `ImportError` where Numba is not installed."""
    if name == "pillow":
        return PILLOW
    from .compiled import COMPILED

    return COMPILED


def choose_engine(name: Name, recipe: Recipe, shape: Shape) -> Engine:
    """The engine that a run uses for pictures of `shape`, checked against Pillow; people are told of a fallback.

    Raises `EpochbankError` where the compiled engine is asked for and cannot be had, or computes otherwise.
    """
    if name == "pillow":
        return PILLOW
    fault = _fault_of_compiled(recipe, shape)
    if fault is None:
        return engine_named("compiled")
    if name == "compiled":
        raise EpochbankError(f"--engine compiled: {fault}. Leave it out, or give --engine pillow.", words=True)
    say(f"{fault}: this run uses Pillow, several times slower, with the same pictures")
    return PILLOW


def importing_engine(images: int) -> str:
    """The name of the engine that shall fit so many pictures: compiled where that is worth its start."""
    return "compiled" if images >= _WORTH_COMPILING else "pillow"


@cache
def fitting(name: str, treatment: Treatment) -> Callable[[np.ndarray, Treatment], np.ndarray]:
    """What fits pictures in this process: the engine's, checked against Pillow once, or else Pillow itself."""
    if name == "pillow":
        return PILLOW.fit
    rng = np.random.Generator(np.random.Philox(0))
    try:
        compiled = engine_named("compiled")
        for height, width in _SIZES:
            pictures = rng.integers(0, 256, (2, height, width, treatment.channels), np.uint8)
            if not np.array_equal(compiled.fit(pictures, treatment), PILLOW.fit(pictures, treatment)):
                return PILLOW.fit
    except Exception as error:  # As below: whatever it is, Pillow does the same, only more slowly.
        say(f"the compiled engine cannot be had ({type(error).__name__}: {error}): Pillow imports, more slowly")
        return PILLOW.fit
    return compiled.fit


def _fault_of_compiled(recipe: Recipe, shape: Shape) -> str | None:
    """Why the compiled engine cannot be used, or None."""
    try:
        compiled = engine_named("compiled")
        from .compiled import compiled_before

        if not compiled_before():
            say("compiling the engine, once on this machine: up to a minute")
        differing = self_check(compiled, recipe, shape)
    except ImportError as error:
        return f"the compiled engine needs Numba, which cannot be imported ({error}; pip install numba)"
    except Exception as error:  # A compiler has many ways to fail on a machine that we have not seen.
        return f"the compiled engine cannot be compiled here ({type(error).__name__}: {error})"
    if differing:
        return f"the compiled engine differs from the installed Pillow in {', '.join(differing)}"
    return None


def self_check(engine: Engine, recipe: Recipe, shape: Shape) -> list[str]:
    """The operations of `recipe` in which `engine` does not give Pillow's pixels and ink, on a few pictures."""
    rng = np.random.Generator(np.random.Philox(0))
    shape = (min(shape[0], _CHECKED_SIDE), min(shape[1], _CHECKED_SIDE), shape[2])
    pictures = rng.integers(0, 256, (_CHECKED, *shape), np.uint8)
    pictures[::2] //= 255 // 2  # Few values: strokes rather than noise.
    pictures[::2] *= 127
    members = np.arange(_CHECKED)
    differing = []
    for choice in (choice for stage in recipe.stages for choice in stage.choices):
        operation = choice.operation
        if not operation.compilable:
            continue
        parameters = operation.parameters(rng.random((_CHECKED, operation.uniforms(shape))), shape)
        target = np.empty_like(pictures)
        engine.apply(operation, pictures, target, members, parameters)
        same = np.array_equal(target, operation.apply_many(pictures, parameters))
        ours = engine.ink(operation, pictures, members, parameters)
        reference = PILLOW.ink(operation, pictures, members, parameters)
        if not same or not np.array_equal(np.asarray(ours), np.asarray(reference)):  # None equals None.
            differing.append(choice.op)
    return sorted(set(differing))
