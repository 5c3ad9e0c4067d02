"""Puts the shared fakes and contracts of `tests/contracts` on the path, and keeps torch to one thread."""

import sys
from pathlib import Path

import pytest
import torch

from supernet import native

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
pytest.register_assert_rewrite("evaluator_contract")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["native", "torch"])
def way(request, monkeypatch):
    """Our kernels, or torch's operators alone."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("no compiler here")
    return request.param
