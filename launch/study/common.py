"""What all studies share: units whose results stay in files, and intervals.

A study is one command that may be stopped at any time and given again: it goes on with what its folder holds. Each
unit of its work leaves one JSON file, whole or not at all, under `results`; only then is dropped what the unit itself
would have needed to go on. What it was computed from (options, recipe, space, videos; not who computed it, nor where)
stands in the file as a digest, and a study does not go on with results of anything else. Older files without a digest
are taken as they are.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from launch import console, retrain, search
from launch.clips import ClipConfig
from launch.compute import Amp
from launch.executors import ExecutorOptions, check_executor, started
from launch.runs import options_of
from nas.executor import Failure, Unit
from results.files import remove_folder, replace_file
from results.run_dir import RunDir, lock, open_run
from search_spaces.errors import DocumentError, SweepError, UsageError
from search_spaces.strict_json import digest, load, pretty
from video.manifest import load_manifest

SHORT = {"ray_address": "--ray-address"}
Size = Literal["cpu", "gpu"]
Document = dict[str, Any]
Floats = NDArray[np.float64]


class Task(Protocol):
    """What a unit of a study is handed."""

    def origin(self) -> object:
        """Plain data that its result is determined by."""
        ...

    def leftovers(self) -> Iterable[Path]:
        """Folders that are there, and that nobody needs once the unit has its result."""
        ...


TaskT = TypeVar("TaskT", bound=Task)

CONFIDENCE = 0.95
SIZE_FILE = "size.json"
ORIGIN = "origin"
"""Field of a result file: digest of what it was computed from."""
ASIDE = frozenset(
    {
        *("out", "data", "space", "spec", "clips"),  # places: what lies there counts
        *("device", "threads", "workers", "ranks", "executor", "gpus", "ray_address", "max_failures"),
        *("resume", "plan", "json", "checkpoint_every", "keep_every"),
    }
)
"""Options of searches and trainings that change no number by themselves."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions(ExecutorOptions):
    """What every study is told.

    Attributes:
        out: Folder of the study, made or gone on with; kept as its whole path, for units may be computed elsewhere.
        size: cpu, in minutes on a few cores; or gpu, on larger clips and spaces.
        device: auto, cpu, cuda, ...
        amp: Autocast of the networks.
        json: Print one JSON document.
    """

    out: Path
    size: Size = "cpu"
    device: str = "auto"
    amp: Amp = "off"
    json: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", self.out.resolve())  # workers have working folders of their own

    @property
    def clips(self) -> ClipConfig:
        """Decoded frames stay in the study's folder, for the user's cache is for the user's videos."""
        return ClipConfig(cache_dir=self.out / "cache", cache_bytes=32 << 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval, over `num` values; where fewer than two are, both ends are NaN, of none all is."""

    mean: float
    low: float
    high: float
    num: int

    def __str__(self) -> str:
        if not self.num:
            return "none"
        between = "" if self.num == 1 else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.mean:.3f}{between} (n={self.num})"


def interval(values: Sequence[float] | Floats) -> Interval:
    """The mean of independent values, such as one per seed, with Student's interval.

    Resampling a handful of values can never leave their range, and so is too sure of itself.
    """
    values_N = np.asarray(values, dtype=np.float64)
    mean, half = float(values_N.mean()) if len(values_N) else float("nan"), float("nan")
    if len(values_N) > 1:
        error = float(values_N.std(ddof=1)) / len(values_N) ** 0.5
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values_N) - 1)) * error
    return Interval(mean=mean, low=mean - half, high=mean + half, num=len(values_N))


def percentile(value: float, among_N: Floats) -> float:
    """Share of `among_N` that is below `value`, those equal to it counting half, in [0, 1]."""
    return float(((among_N < value).sum() + (among_N == value).sum() / 2) / len(among_N))


def check(options: StudyOptions) -> None:
    """Refuse, before anything is made, options that do not go together or a folder of the other size.

    Raises:
        UsageError: They do not, or it is.
    """
    check_executor(options)
    path = options.out / SIZE_FILE
    size = load(path) if path.exists() else options.size
    if size != options.size:
        raise UsageError(f"a study must go on at the size it was begun with, {size}, but got {options.size}")
    kept(options, SIZE_FILE, options.size)


@contextlib.contextmanager
def writing(options: StudyOptions) -> Iterator[None]:
    """Hold the study's folder as the one process that writes; whoever only reads what is there needs no leave.

    Raises:
        RunFolderError: Another process holds it; the text names that process.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    with lock(RunDir(path=options.out, kind="study")):
        yield


def kept(options: StudyOptions, name: str, document: object) -> Path:
    """A file of the study's folder that stays what it is; written where it is missing.

    Raises:
        UsageError: It holds another document.
    """
    path = options.out / name
    if path.exists():
        _refuse_other(digest(load(path)), digest(document), path)
    else:
        with writing(options):
            replace_file(path, pretty(document).encode())
    return path


def check_counts(**counts: int) -> None:
    """Refuse numbers of seeds and the like below 1.

    Raises:
        UsageError: One is.
    """
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"{name} must be at least 1, but got {count}")


def results_of(
    options: StudyOptions, function: Callable[[TaskT], Document], units: Sequence[Unit[TaskT]], *, label: str
) -> dict[str, Document]:
    """The result of every unit by its name, in their order; those without a file are computed.

    Args:
        options: Folder, and who computes.
        function: As `nas.executor.Executor.run` wants it.
        units: With names that files may have.
        label: Of the line of progress.

    Raises:
        SweepError: A unit failed; those that did not have their files.
        UsageError: As `check`; or a file holds a result of something else.
        DocumentError: A file holds no result.
        RunFolderError: A result is missing, and another process writes to the folder.
    """
    check(options)
    folder = options.out / "results"
    files = {unit.name: folder / f"{unit.name}.json" for unit in units}
    origins = {unit.name: digest(unit.task.origin()) for unit in units}

    def results() -> dict[str, Document]:
        return {name: _result(path, origins[name]) for name, path in files.items() if path.exists()}

    if len(results()) < len(units) or any(tuple(unit.task.leftovers()) for unit in units):
        with writing(options):
            folder.mkdir(exist_ok=True)
            done = results()
            for unit in units:
                if unit.name in done:
                    _tidy(unit.task)  # a kill may have come between the two
            _compute(options, function, [unit for unit in units if unit.name not in done], files, origins, label=label)
    return results()


def _compute(
    options: StudyOptions,
    function: Callable[[TaskT], Document],
    missing: Sequence[Unit[TaskT]],
    files: Mapping[str, Path],
    origins: Mapping[str, str],
    *,
    label: str,
) -> None:
    """Compute units, whose results go to their files; the caller holds the study's folder."""
    num_done, tasks = len(files) - len(missing), {unit.name: unit.task for unit in missing}
    progress = console.Progress(label, total=len(files), done=num_done)
    failures: list[str] = []
    if not missing:
        return
    with started(options, folder=options.out) as executor:
        for number, outcome in enumerate(executor.run(function, missing), start=num_done + 1):
            if isinstance(outcome.outcome, Failure):
                failures.append(f"{outcome.name}: {outcome.outcome.error}")
                console.log(f"{outcome.name} failed: {outcome.outcome.error}\n{outcome.outcome.trace}")
            else:
                document = {ORIGIN: origins[outcome.name], **outcome.outcome}
                replace_file(files[outcome.name], pretty(document).encode())
                _tidy(tasks[outcome.name])
            progress.update(number, outcome.name)
    if failures:
        raise SweepError(
            f"every unit of a study must end, but {len(failures)} of {len(files)} failed, such as {failures[0]}; "
            "the same command tries them again"
        )


def _result(path: Path, origin: str) -> Document:
    document = load(path)
    if not isinstance(document, dict):
        raise DocumentError("must be a result of a study, one object", path=path)
    _refuse_other(document.pop(ORIGIN, origin), origin, path)
    return document


def _refuse_other(found: object, expected: object, path: Path) -> None:
    if found != expected:
        raise UsageError(
            "must come from the options, recipe, space and videos that the study is given now, but got one of others; "
            "give those, or choose another --out",
            path=path,
        )


def origin_of_run(options: search.Options | retrain.Options) -> object:
    """What the numbers of a search or training are determined by, as plain data."""
    space = load(Path(options.space)) if isinstance(options, search.Options) else None
    return [_facts(options), space, _videos(options.data, options.data.stat().st_mtime_ns)]


def refuse_other_run(options: search.Options | retrain.Options) -> None:
    """Refuse to go on with a run that was begun, but with other options, or on another space or other videos.

    Raises:
        UsageError: It was.
    """
    if not options.out.exists():
        return
    run = open_run(options.out)
    begun = replace(options_of(run, type(options)), data=run.manifest_path)
    if isinstance(begun, search.Options):
        begun = replace(begun, space=str(run.space_path))
    _refuse_other(digest(origin_of_run(begun)), digest(origin_of_run(options)), run.path)


def _facts(value: object) -> Any:  # noqa: ANN401
    """A dataclass as plain data without what changes no number."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _facts(getattr(value, each.name)) for each in fields(value) if each.name not in ASIDE}
    return value


@functools.lru_cache(maxsize=64)
def _videos(manifest: Path, changed_ns: int) -> str:
    """Digest of which videos there are, with which labels and in which splits, wherever they lie."""
    del changed_ns  # of the file, so that it is read once
    content = load_manifest(manifest)
    items = [(each.id, each.labels, each.split, each.start_s, each.end_s) for each in content.items]
    return digest([content.class_names, items])


def _tidy(task: Task) -> None:
    for folder in tuple(task.leftovers()):
        remove_folder(folder)


def checkpoints_of(member: Path) -> Iterable[Path]:
    """The checkpoints of a run folder, of which a result makes no use."""
    return (member / "checkpoints").glob("step_*")
