"""A pipeline of Albumentations as one operation: what its `Compose` does, seeded picture by picture."""

import json
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ...errors import EpochbankError
from .base import Operation, Parameters, Shape
from .custom import as_picture

_VERSIONS = {"albumentations": "albumentations=={}", "opencv": "opencv-python-headless=={}.*"}
"""What computes the pixels, by the field that holds its version: the requirement that installs a version of it."""

_ONLY_PICTURES = ("additional_targets", "bbox_params", "keypoint_params")
_MEND = "Mend the pipeline and run again; that makes another set."
_TURN = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class AlbumentationsOperation(Operation):
    """An `albumentations.Compose` that `albumentations.save` wrote to a YAML or JSON file.

    `settings()` has the pipeline itself and the versions of what computes it, hence so has the set's
    fingerprint; the file's name and format, and the version that wrote it, are not in it. What a transform
    computes with NumPy's linear algebra may differ in its last bit between machines, as that library does.
    """

    name: ClassVar[str] = "albumentations"
    compilable: ClassVar[bool] = False
    file: str = field(default="", compare=False)
    """Where the pipeline is read from, once, when the operation is made."""
    pipeline: Any = None
    """Instead of a file, what `albumentations.to_dict` gives; kept as JSON text, sorted."""
    albumentations: str = ""
    """The version of Albumentations: what is installed; another one that is asked for is refused."""
    opencv: str = ""
    """That of OpenCV, which computes most of the pixels."""

    def __post_init__(self) -> None:
        for key, installed in zip(_VERSIONS, _libraries(), strict=True):
            wanted = getattr(self, key)
            if wanted not in ("", installed.__version__):
                remedy = f"pip install '{_VERSIONS[key].format(wanted)}'"
                raise ValueError(f"{key} = {wanted!r}; {installed.__version__} is installed, not the same ({remedy})")
            object.__setattr__(self, key, installed.__version__)
        if not isinstance(self.file, str) or (not self.file and self.pipeline is None):
            raise ValueError(f"file = {self.file!r}; expected the path of a pipeline saved by albumentations.save")
        if self.file and self.pipeline is not None:
            raise ValueError("pipeline: given beside file; expected one of them")
        try:
            text = _canonical(_read(Path(self.file)) if self.file else self.pipeline)
            _compose(text)
        except ValueError as error:
            raise ValueError(f"{f'file = {self.file!r}' if self.file else 'pipeline'}: {error}") from error
        object.__setattr__(self, "pipeline", text)

    def uniforms(self, shape: Shape) -> int:
        """One, for the seed."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`seed`, int64 from 0 to 2^53 - 1: of all that the pipeline draws for a picture."""
        return {"seed": (uniform[:, 0] * 2.0**53).astype(np.int64)}

    def settings(self) -> dict[str, Any]:
        """The pipeline, as `albumentations.from_dict` takes it, and the versions."""
        return {"pipeline": json.loads(self.pipeline), **{key: getattr(self, key) for key in _VERSIONS}}

    def apply(self, image: Image.Image, *, seed: int) -> Image.Image:
        """Seed the pipeline and call it; refuse what is not a picture of the same shape and dtype.

        All transforms draw from one PCG64 and one Mersenne Twister. `Compose.set_random_seed` would seed each
        transform alike, so that all of the same probability apply to a picture, or none.
        """
        before = np.array(image)
        before = before[:, :, None] if before.ndim == 2 else before
        what, seed = self.file or "the pipeline of Albumentations", int(seed)
        with _TURN, _same_on_every_machine():
            compose = _compose(self.pipeline)
            compose.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
            try:
                after = compose(image=before)["image"]
            except Exception as error:  # A transform may raise anything, if only for pictures of this shape.
                raise EpochbankError(
                    f"{what} raised {_told(error)}, given a picture {before.shape}. {_MEND}", words=True
                ) from error
        return as_picture(after, before.shape, what, _MEND)


@cache
def _libraries() -> tuple[Any, Any]:
    """Albumentations and OpenCV; `ValueError` where they are not installed."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # Else importing it asks the network for a newer one.
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
def _same_on_every_machine() -> Iterator[None]:
    """OpenCV on this thread alone, with the code that any processor of its kind runs: AVX2 and IPP round otherwise."""
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
    """The plain values that a YAML or JSON file holds."""
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ValueError("expected a file whose name ends in .yaml, .yml or .json")
    import yaml  # Albumentations brings it.

    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); a relative path starts at the recipe's folder") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"not a {kind} file: {_told(error)}") from error


def _canonical(document: Any) -> str:
    """The one JSON text of a pipeline, without the version of Albumentations that wrote it, which changes no pixel."""
    if not isinstance(document, dict) or not isinstance(document.get("transform"), dict):
        raise ValueError("not a pipeline that albumentations.save wrote: expected a table with a table `transform`")
    try:
        return json.dumps({"transform": document["transform"]}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not plain values ({error})") from error


@lru_cache(maxsize=16)
def _compose(text: str) -> Any:
    """The `Compose` of a pipeline, made once; `ValueError` where it is none, or asks for more than a picture."""
    library, _ = _libraries()
    document = json.loads(text)
    try:
        compose = library.from_dict(document)
    except Exception as error:  # Whatever transforms, or their checks, raise for wrong arguments.
        raise ValueError(
            f"Albumentations {library.__version__} cannot make this pipeline ({_told(error)}); expected transforms "
            "of its own, with arguments that they have"
        ) from error
    if type(compose) is not library.Compose:
        raise ValueError(f"holds a {type(compose).__name__}; expected a Compose, saved whole")
    for node in _nodes(document["transform"]):
        for key in _ONLY_PICTURES:
            if node.get(key):
                raise ValueError(f"has {key}; expected a pipeline for pictures alone")
    _check_transforms(compose.transforms)
    return compose


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("transforms") or ():
        yield from _nodes(child)


def _check_transforms(transforms: Any) -> None:
    """Refuse transforms that do nothing to a picture, or need more than one, or have lost arguments."""
    for one in transforms:
        name = type(one).__name__
        if hasattr(one, "transforms"):
            _check_transforms(one.transforms)
        elif "image" not in one.targets:
            raise ValueError(f"{name} does not act on pictures; expected transforms that do")
        elif one.targets_as_params:
            raise ValueError(f"{name} needs {', '.join(one.targets_as_params)}; expected a pipeline for pictures alone")
        elif one.invalid_args:
            raise ValueError(f"{name} has no {', '.join(one.invalid_args)} in the installed Albumentations")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
