"""State dicts of unknown origin: read without running what they hold, by a process that can do little harm.

`torch.load(weights_only=True)` refuses every pickle that asks for more than tensors. It runs in a process of its own
with limits on memory, time and what it writes, so that a file made to exhaust or to crash the reader ends that process
and not this one; what comes back is safetensors.
"""

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import Tensor

from search_spaces.errors import WeightsError, shown
from supernet.tensors import from_bytes

READER = Path(__file__).with_name("untrusted_reader.py")
MAX_FILE_BYTES = 1 << 30
HEADER_BYTES = 1 << 20
"""Room for the names in what the reader writes."""
WORKING_BYTES = 256 << 20
"""Memory of the reader beside the tensors."""
MAX_COPIES = 4
"""Copies of the file that the reader may hold."""


def read_state_dict(path: Path, *, timeout_s: float = 120.0) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, by name.

    Args:
        path: A dictionary from names to tensors, and nothing else; at most 1 GiB.
        timeout_s: After which the reader is killed.

    Raises:
        WeightsError: The file cannot be read, holds something else, or asks for more than the reader may take.
    """
    num_bytes = _size(path)
    with tempfile.TemporaryDirectory(prefix="movinas-import-") as folder:
        destination = Path(folder) / "tensors.safetensors"
        _run(path, destination, num_bytes=num_bytes, timeout_s=timeout_s)
        try:
            return from_bytes(destination.read_bytes())
        except OSError as error:
            raise WeightsError("must be a dictionary of tensors, but nothing was read", path=path) from error


def _size(path: Path) -> int:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise WeightsError("must be a file, but got something else", path=path)
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"must be a readable file, but got {error.strerror}", path=path) from error
    if not 1 <= status.st_size <= MAX_FILE_BYTES:
        raise WeightsError(f"must have 1 to {MAX_FILE_BYTES} bytes, but got {status.st_size}", path=path)
    return status.st_size


def _run(path: Path, destination: Path, *, num_bytes: int, timeout_s: float) -> None:
    limits = (num_bytes + HEADER_BYTES, MAX_COPIES * num_bytes + WORKING_BYTES)
    said = destination.with_name("said.txt")
    command = [sys.executable, "-P", str(READER), str(path.absolute()), str(destination), *map(str, limits)]
    try:
        with said.open("wb") as stdout:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                cwd=destination.parent,
                timeout=timeout_s,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"must be readable within {timeout_s:g} s, but is not", path=path) from error
    if done.returncode == 0:
        return
    with said.open("rb") as file:
        reason = shown(file.read(1000).decode("utf-8", "replace")) if done.returncode > 0 else _signal(-done.returncode)
    raise WeightsError(f"must be a dictionary of tensors alone, but reading it gave {reason}", path=path)


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
