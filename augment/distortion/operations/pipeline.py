"""An Albumentations pipeline as one operation: its `Compose`, seeded for each image."""

import json
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ...errors import EpochbankError
from ...shared.types import Shape
from .base import Operation, Parameters
from .custom import as_image
from .seeds import seeds

_VERSIONS = {"albumentations": "albumentations=={}", "opencv": "opencv-python-headless=={}.*"}
"""The libraries that compute the pixels, by the field that holds their version: the requirement to install one."""

_UNSUPPORTED = ("additional_targets", "bbox_params", "keypoint_params")
"""Arguments of `Compose` that need more than an image."""
_MOST_NODES = 100_000
"""Most values in a pipeline, with the values that YAML aliases repeat: nine levels of nine aliases are 10^9 of them."""
_MOST_BYTES = 16 << 20
"""Largest file of a pipeline."""
_DEEPEST = 100
"""Most levels of lists and tables in a pipeline."""
_FIX = "Fix the pipeline and run the command again; the change makes another set."
_LOCK = threading.Lock()
"""OpenCV's settings belong to the process: one thread at a time may change them."""


@dataclass(frozen=True, kw_only=True)
class AlbumentationsOperation(Operation):
    """An `albumentations.Compose` that `albumentations.save` wrote to a YAML or JSON file.

    `settings()`, and so the set's fingerprint, contains the pipeline and the versions of the libraries that compute it,
    but not the file's name and format, nor the version that wrote it. A transform that uses NumPy's linear algebra may
    differ in the last bit between machines, as that library does.
    """

    name: ClassVar[str] = "albumentations"
    compilable: ClassVar[bool] = False
    file: str = field(default="", compare=False)
    """Path of the saved pipeline; read once, when the operation is created."""
    pipeline: Any = None
    """Instead of a file, the result of `albumentations.to_dict`; kept as sorted JSON text."""
    albumentations: str = ""
    """Version of Albumentations; it must be the installed one, which is the default."""
    opencv: str = ""
    """Version of OpenCV, which computes most of the pixels; it must be the installed one."""

    def __post_init__(self) -> None:
        for key, installed in zip(_VERSIONS, _libraries(), strict=True):
            wanted = getattr(self, key)
            if wanted not in ("", installed.__version__):
                fix = f"pip install '{_VERSIONS[key].format(wanted)}'"
                raise ValueError(f"{key} = {wanted!r}, but {installed.__version__} is installed ({fix})")
            object.__setattr__(self, key, installed.__version__)
        if not isinstance(self.file, str) or (not self.file and self.pipeline is None):
            raise ValueError(f"file = {self.file!r}; expected the path of a pipeline saved by albumentations.save")
        if self.file and self.pipeline is not None:
            raise ValueError("pipeline: given together with file; expected one of them")
        try:
            text = _canonical(_read(Path(self.file)) if self.file else self.pipeline)
            _compose(text)
        except ValueError as error:
            raise ValueError(f"{f'file = {self.file!r}' if self.file else 'pipeline'}: {error}") from error
        object.__setattr__(self, "pipeline", text)

    def uniforms(self, shape: Shape) -> int:
        """Return 1, for the seed."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `seed` (n,) int64, in [0, 2^53), of all random numbers that the pipeline draws for an image."""
        return {"seed": seeds(uniform[:, 0])}

    def settings(self) -> dict[str, Any]:
        """Return the pipeline, as `albumentations.from_dict` takes it, and the versions."""
        return {"pipeline": json.loads(self.pipeline), **{key: getattr(self, key) for key in _VERSIONS}}

    def apply(self, image: Image.Image, *, seed: int) -> Image.Image:
        """Seed the pipeline and call it; raise `EpochbankError` if it raises, or returns another shape or dtype.

        All transforms draw from one PCG64 and one Mersenne Twister. `Compose.set_random_seed` would give every
        transform the same seed, so that of the transforms with the same probability either all or none apply.
        """
        before = np.array(image)
        before = before[:, :, None] if before.ndim == 2 else before
        source, seed = self.file or "the Albumentations pipeline", int(seed)
        with _LOCK, _reproducible_opencv():
            compose = _compose(self.pipeline)
            compose.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
            try:
                after = compose(image=before)["image"]
            except Exception as error:  # A transform may raise anything, perhaps only for images of this shape.
                raise EpochbankError(
                    f"{source} raised {_describe(error)} for an image of shape {before.shape}. {_FIX}", usage=True
                ) from error
        return as_image(after, before.shape, source, _FIX)


@cache
def _libraries() -> tuple[Any, Any]:
    """Import Albumentations and OpenCV; raise `ValueError` if they are not installed."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # Otherwise the import looks for a newer version online.
    try:
        import albumentations
        import cv2
    except ImportError as error:
        raise ValueError(
            f"op = 'albumentations' needs Albumentations, which cannot be imported ({error}); "
            "pip install 'epochbank[albumentations]'"
        ) from error
    return albumentations, cv2


@contextmanager
def _reproducible_opencv() -> Iterator[None]:
    """Run OpenCV on this thread only, and without optimized code, which rounds differently on other processors."""
    _, cv2 = _libraries()
    threads, optimized = cv2.getNumThreads(), cv2.useOptimized()
    cv2.setNumThreads(0)
    cv2.setUseOptimized(False)
    try:
        yield
    finally:
        cv2.setUseOptimized(optimized)
        cv2.setNumThreads(threads)


def _read(path: Path) -> Any:
    """Return the contents of a YAML or JSON file as plain values."""
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ValueError("expected a file whose name ends in .yaml, .yml or .json")
    import yaml  # A dependency of Albumentations.

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes; expected at most {_MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else _read_yaml(text)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); a relative path starts at the recipe's folder") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"not a {kind} file: {_describe(error)}") from error


def _read_yaml(text: str) -> Any:
    """Return the plain values of a YAML document. Its size is checked before aliases and merge keys are expanded."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_size(root, _yaml_children)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _yaml_children(node: Any) -> Iterable[Any]:
    if not isinstance(node.value, list):
        return ()
    return (child for item in node.value for child in (item if isinstance(item, tuple) else (item,)))


def _json_children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _check_size(root: Any, children: Callable[[Any], Iterable[Any]]) -> None:
    """Raise `ValueError` if a tree, in which parts may be shared, has too many nodes or levels."""
    left, count = [(root, 1)], 0
    while left:
        node, depth = left.pop()
        count += 1
        if count + len(left) > _MOST_NODES or depth > _DEEPEST:
            what = f"more than {_MOST_NODES:,} values" if depth <= _DEEPEST else f"more than {_DEEPEST} levels"
            raise ValueError(f"it has {what}, counting what aliases repeat; expected a pipeline")
        left += [(child, depth + 1) for child in children(node)]


def _canonical(document: Any) -> str:
    """Return the canonical JSON text of a pipeline, without the version that wrote it, which changes no pixel."""
    _check_size(document, _json_children)
    if not isinstance(document, dict) or not isinstance(document.get("transform"), dict):
        raise ValueError("not a pipeline that albumentations.save wrote: expected a table with a table `transform`")
    try:
        return json.dumps({"transform": document["transform"]}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not plain values ({error})") from error


@lru_cache(maxsize=16)
def _compose(text: str) -> Any:
    """Return the `Compose` of a pipeline, cached; raise `ValueError` if it is not one, or needs more than an image."""
    library, _ = _libraries()
    document = json.loads(text)
    try:
        compose = library.from_dict(document)
    except Exception as error:  # Transforms and their checks may raise anything.
        raise ValueError(
            f"Albumentations {library.__version__} cannot make this pipeline ({_describe(error)}); expected its "
            "own transforms with valid arguments"
        ) from error
    if type(compose) is not library.Compose:
        raise ValueError(f"holds a {type(compose).__name__}; expected a Compose, saved as a whole")
    for node in _nodes(document["transform"]):
        for key in _UNSUPPORTED:
            if node.get(key):
                raise ValueError(f"has {key}; expected a pipeline for images alone")
    _check_transforms(compose.transforms)
    return compose


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("transforms") or ():
        yield from _nodes(child)


def _check_transforms(transforms: Any) -> None:
    """Raise `ValueError` for transforms that ignore images, need more than an image, or have unknown arguments."""
    for one in transforms:
        name = type(one).__name__
        if hasattr(one, "transforms"):
            _check_transforms(one.transforms)
        elif "image" not in one.targets:
            raise ValueError(f"{name} does not act on images; expected transforms that do")
        elif one.targets_as_params:
            raise ValueError(f"{name} needs {', '.join(one.targets_as_params)}; expected a pipeline for images alone")
        elif one.invalid_args:
            raise ValueError(f"{name} has no {', '.join(one.invalid_args)} in the installed Albumentations")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
