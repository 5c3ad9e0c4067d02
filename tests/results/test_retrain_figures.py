import json
from dataclasses import replace

import made_runs
import pytest

from results import records
from results.retrain_figures import confusion, epoch_curves, trajectories


def report(names, counts):
    return records.TestReport(
        top1=0.5,
        top5=1.0,
        num_videos=sum(map(sum, counts)),
        num_failed=0,
        views="1x1",
        class_names=tuple(names),
        per_class=dict.fromkeys(names, 0.5),
        confusion=tuple(map(tuple, counts)),
    )


def test_epochs_that_were_not_evaluated_have_no_point():
    loss, train, validation = epoch_curves(made_runs.epochs(5)).data
    assert loss["x"] == train["x"] == [1, 2, 3, 4, 5]
    assert loss["y"] == pytest.approx([2.0, 1.0, 2 / 3, 0.5, 0.4], rel=1e-5)
    assert (validation["x"], validation["y"]) == ([2, 4], [0.6, 0.7])


def test_the_axis_says_which_metric_it_is():
    assert epoch_curves(made_runs.epochs(2)).layout["yaxis2"]["title"]["text"] == "top-1"
    labelled = [replace(epoch, metric="mAP") for epoch in made_runs.epochs(2)]
    figure = epoch_curves(labelled)
    assert figure.layout["yaxis2"]["title"]["text"] == "training top-1, mAP"
    assert figure.data[2]["name"] == "validation mAP"
    assert list(figure.columns)[-1] == "validation mAP"


def test_confusion_is_by_share_of_the_true_class():
    figure = confusion(report(["a", "<b>"], [[3, 1], [0, 0]]))
    (heat,) = json.loads(json.dumps(figure.data))
    assert heat["z"] == [[0.75, 0.25], [0.0, 0.0]]
    assert heat["customdata"] == [[3, 1], [0, 0]]
    assert figure.layout["xaxis"]["ticktext"] == ["a", "&lt;b&gt;"]


def test_many_classes_are_shown_without_counts():
    names = [str(number) for number in range(101)]
    (heat,) = confusion(report(names, [[1] * 101] * 101)).data
    assert "customdata" not in heat


def embeddings(labels, *, num_frames=3):
    points = tuple((float(frame), -0.5 * frame) for frame in range(num_frames))
    return records.EmbeddingReport(
        layer="embedding",
        window=3,
        num_windows=len(labels),
        acceleration_ratio=0.6,
        order_nll=0.2,
        order_accuracy=0.9,
        scaled_order_nll=0.3,
        velocity=1.1,
        explained=0.8,
        trajectories=tuple(records.Trajectory(label=label, points=points) for label in labels),
    )


def test_trajectories_are_lines_by_class_from_a_hollow_first_frame():
    figure = trajectories(embeddings([1, 0, 1]), ["yaw", "<roll>"])
    first, second, third = json.loads(json.dumps(figure.data))
    assert [line["name"] for line in (first, second, third)] == ["yaw", "&lt;roll&gt;", "&lt;roll&gt;"]
    assert [line["showlegend"] for line in (first, second, third)] == [True, True, False]
    assert first["x"] == [0.0, 1.0, 2.0]
    assert first["y"] == pytest.approx([0.0, -0.5, -1.0])
    assert first["marker"]["symbol"] == ["circle-open", "circle", "circle"]
    assert second["marker"]["symbol"][0] == "square-open"
    assert first["line"]["color"] != second["line"]["color"]
