"""Start Keras and its backend, and configure deterministic computation."""

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

from ...augment.errors import EpochbankError

_EXTRAS = {"tensorflow": "train", "jax": "jax", "torch": "torch"}
"""The extra of epochbank that installs Keras and the backend."""


def start_backend(connect: Callable[[], None] | None = None) -> str:
    """Import Keras and its backend, and return a line for the user that names both and the devices.

    `connect` is called before a device is used: processes that train one model must be connected first. TensorFlow's
    start-up messages are hidden unless `TF_CPP_MIN_LOG_LEVEL` is set, and it computes by oneDNN on all x86 processors
    unless `TF_ENABLE_ONEDNN_OPTS` is set. Raises `EpochbankError` if Keras or its backend is not installed.
    """
    quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if platform.machine().lower() in ("x86_64", "amd64"):
        # TensorFlow itself uses it only with AVX-512 VNNI or later extensions; it is faster with AVX2, too.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _needed(), hidden(2) if quiet else nullcontext():
        import keras

        name = keras.backend.backend()
    if connect is not None:
        connect()
    with _needed(), hidden(2) if quiet else nullcontext():
        devices = _devices(name)
    found = ", ".join(devices)
    if all(device.startswith("cpu") for device in devices):
        found += " (no GPU found; TF_CPP_MIN_LOG_LEVEL=0 shows why)"
    return f"Keras {keras.__version__} on {name}, {found}"


def _devices(backend: str) -> list[str]:
    """Return the names of the devices that Keras can use, such as `cpu:0`."""
    import keras

    if backend != "torch":
        return list(keras.distribution.list_devices())
    import torch  # Keras cannot list its devices.

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu:0"]


def compute_deterministically() -> None:
    """Make computation deterministic for the rest of this process; slower.

    Call this after setting the seeds. JAX is deterministic on CPUs; on GPUs it needs XLA_FLAGS set before it starts.
    """
    import keras

    name = keras.backend.backend()
    backend = sys.modules[name]
    if name == "tensorflow":
        backend.config.experimental.enable_op_determinism()
    elif name == "torch":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it.
        backend.use_deterministic_algorithms(True)


def random_state() -> list[str]:
    """Return the states of the generators outside Keras' variables, in hexadecimal: on torch, of the CPU and each GPU.

    Keras' dropout without a seed draws from them.
    """
    import keras

    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]
    return [state.numpy().tobytes().hex() for state in states]


def restore_random_state(states: list[str]) -> None:
    """Restore what `random_state` returned. States of GPUs that no longer exist are skipped.

    Raises `ValueError` or `RuntimeError` if the states are damaged.
    """
    if not states:
        return
    import torch

    cpu, *gpus = (torch.frombuffer(bytearray.fromhex(state), dtype=torch.uint8) for state in states)
    torch.set_rng_state(cpu)
    for number, state in enumerate(gpus[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, number)


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise EpochbankError(
            f"Keras cannot be started ({error}); training needs it and one of its backends. {_fix()}"
        ) from error


def _fix() -> str:
    """Return how to get the backend that `KERAS_BACKEND` names, or another one that is installed."""
    wanted = os.environ.get("KERAS_BACKEND") or "tensorflow"
    fix = f"Install both: pip install 'epochbank[{_EXTRAS.get(wanted, 'train')}]'"
    if wanted == "tensorflow":
        fix += ", or 'epochbank[train-cuda]' for an NVIDIA GPU"
    installed = [name for name in _EXTRAS if name != wanted and find_spec(name) is not None]
    if installed:
        fix += f"; or use {' or '.join(installed)}, which is installed: set KERAS_BACKEND={installed[0]}"
    return f"{fix}."


@contextmanager
def hidden(number: int) -> Iterator[None]:
    """Hide what Python and C++ write to descriptor 1 or 2; write it after all if there is an exception."""
    (sys.stdout if number == 1 else sys.stderr).flush()
    with tempfile.TemporaryFile() as file:
        before = os.dup(number)
        os.dup2(file.fileno(), number)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(before, file.read())
            raise
        finally:
            os.dup2(before, number)
            os.close(before)
