"""epochbank: augment once, overnight, on all cores; train as often as you like, at the speed of the GPU.

Everything a user needs is importable from here, and loaded on first use: `import epochbank` imports neither NumPy
nor Numba nor Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .augment.distortion.recipe import load_recipe
    from .augment.errors import EpochbankError
    from .train.feeding.augmented_set import AugmentedSet, open_set
    from .train.feeding.sequence import AugmentedSequence

__version__ = "0.1.0"

__all__ = [
    "AugmentedSequence",
    "AugmentedSet",
    "EpochbankError",
    "__version__",
    "load_recipe",
    "open_set",
]

_MODULES = {
    "AugmentedSequence": ".train.feeding.sequence",
    "AugmentedSet": ".train.feeding.augmented_set",
    "EpochbankError": ".augment.errors",
    "load_recipe": ".augment.distortion.recipe",
    "open_set": ".train.feeding.augmented_set",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'epochbank' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
