"""What is promised in numbers: 700 damages of a checkpoint, a journal cut at every byte, a disk that is truly full."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import made_runs
import pytest

from results.checkpoint import MANIFEST, load_newest, save_checkpoint
from results.journal import Journal, encode, read_journal

ROOT = Path(__file__).parents[2]
NUM_CUTS, NUM_FLIPS = 200, 500


def test_two_hundred_cuts_and_five_hundred_flips_of_the_newest_checkpoint_are_seen(tmp_path):
    """At positions drawn from all bytes of all files; the last of the manifest, an end of line, may be missing."""
    draws = random.Random(0)
    root = tmp_path / "checkpoints"
    for number in (1, 2):
        blobs = {name: draws.randbytes(size) for name, size in (("supernet", 60_000), ("optimizer", 30_000))}
        save_checkpoint(root, number, {**blobs, "controller.json": b'{"step": 1}' * 300}, num_records=number)
    newest = root / "step_00000002"
    places = [(path, byte) for path in sorted(newest.iterdir()) for byte in range(path.stat().st_size)]
    places.remove((newest / MANIFEST, (newest / MANIFEST).stat().st_size - 1))
    damages = [(place, False) for place in draws.sample(places, NUM_CUTS)]
    damages += [(place, True) for place in draws.sample(places, NUM_FLIPS)]
    num_detected = 0
    for (path, byte), flip in damages:
        data = path.read_bytes()
        path.write_bytes(data[:byte] + (bytes([data[byte] ^ 1 << draws.randrange(8)]) + data[byte + 1 :]) * flip)
        num_detected += load_newest(root).number == 1
        (root / "bad-step_00000002").rename(newest)
        path.write_bytes(data)
    assert num_detected == NUM_CUTS + NUM_FLIPS
    assert load_newest(root).number == 2


def test_a_journal_cut_after_every_byte_of_its_last_three_records_goes_on(tmp_path):
    path = tmp_path / "journal.jsonl"
    records = made_runs.search_records(steps=4, every=2)
    more = made_runs.epochs(10)
    added = b"".join(map(encode, more))
    with Journal.open(path) as journal:
        for record in records:
            journal.append(record, sync=False)
    data = path.read_bytes()
    ends = [0, *(index + 1 for index, byte in enumerate(data) if byte == 0x0A)]
    for cut in range(ends[-4], len(data) + 1):
        path.write_bytes(data[:cut])
        complete = sum(end <= cut for end in ends) - 1
        with Journal.open(path) as journal:
            for record in more:
                journal.append(record, sync=False)
        assert path.read_bytes() == data[: ends[complete]] + added
    assert read_journal(path) == [*records, *more]


FULL = """
import pathlib, subprocess, sys
from results.checkpoint import load_newest, save_checkpoint
from results.journal import Journal, read_journal
from results.run_dir import create_run, lock
from results.records import EpochRecord
from search_spaces.errors import MovinasError

disk = pathlib.Path(sys.argv[1])
mount = lambda options: subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
mount("size=1m")
run = create_run(disk / "run", kind="search", files={})
record = EpochRecord(epoch=0, step=1, train_loss=1.0, train_top1=0.5, val_top1=None, metric="top-1")

def said(operation):
    try:
        operation()
    except MovinasError as error:
        print(error)

def append():
    with Journal.open(run.journal_path) as journal:
        while True:
            journal.append(record)

def take():
    with lock(run):
        pass

take()
save_checkpoint(run.checkpoints_path, 1, {"weights": b"1" * 300_000}, num_records=0)
said(lambda: save_checkpoint(run.checkpoints_path, 2, {"weights": b"2" * 900_000}, num_records=0))
print(sorted(path.name for path in run.checkpoints_path.iterdir()), load_newest(run.checkpoints_path).number)
said(append)
print(len(set(read_journal(run.journal_path))))
said(lambda: create_run(disk / "new", kind="search", files={"space.json": "x" * 100_000}))
print(sorted(path.name for path in disk.iterdir()))
mount("remount,size=4m")
save_checkpoint(run.checkpoints_path, 2, {"weights": b"2" * 900_000}, num_records=0)
print(load_newest(run.checkpoints_path).number)
mount("remount,ro")
said(lambda: save_checkpoint(run.checkpoints_path, 3, {"weights": b"3"}, num_records=0))
said(append)
said(take)
said(lambda: create_run(disk / "new", kind="search", files={}))
print(load_newest(run.checkpoints_path).number)
"""


def test_on_a_disk_that_is_full_or_read_only_the_old_state_loads_and_messages_name_the_file(tmp_path):
    """On a file system of our own, as a user of a namespace of our own may mount it."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    done = subprocess.run(
        [*command, sys.executable, "-c", FULL, str(tmp_path)], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    full, read_only = "No space left on device", "Read-only file system"
    checkpoints = tmp_path / "run" / "checkpoints"
    assert done.stdout.splitlines() == [
        f"{checkpoints}/step_00000002/weights: must be writable, but got {full}",
        "['step_00000001'] 1",
        f"{tmp_path}/run/journal.jsonl: a journal must be a writable file, but got {full}",
        "1",
        f"{tmp_path}/new: must be a folder that can be made, but got {full} at {tmp_path}/new/space.json",
        "['run']",
        "2",
        f"{checkpoints}/step_00000003: must be writable, but got {read_only}",
        f"{tmp_path}/run/journal.jsonl: a journal must be a writable file, but got {read_only}",
        f"{tmp_path}/run: must be writable, but got {read_only}",
        f"{tmp_path}/new: must be a folder that can be made, but got {read_only} at {tmp_path}/new",
        "2",
    ]
