"""epochbank: augment once, overnight, on all cores; train as often as you like, at the speed of the GPU.

Everything that users need is importable from here, and loaded on first use: `import epochbank` imports neither NumPy
nor Numba nor Keras.

>>> import epochbank
>>> digits = epochbank.generate("digits", epochs=5)             # stage 1; `augment run digits --epochs 5`
>>> data = epochbank.AugmentedSequence(digits, batch_size=256)  # stage 2
>>> model.fit(data, validation_data=digits.validation(), shuffle=False, callbacks=[data.callback()])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.contents import info, list_sets
    from .api.exchange import copy_set, export_set
    from .api.fitting import fit, resume
    from .api.generation import generate, plan, refresh
    from .api.lifecycle import gc, remove, tag
    from .api.set_differences import diff
    from .api.sources import import_source, inspect, open_source_file
    from .api.studies import study
    from .api.teaching import teach
    from .api.training_runs import compare, export, list_runs, predict, report_run
    from .api.verification import repair, verify
    from .api.views import explain, preview, report
    from .augment.distortion.recipe import Recipe, load_recipe
    from .augment.errors import EpochbankError
    from .augment.generation.plan import GenerationPlan
    from .augment.ingest.source_file import SourceFile
    from .train.feeding.augmented_set import AugmentedSet, open_set
    from .train.feeding.sequence import AugmentedSequence
    from .train.streaming.schedule import OriginalsSchedule
    from .train.training.run import Run, open_run
    from .train.training.soft_loss import SparseSoftAccuracy, SparseSoftCrossentropy

__version__ = "0.2.0"

_MODULES = {
    "AugmentedSequence": ".train.feeding.sequence",
    "AugmentedSet": ".train.feeding.augmented_set",
    "EpochbankError": ".augment.errors",
    "GenerationPlan": ".augment.generation.plan",
    "OriginalsSchedule": ".train.streaming.schedule",
    "Recipe": ".augment.distortion.recipe",
    "Run": ".train.training.run",
    "SourceFile": ".augment.ingest.source_file",
    "SparseSoftAccuracy": ".train.training.soft_loss",
    "SparseSoftCrossentropy": ".train.training.soft_loss",
    "compare": ".api.training_runs",
    "copy_set": ".api.exchange",
    "diff": ".api.set_differences",
    "explain": ".api.views",
    "export": ".api.training_runs",
    "export_set": ".api.exchange",
    "fit": ".api.fitting",
    "gc": ".api.lifecycle",
    "generate": ".api.generation",
    "import_source": ".api.sources",
    "info": ".api.contents",
    "inspect": ".api.sources",
    "list_runs": ".api.training_runs",
    "list_sets": ".api.contents",
    "load_recipe": ".augment.distortion.recipe",
    "open_run": ".train.training.run",
    "open_set": ".train.feeding.augmented_set",
    "open_source_file": ".api.sources",
    "plan": ".api.generation",
    "predict": ".api.training_runs",
    "preview": ".api.views",
    "refresh": ".api.generation",
    "remove": ".api.lifecycle",
    "repair": ".api.verification",
    "report": ".api.views",
    "report_run": ".api.training_runs",
    "resume": ".api.fitting",
    "study": ".api.studies",
    "tag": ".api.lifecycle",
    "teach": ".api.teaching",
    "verify": ".api.verification",
}
"""The module of each public name."""

__all__ = [
    "AugmentedSequence",
    "AugmentedSet",
    "EpochbankError",
    "GenerationPlan",
    "OriginalsSchedule",
    "Recipe",
    "Run",
    "SourceFile",
    "SparseSoftAccuracy",
    "SparseSoftCrossentropy",
    "compare",
    "copy_set",
    "diff",
    "explain",
    "export",
    "export_set",
    "fit",
    "gc",
    "generate",
    "import_source",
    "info",
    "inspect",
    "list_runs",
    "list_sets",
    "load_recipe",
    "open_run",
    "open_set",
    "open_source_file",
    "plan",
    "predict",
    "preview",
    "refresh",
    "remove",
    "repair",
    "report",
    "report_run",
    "resume",
    "study",
    "tag",
    "teach",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'epochbank' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name], __name__), name)
    globals()[name] = value  # The next access does not come here.
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
