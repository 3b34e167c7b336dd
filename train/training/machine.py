"""The machine that trains a model, for its report: processor, cores, memory, GPUs, versions of the software."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ... import __version__
from ...augment.shared.workers import core_count


def describe_machine() -> dict[str, Any]:
    """Return what the machine is, as JSON values. Keras must be imported already."""
    import keras

    backend = keras.backend.backend()
    return {
        "processor": _processor(),
        "cores": core_count(),
        "memory_bytes": _memory(),
        "gpus": _gpus(backend),
        "system": platform.platform(),
        "python": platform.python_version(),
        "epochbank": __version__,
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": str(getattr(sys.modules.get(backend), "__version__", "")),
    }


def _processor() -> str:
    """Return the name of the processor, or its architecture if the system does not say more."""
    with suppress(OSError):  # Linux
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    """Return the bytes of memory; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _gpus(backend: str) -> list[str]:
    """Return the names of the GPUs that the backend uses."""
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        return [tf.config.experimental.get_device_details(one).get("device_name", one.name) for one in devices]
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if backend == "jax":
        import jax

        return [one.device_kind for one in jax.devices() if one.platform != "cpu"]
    return []
