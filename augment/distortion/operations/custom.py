"""A custom operation: the user's function of an image and a random generator, by import path."""

import copy
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ...errors import EpochbankError
from ...shared.import_path import import_by_path, source_digest
from ...shared.types import Shape
from .base import Operation, Parameters, to_image

Function = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Takes a uint8 image (H, W, C), which it must not change; returns a new one of the same shape and dtype."""

_FIX = "Fix the function and run the command again; the change makes another set."


@dataclass(frozen=True, kw_only=True)
class CustomOperation(Operation):
    """`module:function`, called as `function(image, generator)`.

    The source text of the module is part of `settings()` and so of the set's fingerprint: a change makes another set.
    The generator is a function of (set, epoch, position).
    """

    name: ClassVar[str] = "custom"
    compilable: ClassVar[bool] = False
    path: str

    def __post_init__(self) -> None:
        load_function(self.path)

    @property
    def source_digest(self) -> str:
        """SHA-256 of the module's source file, and of the function's file if that is another."""
        return source_digest(*import_by_path(self.path))

    def uniforms(self, shape: Shape) -> int:
        """Return 0: the function draws from its generator."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return no parameters."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return the digest of the module's source, which identifies what the function does."""
        return {"source": self.source_digest}

    def apply(self, image: Image.Image, *, generator: np.random.Generator) -> Image.Image:
        """Call the function; raise `EpochbankError` if it raises, or returns another shape or dtype."""
        before = np.asarray(image)
        before = before[:, :, None] if before.ndim == 2 else before
        # A copy, so that applying the same draw again gives the same image.
        generator = np.random.Generator(copy.deepcopy(generator.bit_generator))
        try:
            after = load_function(self.path)(before, generator)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise EpochbankError(
                f"{self.path} raised {type(error).__name__}: {error} ({place.filename}, line {place.lineno}). {_FIX}",
                usage=True,
            ) from error
        return as_image(after, before.shape, self.path, _FIX)


def as_image(after: Any, shape: Shape, returned_by: str, fix: str) -> Image.Image:
    """Return `after` as a Pillow image; raise `EpochbankError` unless it is a uint8 array of `shape` (H, W, C)."""
    if not isinstance(after, np.ndarray) or after.dtype != np.uint8 or after.shape != shape:
        received = f"{after.dtype} {after.shape}" if isinstance(after, np.ndarray) else type(after).__name__
        raise EpochbankError(
            f"{returned_by} returned {received}; expected a NumPy array, uint8 {shape}, like its input. {fix}",
            usage=True,
        )
    return to_image(np.ascontiguousarray(after))


@lru_cache(maxsize=64)
def load_function(path: str) -> Function:
    """Import `module:function`; raise `ValueError` if there is no such function."""
    try:
        _, function = import_by_path(path)
    except ValueError as error:
        raise ValueError(f"op = {error}") from error
    if not inspect.isfunction(function):
        raise ValueError(
            f"op = {path!r} is of type {type(function).__name__}; expected a Python function of (image, generator), "
            "because its source goes into the fingerprint"
        )
    return function
