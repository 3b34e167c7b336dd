"""The machine that a measurement was made on: processor, cores, memory, Python, and versions of the libraries."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "epochbank",
    "numpy",
    "h5py",
    "hdf5plugin",
    "keras",
    "tensorflow",
    "torch",
    "ffcv",
    "litdata",
    "mosaicml-streaming",
    "webdataset",
    "grain",
    "array-record",
)


def machine() -> dict[str, Any]:
    """Return the machine and the libraries as JSON values; libraries that are not installed are omitted."""
    facts = dict(_split_line(line) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {
        "cpu": facts.get("model name", platform.processor() or "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": versions,
    }


def _split_line(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
