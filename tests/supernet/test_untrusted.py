"""Files of unknown origin: what they hold is never run, and what they ask for is bounded."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch

from search_spaces.errors import WeightsError
from supernet import untrusted
from supernet.untrusted import read_state_dict


def write(path, value, **options):
    torch.save(value, path, **options)
    return path


class Runs:
    """A value whose pickle makes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before torch 1.6"])
def test_tensors_come_back_as_they_were(tmp_path, zipped):
    tensors = OrderedDict(
        a=torch.arange(6.0).view(2, 3).T,  # not contiguous
        b=torch.nn.Parameter(torch.tensor(1.5)),
        c=torch.tensor(3),
        d=torch.ones(2, dtype=torch.bfloat16),
    )
    found = read_state_dict(write(tmp_path / "weights", tensors, _use_new_zipfile_serialization=zipped))
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach())


def test_a_pickle_that_runs_something_is_refused_and_not_run(tmp_path):
    target = tmp_path / "made by the pickle"
    path = write(tmp_path / "weights", {"a": torch.zeros(1), "b": Runs(target)})
    with pytest.raises(WeightsError, match=r"weights: must be a dictionary .* load unsupported GLOBAL posix.mkdir"):
        read_state_dict(path)
    plain = tmp_path / "plain"
    plain.write_bytes(pickle.dumps(Runs(target)))
    with pytest.raises(WeightsError, match="must be a dictionary of tensors alone, but reading it gave 'Unpickling"):
        read_state_dict(plain)
    assert not target.exists()
    torch.load(path, weights_only=False)  # it would have worked
    assert target.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.zeros(1)], "a list, not a dictionary"),
        ({1: torch.zeros(1)}, "a dict, not a dictionary by name"),
        ({"state_dict": {"a": torch.zeros(1)}}, "'state_dict' is a dict, not a tensor"),
        ({"epoch": 3}, "'epoch' is a int, not a tensor"),
        ({"a": torch.eye(3).to_sparse()}, "RuntimeError: "),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_anything_but_a_dictionary_of_tensors_is_refused(tmp_path, value, message):
    with pytest.raises(WeightsError, match=message) as caught:
        read_state_dict(write(tmp_path / "weights", value))
    assert caught.value.path == tmp_path / "weights"
    assert "\n" not in str(caught.value)


def cut(blob):
    return blob[: len(blob) // 2]


@pytest.mark.parametrize(
    "damage",
    [cut, lambda blob: b"PK\x03\x04" + blob[50:], lambda blob: os.urandom(5000), lambda blob: b"\x80"],
    ids=["cut", "head", "noise", "one byte"],
)
def test_damaged_files_are_refused(tmp_path, damage):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    (tmp_path / "weights").write_bytes(damage(buffer.getvalue()))
    with pytest.raises(WeightsError, match="must be a dictionary of tensors alone, but reading it gave"):
        read_state_dict(tmp_path / "weights")


@pytest.mark.parametrize("gigabytes", [2, 1 << 20])
def test_a_small_file_of_large_tensors_takes_neither_memory_nor_disk(tmp_path, gigabytes):
    path = write(tmp_path / "weights", {"a": torch.zeros(1).expand(gigabytes << 28)})
    assert path.stat().st_size < 5000
    with pytest.raises(WeightsError, match="must be a dictionary of tensors alone, but reading it gave"):
        read_state_dict(path)


def test_a_small_file_of_many_copies_of_a_tensor_takes_no_disk(tmp_path):
    one = torch.zeros(1 << 14)
    path = write(tmp_path / "weights", {f"{number}": one.view(-1)[:-1] for number in range(1000)})
    with pytest.raises(WeightsError, match="must be a dictionary of tensors alone, but reading it gave"):
        read_state_dict(path)


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    write(tmp_path / "stored", {"a": torch.zeros(1 << 27)})
    with (
        zipfile.ZipFile(tmp_path / "stored") as stored,
        zipfile.ZipFile(tmp_path / "weights", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    assert (tmp_path / "weights").stat().st_size < 1 << 24
    with pytest.raises(WeightsError, match="must be a dictionary of tensors alone, but reading it gave"):
        read_state_dict(tmp_path / "weights")


def test_a_reader_that_takes_too_long_is_killed(tmp_path):
    path = write(tmp_path / "weights", {"a": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"weights: must be readable within 0.05 s, but is not"):
        read_state_dict(path, timeout_s=0.05)


def test_the_reader_limits_itself(tmp_path):
    path = write(tmp_path / "weights", {"a": torch.zeros(1)})
    program = (
        "import resource, sys; from supernet.untrusted_reader import main; "
        "assert main(sys.argv[1], sys.argv[2], 1 << 20, 1 << 28) == 0; "
        "kinds = (resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_AS); "
        "print(*(resource.getrlimit(kind)[1] for kind in kinds))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    core_bytes, cpu_s, file_bytes, memory_bytes = map(int, done.stdout.split())
    assert (core_bytes, cpu_s, file_bytes) == (0, 60, 1 << 20)
    assert 1 << 28 < memory_bytes < 1 << 45


def test_a_reader_that_crashes_is_told(tmp_path, monkeypatch):
    crashing = tmp_path / "reader.py"
    crashing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(untrusted, "READER", crashing)
    with pytest.raises(WeightsError, match=r"tensors alone, but reading it gave SIGSEGV"):
        read_state_dict(write(tmp_path / "weights", {"a": torch.zeros(1)}))


def test_a_reader_that_writes_nothing_is_told(tmp_path, monkeypatch):
    (tmp_path / "reader.py").write_text("")
    monkeypatch.setattr(untrusted, "READER", tmp_path / "reader.py")
    with pytest.raises(WeightsError, match="must be a dictionary of tensors, but nothing was read"):
        read_state_dict(write(tmp_path / "weights", {"a": torch.zeros(1)}))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no: must be a readable file, but got No such file"):
        read_state_dict(tmp_path / "no")
    with pytest.raises(WeightsError, match="must be a file, but got something else"):
        read_state_dict(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="must be a file, but got something else"):
        read_state_dict(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(WeightsError, match=r"must have 1 to \d+ bytes, but got 0"):
        read_state_dict(tmp_path / "empty")


def test_a_file_that_is_too_large_is_refused(tmp_path):
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(untrusted.MAX_FILE_BYTES + 1)
    with pytest.raises(WeightsError, match=r"must have 1 to \d+ bytes, but got \d+"):
        read_state_dict(tmp_path / "weights")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(untrusted.tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()
    read_state_dict(write(tmp_path / "weights", {"a": torch.zeros(1)}))
    with pytest.raises(WeightsError):
        read_state_dict(write(tmp_path / "other", [1]))
    assert not list((tmp_path / "tmp").iterdir())
