"""What a retraining starts from: taken over whole, or named; and presets on the command line."""

import dataclasses
import json
import shutil

import pytest
import torch
from made_nets import TINY_SPEC, randomise
from program import call, call_json

from launch.retrain_init import describe, start
from results.run_dir import open_run
from retrain.model_file import ModelCard, file_of, is_model_file, load_model, save_model
from retrain.recipe import Recipe
from search_spaces.errors import RunFolderError, UsageError, WeightsError
from search_spaces.spec_json import fingerprint, make_spec_file, read_spec, write_spec
from search_spaces.variant import VARIANTS, Variant
from supernet.tensors import from_bytes, to_bytes
from supernet.video_net import VideoNet

CLASSES = ("red", "green", "blue")
NEW_HEAD = Recipe(new_head=True)
HEAD = {"head.classifier.weight", "head.classifier.bias"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of a trained network of three classes."""
    return save(tmp_path_factory.mktemp("trained") / "model", Variant())


def save(folder, variant):
    net = VideoNet(TINY_SPEC, variant, num_classes=3)
    randomise(net)
    card = ModelCard(
        fingerprint=fingerprint(TINY_SPEC, variant),
        arch=TINY_SPEC,
        variant=variant,
        class_names=CLASSES,
        num_frames=4,
        rate_fps=4.0,
        short_side=14,
        resolution=12,
        epoch=0,
        val_top1=None,
    )
    save_model(net, card, folder)
    return folder


def started(init, *, classes=CLASSES, variant=None, recipe=None, **options):
    spec_file = make_spec_file(TINY_SPEC, variant or Variant())
    return start(spec_file, str(init), class_names=classes, seed=1, recipe=recipe or Recipe(), **options)


def assert_loaded(found, tensors, names):
    own = found.net.state_dict()
    assert set(found.loaded) == set(names)
    assert all(torch.equal(own[name], tensors[name]) for name in names)


def test_from_scratch_nothing_is_loaded():
    found = started("scratch", recipe=Recipe(rezero_init=0.25, dropout=0.3))
    assert not any(found.names().values())
    assert float(found.net.blocks[0][0].rezero.detach()) == 0.25
    assert found.net.head.dropout == 0.3


def test_weights_of_a_folder_a_file_beside_its_card_and_a_file_alone(model, tmp_path):
    tensors = load_model(model)[0].state_dict()
    shutil.copy(model / "model.safetensors", tmp_path / "alone.safetensors")
    for source in (model, model / "model.safetensors", tmp_path / "alone.safetensors"):
        found = started(f"weights:{source}")
        assert_loaded(found, tensors, tensors)
        assert {kind for kind, names in found.names().items() if names} == {"loaded"}
        assert describe("weights:x", found) == f"start from weights:x: {len(tensors)} of {len(tensors)} tensors loaded"


def test_a_new_head_is_drawn_for_other_classes_and_the_rest_is_taken_over(model):
    tensors = load_model(model)[0].state_dict()
    for classes in (("a", "b"), CLASSES):
        found = started(f"weights:{model}", classes=classes, recipe=NEW_HEAD)
        assert_loaded(found, tensors, tensors.keys() - HEAD)
        assert set(found.renewed) == HEAD
        assert found.net.head.classifier.weight.shape == (len(classes), TINY_SPEC.dense_width)
        assert not torch.equal(found.net.head.classifier.weight[:2], tensors["head.classifier.weight"][:2])
        assert "drawn anew: head.classifier.weight, head.classifier.bias" in describe("x", found)


def test_other_classes_without_a_new_head_are_refused(model, tmp_path):
    for classes in (("a", "b"), ("red", "blue", "green")):
        with pytest.raises(
            WeightsError,
            match=f"must know the classes at hand, {len(classes)} from '{classes[0]}' on, but know 3 from 'red' on; "
            "--preset finetune",
        ):
            started(f"weights:{model}", classes=classes)
    shutil.copy(model / "model.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(WeightsError, match=r"head.classifier.weight must be \(2, 16\) but is \(3, 16\)"):
        started(f"weights:{tmp_path / 'alone.safetensors'}", classes=("a", "b"))


def test_a_deployed_file_says_its_classes_and_form_itself(tmp_path):
    folder = save(tmp_path / "model", VARIANTS["released-stream"])
    net, card = load_model(folder)
    path = tmp_path / "net.safetensors"
    path.write_bytes(file_of(net, card))
    assert is_model_file(path)
    assert not is_model_file(folder / "model.safetensors")
    assert not is_model_file(folder)
    in_one = dataclasses.replace(VARIANTS["released-stream"], conv="3d_2plus1d")
    found = started(f"weights:{path}", variant=VARIANTS["released-stream"])
    assert_loaded(found, net.state_dict(), net.state_dict())
    assert not started(f"weights:{path}", variant=in_one).missing  # converted, as its form is known
    with pytest.raises(WeightsError, match=r"net.safetensors: weights must know the classes at hand, 3 from 'one' on"):
        started(f"weights:{path}", classes=("one", "two", "three"), variant=VARIANTS["released-stream"])
    path.write_text("none")
    assert not is_model_file(path)


def damaged(model, path):
    tensors = from_bytes((model / "model.safetensors").read_bytes())
    del tensors["stem.weight"]
    tensors["stray.weight"] = torch.zeros(3)
    tensors["head.dense_bias"] = torch.zeros(2)
    path.write_bytes(to_bytes(tensors))
    return tensors


def test_what_does_not_fit_is_named_and_nothing_is_loaded(model, tmp_path):
    damaged(model, tmp_path / "odd.safetensors")
    with pytest.raises(
        WeightsError,
        match=r"odd.safetensors: weights must fit .* stem.weight is missing; stray.weight is unknown; "
        r"head.dense_bias must be \(16,\) but is \(2,\)",
    ) as caught:
        started(f"weights:{tmp_path / 'odd.safetensors'}")
    error = caught.value
    assert (error.missing, error.unexpected, error.misshaped) == (
        ("stem.weight",),
        ("stray.weight",),
        ("head.dense_bias",),
    )


def test_a_part_is_loaded_where_that_is_asked_for_and_the_rest_is_named(model, tmp_path):
    tensors = damaged(model, tmp_path / "odd.safetensors")
    found = started(f"weights:{tmp_path / 'odd.safetensors'}", partial=True)
    own, fresh = found.net.state_dict(), started("scratch").net.state_dict()
    assert_loaded(found, tensors, own.keys() - {"stem.weight", "head.dense_bias"})
    assert (found.missing, found.unexpected, found.misshaped) == (
        ("stem.weight",),
        ("stray.weight",),
        ("head.dense_bias",),
    )
    assert torch.equal(own["stem.weight"], fresh["stem.weight"])
    assert describe("weights:odd", found).endswith(
        "as drawn, for want of weights: stem.weight; as drawn, for weights of another shape: head.dense_bias; "
        "no place for: stray.weight"
    )
    (tmp_path / "none.safetensors").write_bytes(to_bytes({"stray": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="must have at least one tensor of the network, but have none"):
        started(f"weights:{tmp_path / 'none.safetensors'}", partial=True)


def test_a_clip_network_starts_a_stream_in_part_only(capsys, model):
    stream = VARIANTS["released-stream"]
    with pytest.raises(WeightsError, match=" and [0-9]+ more ") as caught:
        started(f"weights:{model}", variant=stream)
    assert any(name.startswith("blocks.0.0.depthwise") for name in caught.value.misshaped + caught.value.missing)
    told = capsys.readouterr().err
    assert "the weights are of another variant: conv 3d, here 3d_2plus1d; causal False, here True; " in told
    assert told.endswith("; --variant says which is trained, and --init_partial takes what fits\n")
    assert "head_activation" not in told
    found = started(f"weights:{model}", variant=stream, partial=True)
    assert {"stem.weight", "blocks.0.0.expand.weight", "head.dense_weight"} <= set(found.loaded)


def test_the_two_forms_of_separate_convolutions_share_their_weights(tmp_path):
    stream = VARIANTS["released-stream"]
    folder = save(tmp_path / "model", stream)
    found = started(f"weights:{folder}", variant=dataclasses.replace(stream, conv="2plus1d"))
    tensors = load_model(folder)[0].state_dict()
    assert set(found.loaded) == set(tensors)
    assert all(torch.equal(own.flatten(), tensors[name].flatten()) for name, own in found.net.state_dict().items())


@pytest.mark.parametrize(
    ("init", "recipe", "error", "message"),
    [
        ("elsewhere", Recipe(), UsageError, "init must be scratch, supernet:RUN, retrain:RUN or weights:FILE"),
        ("weights:", Recipe(), UsageError, "init must be scratch"),
        ("scratch:x", Recipe(), UsageError, "init must be scratch"),
        (
            "scratch",
            NEW_HEAD,
            UsageError,
            "a new classifier must be that of a trained network, .* but got init scratch",
        ),
        ("weights:/nowhere/w.safetensors", Recipe(), WeightsError, "must be a readable file, but got No such file"),
        ("retrain:/nowhere", Recipe(), RunFolderError, "nowhere"),
        ("supernet:/nowhere", Recipe(), RunFolderError, "nowhere"),
    ],
)
def test_what_init_must_be(init, recipe, error, message):
    with pytest.raises(error, match=message):
        started(init, recipe=recipe)


@pytest.fixture
def two_classes(motion_manifest, tmp_path):
    """A manifest of two of the eight motions, under other names."""
    header, *lines = motion_manifest.read_text().splitlines()
    document = json.loads(header)
    chosen = [json.loads(line) for line in lines]
    chosen = [item for item in chosen if item["labels"][0] in (0, 3)]
    for item in chosen:
        item["labels"] = [int(item["labels"][0] == 3)]
        item["path"] = str(motion_manifest.parent / item["path"])
    rows = [document | {"class_names": ["sideways", "down"]}, *chosen]
    (tmp_path / "two.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "two.jsonl"


def test_fine_tuning_of_a_retrained_network_on_other_classes(capsys, retrain_run, two_classes, tmp_path):
    spec = retrain_run / "spec.json"
    small = ["--recipe.epochs=1", "--recipe.test_frames=4", "--recipe.batch_size=4", "--threads=1", "--workers=0"]
    arguments = ["retrain", spec, "--data", two_classes, f"--init=retrain:{retrain_run}", *small]
    code, _, err = call(capsys, *arguments, f"--out={tmp_path / 'refused'}")
    assert code == 2
    assert "weights must know the classes at hand, 2 from 'sideways' on, but know 8 from" in err
    assert not (tmp_path / "refused").exists()
    code, _, err = call(capsys, *arguments, "--preset=finetune", f"--out={tmp_path / 'run'}")
    assert code == 0, err
    assert "preset finetune: recipe.learning_rate: 0.005 x sqrt(4 / 32) = 0.001768, of AdamW" in err
    assert "preset finetune: recipe.epochs: 1, as given, and not 60" in err
    assert "tensors loaded; drawn anew: head.classifier.weight, head.classifier.bias" in err
    run = open_run(tmp_path / "run", kind="retrain")
    events = [json.loads(line) for line in run.telemetry_path.read_text().splitlines()]
    (found,) = [event for event in events if event["kind"] == "init"]
    assert sorted(found["renewed"]) == sorted(HEAD)
    assert len(found["loaded"]) > 50
    assert load_model(run.model_path)[1].class_names == ("sideways", "down")
    assert "new_head: true" in run.config_path.read_text()
    assert "backbone_rate: 0.1" in run.config_path.read_text()


def test_a_preset_gives_way_to_what_is_given_and_tells_its_arithmetic(capsys, motion_manifest, tmp_path):
    spec = write_spec(make_spec_file(TINY_SPEC, Variant()), tmp_path)
    common = ["--recipe.epochs=1", "--recipe.calibration_batches=1", "--recipe.evaluations=1", "--threads=1"]
    arguments = ["retrain", spec, "--data", motion_manifest, "--workers=0", *common]
    given = ["--preset=paper", "--recipe.batch_size=16", "--recipe.ema_decay=0.5", "--recipe.augment.cutmix=1"]
    given += ["--recipe.max_weight_gradient_norm=2", '--recipe.augment.directed=["turn*"]']
    code, _, err = call(capsys, *arguments, *given, f"--out={tmp_path / 'run'}")
    assert code == 0, err
    assert "preset paper: recipe.learning_rate: 1.8 x 16 / 1024 = 0.02813, of TensorFlow's RMSProp" in err
    assert "preset paper: recipe.ema_decay: 0.5, as given, and not 0.99" in err
    assert "preset paper: warm-up: 5 epochs x 4 = 4 steps, then cosine" in err  # of the 4 there are
    run = open_run(tmp_path / "run", kind="retrain")
    config = run.config_path.read_text()
    for line in (
        "optimizer: rmsprop",
        "learning_rate: 0.028125",
        "ema_decay: 0.5",
        "flip: true",
        "cutmix: 1",
        "- turn*",
    ):
        assert line in config, line
    card = load_model(run.model_path)[1]
    assert (card.variant.activation, card.variant.head_activation) == ("hard_swish", "hard_swish")
    document = call_json(capsys, *arguments, *given, "--variant=base", f"--out={tmp_path / 'other'}")
    assert document["spec"] == fingerprint(TINY_SPEC, Variant())
    code, _, err = call(capsys, *arguments, "--preset=movie", f"--out={tmp_path / 'none'}")
    assert code == 2
    assert "preset must be one of paper, released, small, finetune, but got 'movie'" in err


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_classes_are_balanced_and_a_run_resumes_to_the_same_bytes(capsys, two_classes, tmp_path, balance):
    spec = write_spec(make_spec_file(TINY_SPEC, Variant()), tmp_path)
    recipe = [f"--recipe.balance={balance}", "--recipe.batch_size=4", "--recipe.checkpoint_every=2", "--threads=1"]
    augment = ["--recipe.augment.mixup=0.2", "--recipe.augment.crop_area=[0.2,1.0]", "--recipe.augment.flip=true"]
    arguments = ["retrain", spec, "--data", two_classes, "--preset=small", "--recipe.epochs=2", *recipe, *augment]
    for name in ("whole", "cut"):
        call_json(capsys, *arguments, "--workers=0", f"--out={tmp_path / name}")
    whole, cut = (open_run(tmp_path / name, kind="retrain") for name in ("whole", "cut"))
    shutil.rmtree(sorted(cut.checkpoints_path.iterdir())[-1])
    assert call(capsys, "resume", tmp_path / "cut")[0] == 0
    assert whole.journal_path.read_bytes() == cut.journal_path.read_bytes()
    for name in ("model.safetensors", "model.json"):
        assert (whole.model_path / name).read_bytes() == (cut.model_path / name).read_bytes()
    assert "crop_area:\n    - 0.2" in whole.config_path.read_text()


def test_shared_weights_of_a_search_start_a_network_for_other_classes(search_run):
    spec_file = read_spec(next((search_run / "specs").iterdir()))
    found = start(spec_file, f"supernet:{search_run}", class_names=("a", "b"), seed=1, recipe=NEW_HEAD)
    assert set(found.renewed) == HEAD
    assert set(found.loaded) == set(found.net.state_dict()) - HEAD
    with pytest.raises(WeightsError, match="must know the classes at hand, 2 from 'a' on, but know 8 from 'move_down'"):
        start(spec_file, f"supernet:{search_run}", class_names=("a", "b"), seed=1, recipe=Recipe())
