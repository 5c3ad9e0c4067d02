import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nets import TINY_SPEC, randomise

from search_spaces.errors import WeightsError
from search_spaces.variant import Variant
from supernet.optim import weight_decay_groups
from supernet.tensors import from_bytes, load_exactly, load_optimizer, optimizer_tensors, read_tensors, to_bytes
from supernet.video_net import VideoNet

TENSORS = {
    "matrix": torch.arange(6.0).view(2, 3),
    "scalar": torch.tensor(1.5),
    "count": torch.tensor(7, dtype=torch.int64),
    "empty": torch.zeros(0, 3),
    "half": torch.tensor([1.0, float("inf")], dtype=torch.float16),
    "mask": torch.tensor([True, False]),
}


def made(seed=0):
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3, seed=seed)
    randomise(net, seed=seed)
    return net


def test_tensors_come_back_as_they_were():
    found = from_bytes(to_bytes(TENSORS))
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_no_tensors_come_back_as_none():
    assert from_bytes(to_bytes({})) == {}


def test_equal_tensors_give_equal_bytes():
    turned = {name: TENSORS[name].clone() for name in reversed(TENSORS)}
    assert to_bytes(turned) == to_bytes(TENSORS)
    turned["scalar"] += 1.0
    assert to_bytes(turned) != to_bytes(TENSORS)


def test_layout_in_memory_is_not_in_the_bytes():
    weight = torch.rand(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    last = weight.contiguous(memory_format=torch.channels_last_3d)
    assert to_bytes({"weight": last}) == to_bytes({"weight": weight})
    assert torch.equal(from_bytes(to_bytes({"weight": weight[:2]}))["weight"], weight[:2])


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x80\x04\x95pickle",
        to_bytes(TENSORS)[:-1],
        to_bytes(TENSORS) + b"\0",
        b"\xff" * 8 + to_bytes(TENSORS)[8:],
        to_bytes(TENSORS).replace(b"F32", b"F99"),
        to_bytes({"a": torch.zeros(1, dtype=torch.uint8)}).replace(b'"U8"', b'"F4"').replace(b"[1]", b"[2]"),
    ],
    ids=["empty", "pickle", "cut", "longer", "header", "type", "type that torch lacks"],
)
def test_bytes_that_are_no_safetensors_are_refused(blob):
    with pytest.raises(WeightsError, match="weights must be safetensors, but got"):
        from_bytes(blob)


@settings(max_examples=300)
@given(st.binary(max_size=64), st.integers(0, 1 << 16), st.integers(1, 255))
def test_damaged_bytes_give_tensors_or_our_error(noise, place, change):
    blob = bytearray(to_bytes(TENSORS))
    blob[place % len(blob)] ^= change
    for damaged in (bytes(blob), noise, len(noise).to_bytes(8, "little") + noise):
        try:
            found = from_bytes(damaged)
        except WeightsError:
            continue
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_weights_are_loaded_exactly():
    source, net = made(1), made(2)
    load_exactly(net, from_bytes(to_bytes(source.state_dict())), source="here")
    assert to_bytes(net.state_dict()) == to_bytes(source.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: tensors.pop("stem.weight"),
            "weights must fit the network, but in over.there stem.weight is missing$",
        ),
        (
            lambda tensors: tensors.update(extra=torch.zeros(1)),
            "weights must fit the network, but in over.there extra is unknown$",
        ),
        (
            lambda tensors: tensors.update({"head.classifier.bias": torch.zeros(5)}),
            r"but in over.there head.classifier.bias must be \(3,\) but is \(5,\)$",
        ),
        (
            lambda tensors: tensors.update({"blocks.0.0.rezero": torch.zeros(1)}),
            r"blocks.0.0.rezero must be \(\) but is \(1,\)$",
        ),
        (
            lambda tensors: (tensors.clear(), tensors.update(a=torch.zeros(1))),
            r"stem.weight is missing; .* is missing; .* is missing; a is unknown and \d+ more "
            r"\(\d+ missing, 1 unknown, 0 of another shape\)$",
        ),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_loaded(change, message):
    net = made()
    before = to_bytes(net.state_dict())
    tensors = dict(made(1).state_dict())
    change(tensors)
    with pytest.raises(WeightsError, match=message):
        load_exactly(net, tensors, source="over there")
    assert to_bytes(net.state_dict()) == before


def test_the_error_knows_every_name():
    net = made()
    tensors = dict(net.state_dict())
    removed = [name for name in tensors if name.endswith("running_mean")]
    changed = [name for name in tensors if name.endswith("running_var")]
    for name in removed:
        del tensors[name]
    tensors |= {name: torch.zeros(1, 2) for name in changed}
    tensors |= {f"extra{number}": torch.zeros(1) for number in range(9)}
    with pytest.raises(WeightsError) as caught:
        load_exactly(net, tensors, source="there")
    assert len(removed) > 3
    assert caught.value.missing == tuple(removed)
    assert caught.value.unexpected == tuple(f"extra{number}" for number in range(9))
    assert caught.value.misshaped == tuple(changed)


def adamw(net):
    return torch.optim.AdamW(weight_decay_groups(net, weight_decay=0.1), lr=0.01)


def step(net, optimizer, number):
    """One step of some of the parameters only, as in a supernet."""
    optimizer.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(number)
    for index, parameter in enumerate(net.parameters()):
        if (index + number) % 3:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def test_an_optimizer_goes_on_as_if_never_stopped():
    whole, halves = made(), made()
    optimizer = adamw(whole)
    first = adamw(halves)
    for number in range(2):
        step(whole, optimizer, number)
        step(halves, first, number)
    blob = to_bytes(optimizer_tensors(first))
    second = adamw(halves)
    load_optimizer(second, from_bytes(blob))
    assert to_bytes(optimizer_tensors(second)) == blob
    for number in range(2, 6):
        step(whole, optimizer, number)
        step(halves, second, number)
    assert to_bytes(whole.state_dict()) == to_bytes(halves.state_dict())
    assert to_bytes(optimizer_tensors(optimizer)) == to_bytes(optimizer_tensors(second))


def test_parameters_without_state_stay_without():
    net = made()
    optimizer = adamw(net)
    assert optimizer_tensors(optimizer) == {}
    step(net, optimizer, 0)
    num_with_state = sum(bool(index % 3) for index in range(len(list(net.parameters()))))
    tensors = optimizer_tensors(optimizer)
    assert len(tensors) == 3 * num_with_state
    assert {name.partition(".")[2] for name in tensors} == {"step", "exp_avg", "exp_avg_sq"}
    other = adamw(made())
    load_optimizer(other, tensors)
    assert len(other.state) == num_with_state
    load_optimizer(other, {})
    assert optimizer_tensors(other) == {}


def test_numbers_in_the_state_of_an_optimizer_become_tensors():
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([parameter], momentum=0.9)
    optimizer.state[parameter] = {"times": 4, "momentum_buffer": torch.ones(3)}
    tensors = optimizer_tensors(optimizer)
    assert int(tensors["0.times"]) == 4
    assert torch.equal(tensors["0.momentum_buffer"], torch.ones(3))


@pytest.mark.parametrize(
    ("key", "shape"), [("x.step", ()), ("-1.step", ()), ("9999.exp_avg", ()), ("0.exp_avg", (1, 1, 1)), ("", ())]
)
def test_state_of_another_optimizer_is_refused(key, shape):
    optimizer = adamw(made())
    with pytest.raises(WeightsError, match=r"must be of one of \d+ parameters and of its shape, but got"):
        load_optimizer(optimizer, {key: torch.zeros(shape)})
    assert optimizer_tensors(optimizer) == {}


def test_complex_weights_are_refused():
    net = made()
    tensors = dict(net.state_dict())
    tensors["stem.weight"] = tensors["stem.weight"].to(torch.complex64)
    with pytest.raises(WeightsError, match=r"must be real numbers, but in there stem\.weight is torch\.complex64"):
        load_exactly(net, tensors, source="there")


def test_a_file_of_tensors_is_read_within_a_limit(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(TENSORS))
    assert set(read_tensors(path)) == set(TENSORS)
    with pytest.raises(WeightsError, match=r"a\.safetensors: must be a readable file, but got more than 100 bytes"):
        read_tensors(path, max_bytes=100)
    path.write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"a\.safetensors: weights must be safetensors"):
        read_tensors(path)
