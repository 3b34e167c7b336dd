"""Freed memory stays in the process that makes shards, also where Dask sets `MALLOC_TRIM_THRESHOLD_`."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from epochbank.augment.shared.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(1 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(160):
    np.ones(1 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.timeout(60)
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_freed_arrays_are_used_again() -> None:
    """An array of 1 MB is in 256 pages: the second to the last array need no new page from the kernel."""
    faults = {}
    for word in ("keep", "default"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, word], check=True, capture_output=True, text=True, timeout=50,
            env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"},
        )  # fmt: skip
        faults[word] = int(done.stdout)
    assert faults["keep"] < 500
    assert faults["default"] > 10 * max(1, faults["keep"])
