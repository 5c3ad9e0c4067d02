"""What `movinas inspect` shows of a retraining: one screen, or the same as data."""

from rich.console import Group, RenderableType
from rich.text import Text

from launch import console, glyphs
from launch.look import Look, bad_video_lines, warning_lines
from results.run_dir import RunDir
from results.summary import RetrainSummary, summarise_retrain


def look_at_retraining(run: RunDir) -> Look:
    """What there is now.

    Raises:
        JournalError: There is no journal.
    """
    summary = summarise_retrain(run, lenient=True)
    return Look(
        document=summary.to_json(),
        screen=screen(run, summary),
        ended=summary.status != "running",
        damages=summary.damages,
    )


def _done(epoch: int | None) -> str:
    return "?" if epoch is None else f"{epoch + 1} epochs"


def screen(run: RunDir, summary: RetrainSummary) -> RenderableType:
    """The whole screen."""
    left = ""
    if summary.status == "running" and summary.seconds_left is not None:
        left = f", {console.duration(summary.seconds_left)} left"
    total = "?" if summary.epochs_total is None else summary.epochs_total
    parts: list[RenderableType] = [
        Text(f"{run.path}: retraining {summary.status}, epoch {summary.epochs} of {total}{left}", style="bold")
    ]
    if summary.epochs_total:
        parts.append(Text(glyphs.progress(summary.epochs / summary.epochs_total)))
    parts += warning_lines(summary.warnings)
    best = "" if summary.best_top1 is None else f"best {summary.best_top1:.3f} after {_done(summary.best_epoch)}"
    table = glyphs.table()
    for heading in ("", "last epoch", "beside it", "course"):
        table.add_column(heading, justify="right" if heading == "last epoch" else "left", overflow="fold")
    for label, name, value, beside in (
        ("loss", "loss", summary.loss, ""),
        ("train top-1", "train_top1", summary.train_top1, ""),
        (f"val {summary.metric}", "top1", summary.top1, best),
    ):
        course = glyphs.course([point[1] for point in summary.curves.get(name, [])])
        table.add_row(label, glyphs.number(value), beside, course)
    parts.append(table)
    if summary.time_shares:
        memory = "" if summary.memory_share is None else f"  memory {summary.memory_share:.0%}"
        shares = sorted(summary.time_shares.items(), key=lambda pair: -pair[1])
        parts.append(Text(f"time    {glyphs.strip(shares)}{memory}"))
    return Group(*parts, *bad_video_lines(summary.bad_videos))
