"""Import this first: the script and its subprocesses then use this checkout, even if another one is installed."""

import os
import sys
from pathlib import Path

_SOURCE = str(Path(__file__).resolve().parents[1] / "src")

sys.path.insert(0, _SOURCE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_SOURCE, os.environ.get("PYTHONPATH")]))
