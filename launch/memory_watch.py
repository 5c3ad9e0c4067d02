"""How much of the memory a run has in use, told to its telemetry now and then."""

import os
import time
from pathlib import Path

import torch

from launch.compute import memory_bytes
from results.telemetry import Telemetry

EVERY_S = 30.0
_PROCESSES = Path("/proc")


class MemoryWatch:
    """Tells `memory` {device, used_bytes, limit_bytes}: of the CPU what this process and its children hold.

    Args:
        telemetry: Of the run.
        device: Where the network is; a GPU's memory is told beside the machine's.
    """

    def __init__(self, telemetry: Telemetry, device: torch.device) -> None:
        self._telemetry, self._device = telemetry, device
        self._next_s = 0.0

    def look(self) -> None:
        """Tell it, where it is time to: at once, then twice a minute."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        self._telemetry.append("memory", device="cpu", used_bytes=resident_bytes(), limit_bytes=memory_bytes("cpu"))
        if self._device.type == "cuda":
            used = torch.cuda.max_memory_reserved(self._device)
            limit = memory_bytes(str(self._device))
            self._telemetry.append("memory", device=str(self._device), used_bytes=used, limit_bytes=limit)


def resident_bytes() -> int:
    """Memory that this process and its descendants hold, what they share counted once for each."""
    parents, sizes = {}, {}
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            # the name, in parentheses, may hold anything; the state and the parent follow it
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)], sizes[int(folder.name)] = int(fields[1]), int(fields[21])
    own = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    return os.sysconf("SC_PAGE_SIZE") * sum(sizes.get(process, 0) for process in own)
