import dataclasses

import numpy as np
import pytest
import torch
from made_clips import batch_of
from made_nets import HARD, TINY_SPEC, randomise

from retrain.ensemble import assemble, load_ensemble, mean_logits
from retrain.evaluate import ClipLogits, clip_logits, predict
from retrain.model_file import CARD, ModelCard, save_model
from search_spaces.ensemble import EnsembleMember, EnsembleSpec, temporal_ensemble
from search_spaces.ensemble_json import make_ensemble_file, write_ensemble
from search_spaces.errors import MovinasError, SpecError, WeightsError
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.label_space import LabelSpace

CPU = torch.device("cpu")
ENSEMBLE = temporal_ensemble(TINY_SPEC, HARD)
WIDE = dataclasses.replace(TINY_SPEC, stem_width=16)
MIXED = EnsembleSpec(
    members=(
        EnsembleMember(arch=TINY_SPEC, variant=HARD),
        EnsembleMember(arch=WIDE, variant=Variant(), offset_frames=0.25),
    )
)
NAMES = ("wave", "clap", "nod")
NUMBERED = {num: LabelSpace(class_names=NAMES[:num]) for num in (2, 3)}


def card_of(member, *, class_names=NAMES):
    clip = member.arch.clip
    return ModelCard(
        fingerprint=fingerprint(member.arch, member.variant),
        arch=member.arch,
        variant=member.variant,
        class_names=class_names,
        num_frames=clip.num_frames,
        rate_fps=clip.rate_fps,
        short_side=14,
        resolution=clip.resolution,
        epoch=0,
        val_top1=None,
    )


def save(member, folder, *, seed, class_names=NAMES):
    net = VideoNet(member.arch, member.variant, num_classes=len(class_names))
    randomise(net, seed=seed)
    save_model(net, card_of(member, class_names=class_names), folder)
    return net.eval()


@pytest.fixture
def folders(tmp_path):
    folders = [tmp_path / "runs" / "first" / "model", tmp_path / "runs" / "second" / "model"]
    for seed, (member, folder) in enumerate(zip(MIXED.members, folders, strict=True)):
        save(member, folder, seed=seed)
    return folders


def told(*clips):
    """What a network might say: (video, label, logits) per clip; no clips where all videos of a batch failed."""
    logits = [logits for _, _, logits in clips]
    return ClipLogits(
        indices=tuple(index for index, _, _ in clips),
        labels_B=np.array([label for _, label, _ in clips], dtype=np.int64),
        logits_BK=torch.tensor(logits, dtype=torch.float64) if clips else torch.zeros(0, 0, dtype=torch.float64),
    )


def test_the_mean_is_of_logits_and_not_of_probabilities():
    first, second = told((3, 1, (8.0, 0.0, 0.0))), told((3, 1, (0.0, 2.0, 0.0)))
    (both,) = mean_logits([[first], [second]])
    assert (both.indices, both.labels_B.tolist()) == ((3,), [1])
    assert both.logits_BK.tolist() == [[4.0, 1.0, 0.0]]
    predictions = predict([both], num_videos=4, space=NUMBERED[3], num_views=1)
    powers = np.exp([4.0, 1.0, 0.0])
    np.testing.assert_allclose(predictions.probabilities_NK[3], powers / powers.sum())
    assert predictions.failed_N.tolist() == [True, True, True, False]


def test_one_member_alone_is_left_as_it_is():
    batches = [told((0, 1, (0.1, 0.7)), (0, 1, (0.3, 0.2))), told((2, 0, (1e-9, 5.0)))]
    for found, wanted in zip(mean_logits([batches]), batches, strict=True):
        assert found.indices == wanted.indices
        assert torch.equal(found.logits_BK, wanted.logits_BK)


def test_views_are_averaged_after_members():
    """Each view: softmax of the mean logits; each video: the mean of its views."""
    first = told((0, 1, (2.0, 0.0)), (0, 1, (0.0, 4.0)))
    second = told((0, 1, (0.0, 0.0)), (0, 1, (0.0, 2.0)))
    found = predict(mean_logits([[first], [second]]), num_videos=1, space=NUMBERED[2], num_views=2)
    by_hand = (torch.tensor([1.0, 0.0]).double().softmax(0) + torch.tensor([0.0, 3.0]).double().softmax(0)) / 2
    np.testing.assert_allclose(found.probabilities_NK[0], by_hand)


def test_a_video_that_one_member_cannot_read_has_failed():
    """Two views of videos 0 to 3, of which members miss the first, the second, both or none."""
    one, two = (1.0, 0.0), (0.0, 1.0)
    first = [told((0, 0, two), (1, 0, one), (1, 0, two)), told((3, 1, one), (3, 1, two))]
    second = [told((0, 0, one), (1, 0, one), (1, 0, two)), told((2, 1, two), (3, 1, one), (3, 1, two))]
    found = predict(mean_logits([first, second]), num_videos=4, space=NUMBERED[2], num_views=2)
    assert found.failed_N.tolist() == [True, False, True, False]
    assert found.labels_N[[1, 3]].tolist() == [0, 1]
    np.testing.assert_allclose(found.probabilities_NK[1], found.probabilities_NK[3])


def test_a_batch_that_one_member_cannot_read_at_all_is_passed_over():
    first, second = [told(), told((1, 0, (1.0, 0.0)))], [told((0, 0, (1.0, 0.0))), told((1, 0, (3.0, 0.0)))]
    (both,) = mean_logits([first, second])
    assert both.indices == (1,)
    assert both.logits_BK.tolist() == [[2.0, 0.0]]


def test_members_of_other_lengths_are_our_mistake():
    with pytest.raises(ValueError, match="zip"):
        list(mean_logits([[told()], []]))


def test_an_ensemble_says_the_mean_of_what_its_networks_say(folders):
    """Two networks of two shapes and clips; by hand from two forward passes."""
    ensemble = assemble(MIXED, folders)
    batches = [batch_of(0, size=4), batch_of(0, size=4, num_frames=8)]
    wanted_BK = torch.zeros(4, 3, dtype=torch.float64)
    for seed, (member, batch) in enumerate(zip(MIXED.members, batches, strict=True)):
        net = VideoNet(member.arch, member.variant, num_classes=3)
        randomise(net, seed=seed)
        with torch.no_grad():
            wanted_BK += net.eval()(network_input(batch, CPU)[0]).double() / 2
    logits = [
        clip_logits(member.net, [batch], device=CPU) for member, batch in zip(ensemble.members, batches, strict=True)
    ]
    (found,) = mean_logits(logits)
    torch.testing.assert_close(found.logits_BK, wanted_BK, rtol=1e-6, atol=1e-6)
    assert [member.offset_frames for member in ensemble.members] == [0.0, 0.25]
    assert ensemble.class_names == NAMES
    assert not any(member.net.training for member in ensemble.members)


def test_a_file_names_its_models_from_where_it_lies(tmp_path, folders):
    models = ["../runs/first/model", str(folders[1])]
    path = write_ensemble(make_ensemble_file(MIXED, models=models), tmp_path / "ensembles")
    ensemble = load_ensemble(path)
    assert [member.card.arch for member in ensemble.members] == [TINY_SPEC, WIDE]


def test_a_file_without_models_says_what_to_do(tmp_path):
    path = write_ensemble(make_ensemble_file(ENSEMBLE), tmp_path)
    with pytest.raises(SpecError, match=r"models: must name the folder of each member's .*: movinas ensemble .*RUN"):
        load_ensemble(path)


def refused(error, folders, message, *, ensemble=MIXED):
    with pytest.raises(error, match=message) as caught:
        assemble(ensemble, folders)
    assert isinstance(caught.value, MovinasError)
    assert "\n" not in str(caught.value)


def test_models_that_are_not_those_of_the_ensemble_are_refused(tmp_path, folders):
    first, second = folders
    refused(SpecError, [first], "^must be one model per member, 2, but got 1$")
    refused(SpecError, [second, first], r"second/model: must be of members\[0\], [0-9a-f]{64}, but got [0-9a-f]{64}$")
    refused(SpecError, [first, tmp_path], r"model\.json: must be a readable file, but got No such file")
    refused(WeightsError, [first, second / CARD], r"model\.json: must be a readable file of safetensors, but got ")
    (second / "model.safetensors").write_bytes(b"")
    refused(WeightsError, folders, r"second/model/model\.safetensors: weights must be safetensors")


@pytest.mark.parametrize("names", [("wave", "clap"), ("clap", "wave", "nod")])
def test_members_know_the_same_classes(folders, names):
    save(MIXED.members[1], folders[1], seed=1, class_names=names)
    refused(SpecError, folders, r"^members\[1\]: must have the classes of the first member, \('wave', .* but got \(")
