"""Puts the small networks of `tests/supernet` on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "supernet"))
