"""The courses of a run as a file of TensorBoard's events: a scalar per number of the journal, times of telemetry."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from results.files import replace_file
from results.history import SearchHistory, read_history
from results.journal import read_journal
from results.records import EpochRecord
from results.run_dir import RunDir
from results.telemetry import read_telemetry
from search_spaces.errors import RunFolderError

FILE_NAME = "events.out.tfevents.0.movinas"
"""TensorBoard looks for `tfevents` in a name; the same one again replaces what an earlier mirror wrote."""

Row = tuple[int, Mapping[str, float]]
"""A step, and its values by tag."""


def write_events(run: RunDir, folder: Path) -> Path:
    """Mirror a search or a retraining, finished or not, into `folder/NAME`, NAME being that of the run.

    Raises:
        JournalError: The journal is missing or damaged.
        RunFolderError: The run is of another kind, or the file cannot be written.
    """
    events = read_telemetry(run.telemetry_path)
    if run.kind == "search":
        rows = _search_rows(read_history(run.journal_path))
    elif run.kind == "retrain":
        records = read_journal(run.journal_path)
        rows = _epoch_rows([record for record in records if isinstance(record, EpochRecord)])
    else:
        raise RunFolderError(f"must be a search or a retraining, but got a {run.kind} run", path=run.path)
    path = folder / run.path.resolve().name / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _encoded(rows, events))
    except OSError as error:
        raise RunFolderError(f"must be a folder that can be written, but got {error.strerror}", path=folder) from error
    return path


def _search_rows(history: SearchHistory) -> Iterator[Row]:
    tags = {
        "reward/mean": "reward",
        "reward/baseline": "baseline",
        "quality/mean": "quality",
        "cost_over_target/sampled": "ratio",
        "cost_over_target/likeliest": "argmax_ratio",
        "train/loss": "train_loss",
        "policy/learning_rate": "learning_rate",
        "train/op_warmup": "op_warmup",
        "train/filter_warmup": "filter_warmup",
    }
    columns = {tag: history.columns[name] for tag, name in tags.items()}
    columns |= {f"entropy/{group}": values for group, values in history.entropy.items()}
    for index, step in enumerate(history.columns["step"]):
        values = {tag: float(column[index]) for tag, column in columns.items()}
        yield int(step), {tag: value for tag, value in values.items() if not np.isnan(value)}
    if history.result is not None and history.start is not None:
        result = history.result
        yield (
            history.start.steps,
            {
                "final/found_quality": result.found_quality,
                "final/found_cost_over_target": result.found_ratio,
                "final/random_quality_mean": result.random_quality_mean,
                "final/random_quality_best": result.random_quality_best,
            },
        )


def _epoch_rows(epochs: Sequence[EpochRecord]) -> Iterator[Row]:
    for epoch in epochs:
        values = {"train/loss": epoch.train_loss, "train/top1": epoch.train_top1, "epoch": float(epoch.epoch)}
        if epoch.val_top1 is not None:
            values[f"val/{epoch.metric}"] = epoch.val_top1
        yield epoch.step, values


def _encoded(rows: Iterator[Row], events: Sequence[Mapping[str, Any]]) -> bytes:
    timed = {event["step"]: event for event in events if event["kind"] == "phase_times" and "step" in event}
    first_s = min((float(event["t"]) for event in events), default=0.0)
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=first_s, file_version="brain.Event:2").SerializeToString())
    now_s = first_s
    for step, values in rows:
        event = timed.get(step)
        phases: Mapping[str, float] = {}
        if event is not None:
            now_s = float(event["t"])
            phases = {f"time/{name}_s": value for name, value in event["seconds"].items()}
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in {**values, **phases}.items()]
        )
        writer.write(Event(wall_time=now_s, step=step, summary=summary).SerializeToString())
    writer.flush()
    return buffer.getvalue()
