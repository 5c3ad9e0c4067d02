"""Puts the shared fakes and contracts of `tests/contracts` on the path."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
pytest.register_assert_rewrite("evaluator_contract")
