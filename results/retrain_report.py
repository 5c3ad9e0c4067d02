"""The reports of a retraining and of an ensemble, from the run's folder alone, at any time of the run."""

from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from results import retrain_figures
from results.journal import iter_journal
from results.journal_reader import read_leniently
from results.page import Cell, Page, Section, percent, table_of, told_damage, write_page
from results.provenance import bad_video_sections, provenance_section
from results.records import EpochRecord, TestReport, TrainedRecord
from results.run_dir import RunDir, is_locked
from results.summary import RetrainSummary, summarise_retrain
from results.telemetry import read_telemetry
from results.timing_report import timing_sections
from search_spaces import strict_json
from search_spaces.errors import DocumentError

_MAX_TEST_BYTES = 1 << 26
_TESTS = TypeAdapter(tuple[TestReport], config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def write_retrain_report(run: RunDir) -> Path:
    """Write `report.html` of a retraining: curves, and the confusion of `test.json` where there is one.

    Raises:
        JournalError: The journal is missing; or it is damaged, and the report was made of the rest.
        DocumentError: `test.json` is malformed.
        RunFolderError: The report cannot be written.
    """
    summary = summarise_retrain(run, lenient=True)
    epochs = [record for record in read_leniently(run.journal_path)[0] if isinstance(record, EpochRecord)]
    test = _read_test(run.test_path)
    sections = []
    if epochs:
        note = "Training accuracy is on augmented clips; validation accuracy is of the averaged weights."
        sections.append(Section(heading="Loss and accuracy", note=note, figures=[retrain_figures.epoch_curves(epochs)]))
    if test is not None:
        sections += _test_sections(test)
        sections += _embedding_sections(test)
    sections += timing_sections(read_telemetry(run.telemetry_path))
    sections += bad_video_sections(summary.bad_videos)
    sections.append(provenance_section(run))
    title = f"Retraining {run.path.resolve().name}"
    facts = _retrain_facts(summary, test)
    page = Page(title=title, status=summary.status, facts=facts, sections=sections, warnings=summary.warnings)
    return told_damage(write_page(run.report_path, page), summary.damages)


def write_ensemble_report(run: RunDir) -> Path:
    """Write `report.html` of the training of an ensemble: its members, and its test where there is one.

    Raises:
        JournalError: The journal is missing or damaged.
        DocumentError: `test.json` is malformed.
        RunFolderError: The report cannot be written.
    """
    trained = [record for record in iter_journal(run.journal_path) if isinstance(record, TrainedRecord)]
    test = _read_test(run.test_path)
    rows: list[dict[str, Cell]] = [
        {
            "member": record.name,
            "spec": record.fingerprint[:12],
            "seed": record.seed,
            "offset": record.offset_frames,
            f"validation {record.metric}": percent(record.val_top1),
        }
        for record in trained
    ]
    sections = [Section(heading="Members", note="Each measured by itself.", table=table_of(rows))] if rows else []
    sections += [] if test is None else _test_sections(test)
    sections.append(provenance_section(run))
    facts = [("Members trained", f"{len(trained)}")] + ([] if test is None else _test_facts(test))
    title, status = f"Ensemble {run.path.resolve().name}", "running" if is_locked(run) else "at rest"
    return write_page(run.report_path, Page(title=title, status=status, facts=facts, sections=sections))


def _test_sections(test: TestReport) -> list[Section]:
    """Confusion, of each head or of all classes, or average precision per class; and accuracy along an axis."""
    over = f"Over {test.num_videos:,} videos, {test.num_failed:,} failed."
    sections = []
    note = f"Share of each true class that was given each predicted class. {over}"
    if test.confusion:
        sections.append(Section(heading="Test", note=note, figures=[retrain_figures.confusion(test)]))
    for number, (head, report) in enumerate(test.heads.items()):
        figure = retrain_figures.confusion(report, name=f"confusion{number}")
        heading = f"Test: {head}, top-1 {percent(report.top1)}, top-5 {percent(report.top5)}"
        sections.append(Section(heading=heading, note=note, figures=[figure]))
    if test.mean_average_precision is not None:
        rows: list[dict[str, Cell]] = [
            {"class": name, "average precision": value, "videos": test.per_class_videos.get(name)}
            for name, value in test.per_class.items()
        ]
        sections.append(Section(heading="Test: average precision", note=over, table=table_of(rows)))
    if test.points:
        note = f"{over} Each point names its own."
        figure = retrain_figures.accuracy_points(test)
        sections.append(Section(heading=f"Accuracy by {test.by}", note=note, figures=[figure]))
    return sections


def _embedding_sections(test: TestReport) -> list[Section]:
    found = test.embeddings
    if found is None:
        return []
    note = (
        f"Of {found.layer}, on the axes that show {percent(found.explained)} of its variance; each clip begins at the "
        f"hollow mark. Over {found.num_windows:,} windows of {found.window} frames: acceleration / velocity "
        f"{found.acceleration_ratio:.3f}; negative log-likelihood of the true order {found.order_nll:.3f} nats, and "
        f"{found.scaled_order_nll:.3f} at a mean velocity term of 1; it is the most likely one in "
        f"{percent(found.order_accuracy)} of them."
    )
    figure = retrain_figures.trajectories(found, test.class_names)
    return [Section(heading="How the embeddings of frames move", note=note, figures=[figure])]


def _retrain_facts(summary: RetrainSummary, test: TestReport | None) -> list[tuple[str, str]]:
    facts = [
        ("Epochs", f"{summary.epochs:,}"),
        ("Loss", "–" if summary.loss is None else f"{summary.loss:.4g}"),
        (f"Validation {summary.metric}", percent(summary.top1)),
        ("Best", "–" if summary.best_epoch is None else _best(summary.best_top1, summary.best_epoch)),
    ]
    return facts + ([] if test is None else _test_facts(test))


def _best(top1: float | None, epoch: int) -> str:
    return f"{percent(top1)} after {epoch + 1:,} epochs"


def _test_facts(test: TestReport) -> list[tuple[str, str]]:
    facts = []
    if test.mean_average_precision is not None:
        facts.append(("Test mAP", percent(test.mean_average_precision)))
    of = "action " if test.heads else ""
    facts.append((f"Test {of}top-1, top-5", f"{percent(test.top1)}, {percent(test.top5)}"))
    failed = f", {test.num_failed:,} unreadable" if test.num_failed else ""
    stepped = ", frame by frame" if test.stream else ""
    facts.append(("Test videos", f"{test.num_videos:,}{failed} ({test.views} views{stepped})"))
    return facts


def _read_test(path: Path) -> TestReport | None:
    if not path.exists():
        return None
    document = strict_json.load(path, max_bytes=_MAX_TEST_BYTES)
    try:
        (test,) = _TESTS.validate_json(strict_json.canonical([document]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise DocumentError(f"must be a test report, but got: {first['msg']}", path=path, where=where) from error
    return test
