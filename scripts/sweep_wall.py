"""Wall time of a family of searches: one process, two bare processes, two workers of Ray; one stage per call.

    python scripts/sweep_wall.py STAGE data.jsonl OUT   # STAGE: one, two or ray

Each stage computes the same searches of `nano` from the same seeds, one thread each, and prints its seconds. `two`
starts two ordinary processes, each with half of the searches; both share cores, memory and caches as Ray's workers do,
so that what Ray adds is `ray / two`.
"""

import subprocess
import sys
import time
from pathlib import Path

TARGETS = ("macs=12M/clip", "macs=16M/clip", "macs=24M/clip")
SEEDS = (0, 1)
OPTIONS = [
    "--spaces=[nano]",
    "--proxy=frames=4,resolution=32",
    "--search.steps=500",
    "--search.checkpoint_every=250",
    "--search.selection.num_policy=6",
    "--search.selection.num_random=6",
    "--search.warmup.op_fraction=0.05",
    "--weights.batch_size=4",
    "--weights.reward_batch_size=8",
    "--threads=1",
    "--workers=0",
]
RAY = ("--executor=ray", "--parallel=2")


def family(data: Path, out: Path, seeds: tuple[int, ...], *extra: str) -> subprocess.Popen[bytes]:
    """A process with the searches of some seeds."""
    names = [f"--targets=[{','.join(TARGETS)}]", f"--seeds=[{','.join(map(str, seeds))}]"]
    command = [sys.executable, "-m", "launch", "sweep", "targets", *names, f"--data={data}", f"--out={out}"]
    return subprocess.Popen([*command, *OPTIONS, *extra], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Run one stage."""
    stage, data, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    begin = time.monotonic()
    if stage == "one":
        processes = [family(data, out / "one", SEEDS)]
    elif stage == "two":
        processes = [family(data, out / f"two-{seed}", (seed,)) for seed in SEEDS]
    else:
        processes = [family(data, out / "ray", SEEDS, *RAY)]
    if any(process.wait() for process in processes):
        raise SystemExit(f"stage {stage} failed")
    sys.stdout.write(f"{stage} {time.monotonic() - begin:.1f} s\n")


if __name__ == "__main__":
    main()
