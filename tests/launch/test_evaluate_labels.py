"""Several labels and several heads, from manifest to report, on generated videos through real decoders."""

import json

import numpy as np
import pytest
from program import SEARCH, TARGET, call, call_json

from launch.cli import main
from retrain.model_file import read_card
from video.label_space import LabelSpace
from video.manifest import Manifest, VideoItem, load_manifest, write_manifest

TRAINING = ["--recipe.epochs=2", "--recipe.batch_size=8", "--recipe.test_frames=6", "--threads=1", "--workers=0"]


def relabelled(motion_manifest, folder, space, labels_of):
    """The same videos, whose class names are one motion each, with other labels."""
    plain = load_manifest(motion_manifest)
    items = tuple(
        VideoItem(id=item.id, path=item.path, split=item.split, labels=labels_of(plain.class_names[item.labels[0]]))
        for item in plain.items
    )
    path = folder / "manifest.jsonl"
    write_manifest(
        Manifest(class_names=space.class_names, items=items, heads=space.heads, multi_label=space.multi_label), path
    )
    return path


def trained(spec, manifest, folder, *options):
    assert main(["retrain", str(spec), f"--data={manifest}", f"--out={folder / 'run'}", *TRAINING, *options]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def several_labels(tmp_path_factory, motion_manifest, search_run):
    """A manifest whose videos move, or spin, or both, or neither; a network of the variant that pools logits."""
    folder = tmp_path_factory.mktemp("multi")
    space = LabelSpace(class_names=("moves", "turns", "left"), multi_label=True)
    named = {"moves": ("left", "right", "up", "down"), "turns": ("rotate", "cw", "ccw"), "left": ("left",)}

    def labels_of(name):
        return tuple(k for k, known in enumerate(space.class_names) if any(part in name for part in named[known]))

    path = relabelled(motion_manifest, folder, space, labels_of)
    (folder / "softmax.json").write_text(json.dumps({"temporal_pooling": "softmax"}))
    spec = next((search_run / "specs").iterdir())
    return path, trained(spec, path, folder, f"--variant={folder / 'softmax.json'}")


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory, motion_manifest, search_run):
    """A manifest with a verb, the motion's first word, and a noun, its last letter; a network."""
    folder = tmp_path_factory.mktemp("heads")
    names = load_manifest(motion_manifest).class_names
    words, letters = sorted({name.split("_")[0] for name in names}), sorted({name[-1] for name in names})
    space = LabelSpace.of_heads({"verb": words, "noun": letters})

    def labels_of(name):
        return space.numbers_of({"verb": words.index(name.split("_")[0]), "noun": letters.index(name[-1])})

    path = relabelled(motion_manifest, folder, space, labels_of)
    return path, trained(next((search_run / "specs").iterdir()), path, folder)


def chances_of(capsys, run, manifest):
    """Probabilities of every test video, by `predict`; class numbers are those of the manifest."""
    items, names = load_manifest(manifest).of("test"), load_manifest(manifest).class_names
    documents = call_json(capsys, "predict", run, *(item.path for item in items), "--top", 20, "--threads", 1)
    tables = [{entry["class"]: entry["probability"] for entry in document["classes"]} for document in documents]
    return np.array([[table[name] for name in names] for table in tables]), items


def by_hand(scores_N, truth_N):
    """Average precision as the mean, over true videos, of the share of true ones scored at least as high."""
    return np.mean([truth_N[scores_N >= score].mean() for score in scores_N[truth_N]])


def test_several_labels(capsys, several_labels):
    manifest, run = several_labels
    card = read_card(run / "model")
    assert (card.multi_label, card.heads, card.variant.temporal_pooling) == (True, (), "softmax")
    report = call_json(capsys, "evaluate", run, "--data", manifest, "--threads", 1)
    chances_NK, items = chances_of(capsys, run, manifest)
    assert ((chances_NK > 0) & (chances_NK < 1)).all()
    assert not np.allclose(chances_NK.sum(axis=1), 1.0)  # sigmoids, each by itself
    truth_NK = np.array([[k in item.labels for k in range(3)] for item in items])
    assert truth_NK.sum() > 3
    wanted = {
        name: by_hand(chances_NK[:, k], truth_NK[:, k])
        for k, name in enumerate(card.class_names)
        if truth_NK[:, k].any()
    }
    assert report["per_class"] == pytest.approx(wanted)
    assert report["mean_average_precision"] == pytest.approx(np.mean(list(wanted.values())))
    assert (report["num_videos"], report["num_failed"], report["confusion"]) == (len(items), 0, [])
    first_N = truth_NK[range(len(items)), chances_NK.argmax(axis=1)]
    assert report["top1"] == pytest.approx(first_N.mean())
    assert "average precision" in (run / "report.html").read_text()
    code, out, _ = call(capsys, "evaluate", run, "--data", manifest, "--by", "frame", "--threads", 1)
    assert code == 0
    assert "mAP" in out
    points = json.loads((run / "test.json").read_text())["points"]
    assert all(0 < point["mean_average_precision"] <= 1 for point in points)
    assert len(points) == 6
    assert "val mAP" in call(capsys, "inspect", run)[1]


def test_two_heads(capsys, two_heads):
    manifest, run = two_heads
    space = load_manifest(manifest).label_space
    assert read_card(run / "model").label_space == space
    report = call_json(capsys, "evaluate", run, "--data", manifest, "--views", "2x1", "--threads", 1)
    report = call_json(capsys, "evaluate", run, "--data", manifest, "--threads", 1)
    chances_NK, items = chances_of(capsys, run, manifest)
    right = {}
    for head, part in space.parts.items():
        np.testing.assert_allclose(chances_NK[:, part].sum(axis=1), 1.0)
        label_N = np.array([next(k for k in item.labels if part.start <= k < part.stop) - part.start for item in items])
        right[head] = chances_NK[:, part].argmax(axis=1) == label_N
        assert report["heads"][head]["top1"] == pytest.approx(right[head].mean())
        assert sum(map(sum, report["heads"][head]["confusion"])) == len(items)
        assert report["heads"][head]["class_names"] == list(space.names_of(head))
    assert report["top1"] == pytest.approx((right["verb"] & right["noun"]).mean())
    assert report["top5"] >= report["top1"]
    assert set(report["per_class"]) <= set(space.class_names)
    code, out, _ = call(capsys, "evaluate", run, "--data", manifest, "--threads", 1)
    assert code == 0
    assert [word in out for word in ("action", "verb", "noun")] == [True] * 3
    assert "Test: noun" in (run / "report.html").read_text()


def test_classes_must_be_those_of_the_network(capsys, several_labels, two_heads, retrain_run):
    for run, manifest in ((several_labels[1], two_heads[0]), (retrain_run, several_labels[0])):
        code, _, err = call(capsys, "evaluate", run, "--data", manifest)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "a manifest must have the classes of the network" in err


@pytest.mark.parametrize("verb", ["search", "scaling"])
def test_a_search_needs_one_label_each(capsys, several_labels, two_heads, tmp_path, verb):
    for (manifest, _), kind in ((several_labels, "labels"), (two_heads, "heads")):
        words = ["search", "--space=nano", f"--target={TARGET}", *SEARCH] if verb == "search" else ["sweep", "scaling"]
        code, out, err = call(capsys, *words, f"--data={manifest}", f"--out={tmp_path / 'run'}")
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert f"{manifest}: a search must have videos with one label each, but these have several {kind}" in err
        assert not (tmp_path / "run").exists()


def test_a_balanced_loss_of_several_labels_is_refused_before_anything_is_there(
    capsys, several_labels, search_run, tmp_path
):
    path, _ = several_labels
    given = [next((search_run / "specs").iterdir()), f"--data={path}", f"--out={tmp_path / 'run'}"]
    for plan in ((), ("--plan",)):
        code, _, err = call(capsys, "retrain", *given, "--recipe.balance=loss", "--threads=1", *plan)
        assert (code, err.count("\n")) == (2, 1)
        assert "balance loss must go with one class per video, or per head" in err
    assert not (tmp_path / "run").exists()
