"""An operation of the user's own: a function of a picture and a random generator, by import path."""

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
from .base import Operation, Parameters, Shape

Function = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Takes a `uint8` picture (H, W, C) that it must not change; returns a new one of that shape and dtype."""


@dataclass(frozen=True, kw_only=True)
class OwnOperation(Operation):
    """`module:function`, called as `function(picture, generator)`.

    The source text of the whole module is part of `settings()`, hence of the set's fingerprint: a
    change in it makes another set. The generator is a function of (set, epoch, position) alone.
    """

    name: ClassVar[str] = "own"
    compilable: ClassVar[bool] = False
    path: str

    def __post_init__(self) -> None:
        load_function(self.path)

    @property
    def source_digest(self) -> str:
        """SHA-256 of the named module's source file, and of the function's where that is another."""
        return source_digest(*import_by_path(self.path))

    def uniforms(self, shape: Shape) -> int:
        """None: it draws from a generator of its own."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """No parameters that we know of."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The digest of the module's source, which stands for whatever the function does."""
        return {"source": self.source_digest}

    def apply(self, image: Image.Image, *, generator: np.random.Generator) -> Image.Image:
        """Call the function, and refuse what is not a picture of the same shape and dtype."""
        before = np.asarray(image)
        before = before[:, :, None] if before.ndim == 2 else before
        # A copy: the same draw applied again draws the same.
        generator = np.random.Generator(copy.deepcopy(generator.bit_generator))
        try:
            after = load_function(self.path)(before, generator)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise EpochbankError(
                f"{self.path} raised {type(error).__name__}: {error} ({place.filename}, line {place.lineno}). "
                "Mend the function and run again; that makes another set.",
                words=True,
            ) from error
        return as_picture(after, before.shape, self.path, "Mend the function and run again; that makes another set.")


def as_picture(after: Any, shape: Shape, what: str, remedy: str) -> Image.Image:
    """`after` as a Pillow image; refused, as what `what` returned, unless it is uint8 of `shape` (H, W, C)."""
    if not isinstance(after, np.ndarray) or after.dtype != np.uint8 or after.shape != shape:
        received = f"{after.dtype} {after.shape}" if isinstance(after, np.ndarray) else type(after).__name__
        raise EpochbankError(
            f"{what} returned {received}; expected a NumPy array, uint8 {shape}, like the picture "
            f"that it was given. {remedy}",
            words=True,
        )
    return Image.fromarray(after[:, :, 0] if shape[2] == 1 else after)


@lru_cache(maxsize=64)
def load_function(path: str) -> Function:
    """Import `module:function`; `ValueError` where there is none."""
    try:
        _, function = import_by_path(path)
    except ValueError as error:
        raise ValueError(f"op = {error}") from error
    if not inspect.isfunction(function):
        raise ValueError(
            f"op = {path!r} is a {type(function).__name__}; expected a Python function of (picture, generator), "
            "whose source goes into the fingerprint"
        )
    return function
