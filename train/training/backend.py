"""Starting Keras: what is missing is said, the backend's start-up chatter is not repeated."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...augment.errors import EpochbankError


def start_backend() -> str:
    """Import Keras and its backend; returns what it computes on, for people.

    Puts the current directory on the import path, for models of the user's own. TensorFlow's start-up
    messages are kept back unless `TF_CPP_MIN_LOG_LEVEL` is set. `EpochbankError` where Keras or its
    backend is not installed.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _stderr_kept_back() if quiet else _nothing():
            import keras

            devices = keras.distribution.list_devices()
    except (ImportError, AttributeError) as error:
        raise EpochbankError(
            f"Keras cannot be started ({error}); training needs it and one of its backends. "
            "Install them: pip install 'epochbank[train]', or 'epochbank[train-cuda]' for an NVIDIA GPU."
        ) from error
    found = ", ".join(devices)
    if all(device.startswith("cpu") for device in devices):
        found += " (no GPU found; TF_CPP_MIN_LOG_LEVEL=0 shows why)"
    return f"Keras {keras.__version__} on {keras.backend.backend()}, {found}"


def compute_deterministically() -> None:
    """From now on in this process, the same computation gives the same bits; slower.

    Seeds are to be set before. JAX computes so on CPUs anyway; for its GPUs, XLA_FLAGS are to say so before it starts.
    """
    import keras

    name = keras.backend.backend()
    backend = sys.modules[name]
    if name == "tensorflow":
        backend.config.experimental.enable_op_determinism()
    elif name == "torch":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it.
        backend.use_deterministic_algorithms(True)


@contextmanager
def _stderr_kept_back() -> Iterator[None]:
    """Keep back what is written to standard error, by C++ too; give it out after all if there is an exception."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        standard_error = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(standard_error, kept.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
