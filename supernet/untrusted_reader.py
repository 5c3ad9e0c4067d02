"""The process that `supernet.untrusted` starts: reads one file that may be hostile, under limits, and ends.

A script of its own, run by path, so that nothing but torch and safetensors is imported. Its arguments are the file to
read, the safetensors file to write, and in bytes the largest file it may write and the memory it may take beside what
the libraries have taken. It prints what was wrong and ends with 1 where the file is not a dictionary of tensors alone.
"""

import re
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

MAX_CPU_S = 60
UNSAFE_ADVICE = re.compile("weights.only", re.IGNORECASE)
"""In the lines by which torch tells how a refused file could be read after all."""


def main(source: str, destination: str, max_file_bytes: int, max_memory_bytes: int) -> int:
    """Read, check, write; the exit code."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, MAX_CPU_S)
    _limit(resource.RLIMIT_FSIZE, max_file_bytes)
    import torch  # noqa: PLC0415 -- after the limits, before that of memory
    from safetensors.torch import save_file  # noqa: PLC0415

    torch.set_num_threads(1)
    _limit(resource.RLIMIT_AS, _mapped_bytes() + max_memory_bytes)
    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise ValueError(f"a {type(found).__name__}, not a dictionary by name")
        for name, value in found.items():
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{name!r} is a {type(value).__name__}, not a tensor")
        save_file({name: value.detach().contiguous() for name, value in found.items()}, destination)
    except Exception as error:  # whatever it is, the file is at fault, and the parent says so
        lines = (line.strip() for line in str(error).splitlines())
        reason = next((line for line in lines if line and not UNSAFE_ADVICE.search(line)), "")
        sys.stdout.write(f"{type(error).__name__}: {reason.removeprefix('WeightsUnpickler error: ')}")
        return 1
    return 0


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _mapped_bytes() -> int:
    """Address space in use; where the system does not tell, as much as a process may have."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 1 << 46
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
