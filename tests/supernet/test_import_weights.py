"""Weights of the public port: the mapping held against the port's own names, shapes and logits, both ways."""

import dataclasses
import functools
import math

import pytest
import torch
from port_form import FACTS, FORMS, TINY_PORT_SPEC, digest, made_state, port_state, tiny_state, uniform

from search_spaces.errors import SpecError, WeightsError
from search_spaces.published import published
from search_spaces.variant import VARIANTS, Variant
from supernet.import_weights import PORT_BASE, PORT_STREAM, import_net, names_in_port, variant_of
from supernet.tensors import to_bytes
from supernet.video_net import VideoNet

A0 = published("A0")

LOGITS = {
    ("base", 45): (-11.33127, -18.132746, 23.931998, 21.292786, -10.77976, -19.674539, 24.432136, 22.906834),
    ("base", 64): (-18.704667, -19.31872, 27.498223, 23.812706, -19.0777, -19.961707, 27.244862, 24.038759),
    ("stream", 45): (-3.536418, -0.599443, -7.677051, 8.366653, -3.993688, -0.56514, -7.956267, 9.090294),
    ("stream", 64): (-5.811969, 0.549549, -10.444642, 10.506217, -5.673154, 0.711781, -10.430209, 10.727187),
}
"""Every 150th logit that the port's own A0 computes in fp64 from `made_state` and the clips below (commit c2d1edf)."""


@functools.cache
def port_shapes(name, form):
    net = VideoNet(published(name), FORMS[form], num_classes=600)
    return {name: tuple(tensor.shape) for name, tensor in port_state(net).items()}


def read(state, spec=A0, variant=None):
    return import_net(state, spec, variant or variant_of(state), source="there")


@pytest.mark.parametrize(("name", "form"), FACTS)
def test_names_and_shapes_are_those_of_the_port(name, form):
    shapes = port_shapes(name, form)
    assert (len(shapes), sum(map(math.prod, shapes.values())), digest(shapes)) == FACTS[name, form]


@pytest.mark.parametrize(("name", "form"), FACTS)
def test_the_mapping_goes_both_ways_bit_for_bit(name, form):
    state = made_state(port_shapes(name, form))
    net = read(state, published(name), FORMS[form])
    back = port_state(net)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype for name, tensor in state.items())
    again = read(back, published(name), FORMS[form])
    assert to_bytes(again.state_dict()) == to_bytes(net.state_dict())


@pytest.mark.parametrize(("name", "form"), FACTS)
def test_every_tensor_of_ours_has_one_of_theirs(name, form):
    net = VideoNet(published(name), FORMS[form], num_classes=600)
    names = names_in_port(published(name), FORMS[form])
    assert names.keys() == net.state_dict().keys()
    theirs = [name for name in port_shapes(name, form) if not name.endswith("num_batches_tracked")]
    assert sorted(names.values()) == sorted(theirs)


@pytest.mark.parametrize(("form", "size"), LOGITS)
def test_logits_are_those_of_the_port(form, size):
    net = read(made_state(port_shapes("A0", form)))
    clips_BCTHW = (uniform(2 * 3 * 7 * size * size, seed=99).view(2, 3, 7, size, size) + 1) / 2
    with torch.no_grad():
        logits_BK = net(clips_BCTHW)
    expected = torch.tensor(LOGITS[form, size])
    assert float((logits_BK[:, ::150].flatten() - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_stream_gives_the_logits_of_the_port_frame_by_frame():
    net = read(made_state(port_shapes("A0", "stream")))
    clips_BCTHW = (uniform(2 * 3 * 7 * 45 * 45, seed=99).view(2, 3, 7, 45, 45) + 1) / 2
    state = net.init_state(2, 45, 45)
    with torch.no_grad():
        for frames_BCHW in clips_BCTHW.unbind(2):
            logits_BK, state = net.step(frames_BCHW, state)
    expected = torch.tensor(LOGITS["stream", 45])
    assert float((logits_BK[:, ::150].flatten() - expected).abs().max() / expected.abs().max()) < 1e-5


def test_the_variant_is_told_by_the_names():
    assert variant_of(made_state(port_shapes("A0", "base"))) == VARIANTS["base"]
    assert variant_of(made_state(port_shapes("A0", "stream"))) == dataclasses.replace(
        VARIANTS["released-stream"], gate="legacy_hard_sigmoid"
    )


def test_a_stream_is_the_same_numbers_in_both_forms():
    state = made_state(port_shapes("A0", "stream"))
    flat, deep = read(state, variant=FORMS["stream"]), read(state)
    assert (flat.variant.conv, deep.variant.conv) == ("2plus1d", "3d_2plus1d")
    for name, tensor in flat.state_dict().items():
        assert torch.equal(tensor.flatten(), deep.state_dict()[name].flatten())


def test_the_network_is_ready_for_use():
    net = read(made_state(port_shapes("A0", "base")))
    assert not net.training
    assert net.num_classes == 600


@pytest.mark.parametrize(("form", "variant"), [("base", PORT_BASE), ("stream", PORT_STREAM)])
def test_other_specs_and_other_numbers_of_classes(form, variant):
    net = read(tiny_state(form), TINY_PORT_SPEC)
    assert (net.num_classes, net.variant) == (3, variant)


def test_weights_of_half_precision_become_fp32():
    state = tiny_state("base")
    halved = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    exact = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in halved.items()}
    assert to_bytes(read(halved, TINY_PORT_SPEC).state_dict()) == to_bytes(read(exact, TINY_PORT_SPEC).state_dict())


def test_counters_may_be_absent():
    state = tiny_state("base")
    without = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    assert to_bytes(read(without, TINY_PORT_SPEC).state_dict()) == to_bytes(read(state, TINY_PORT_SPEC).state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("blocks.b0_l0.alpha"),
            "weights must fit the network, but in there blocks.b0_l0.alpha is missing$",
        ),
        (
            lambda state: state.update({"module.conv1": torch.zeros(1)}),
            "weights must fit the network, but in there module.conv1 is unknown$",
        ),
        (
            lambda state: state.update({"conv7.conv_1.norm.bias": torch.zeros(5)}),
            r"in there conv7.conv_1.norm.bias must be \(24,\) but is \(5,\)$",
        ),
        (
            # as many numbers, but in another order
            lambda state: state.update({"classifier.0.conv_1.conv3d.weight": torch.zeros(24, 16, 1, 1, 1)}),
            r"classifier.0.conv_1.conv3d.weight must be \(16, 24, 1, 1, 1\) but is \(24, 16, 1, 1, 1\)$",
        ),
        (
            lambda state: state.update({"blocks.b0_l0.se.fc1.conv_1.conv3d.weight": torch.zeros(8, 16)}),
            r"must be \(8, 16, 1, 1, 1\) but is \(8, 16\)$",
        ),
        (
            lambda state: state.update({"classifier.3.conv_1.conv3d.weight": torch.zeros(3, 1 << 40, 0, 1, 1)}),
            r"classifier.3.conv_1.conv3d.weight must be \(600, 16, 1, 1, 1\) but is \(3, 1099511627776, 0, 1, 1\)",
        ),
        (
            lambda state: state.update({"other.norm.num_batches_tracked": torch.tensor(1)}),
            "other.norm.num_batches_tracked is unknown$",
        ),
        (
            lambda state: state.update({"conv1.conv_1.norm.num_batches_tracked": torch.zeros(3)}),
            "conv1.conv_1.norm.num_batches_tracked is unknown$",
        ),
        (
            lambda state: state.update({"a\x1b[31m\n": torch.zeros(1)}),
            r"in there 'a\\x1b\[31m\\n' is unknown$",
        ),
        (
            lambda state: [state.pop(name) for name in list(state) if "b1_l0" in name],
            r"is missing; .*is missing; .*is missing and \d+ more \(\d+ missing, 0 unknown, 0 of another shape\)$",
        ),
    ],
)
def test_anything_partial_is_refused_by_name(change, message):
    state = tiny_state("base")
    change(state)
    with pytest.raises(WeightsError, match=message):
        read(state, TINY_PORT_SPEC)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(8, dtype=torch.float64), r"conv1.conv_1.norm.bias holds others \(torch.float64\)"),
        (torch.zeros(8, dtype=torch.int64), r"holds others \(torch.int64\)"),
        (torch.full((8,), math.nan), r"holds others \(torch.float32\)"),
        (torch.full((8,), -math.inf), "weights must be finite numbers of type float32, float16 or bfloat16, but in"),
    ],
)
def test_other_numbers_are_refused(value, message):
    state = tiny_state("base")
    state["conv1.conv_1.norm.bias"] = value
    with pytest.raises(WeightsError, match=message):
        read(state, TINY_PORT_SPEC)


def test_weights_of_another_network_are_refused():
    message = r"\(\d+ missing, 0 unknown, \d+ of another shape\)$"
    with pytest.raises(WeightsError, match=message):
        read(made_state(port_shapes("A0", "base")), published("A1"))
    with pytest.raises(WeightsError, match=r"\(\d+ missing, \d+ unknown, 0 of another shape\)$"):
        read(made_state(port_shapes("A0", "base")), variant=PORT_STREAM)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (VARIANTS["paper-stream"], "variant: must be a variant that the port has, but it has nothing for .*encoding"),
        (Variant(se="none"), "se.fc1.conv_1.conv3d.bias is unknown"),
    ],
)
def test_variants_that_the_port_lacks_are_refused(variant, message):
    with pytest.raises((SpecError, WeightsError), match=message):
        read(made_state(port_shapes("A0", "base")), variant=variant)


def test_switches_without_weights_are_free():
    state = made_state(port_shapes("A0", "stream"))
    assert read(state, variant=VARIANTS["released-stream"]).variant.gate == "hard_sigmoid"
