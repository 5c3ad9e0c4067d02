import dataclasses

import pytest
import torch
from made_clips import noise
from made_models import made_net, needs_onnx
from made_nets import assert_close

from retrain.deploy.graph import trace
from retrain.deploy.onnx_file import OPSET, OnnxNet, quantised, to_onnx
from search_spaces.errors import SpecError, UsageError
from search_spaces.variant import VARIANTS, Variant

WINDOW = dataclasses.replace(VARIANTS["paper-stream"], positional_encoding=True, pool_window=3)


def traced(variant, *, mode="stream", flat=False):
    net = made_net(variant)
    return net, trace(net, mode=mode, num_frames=4, resolution=12, flat=flat)


def model_of(graph):
    import onnx

    model = onnx.load_model_from_string(to_onnx(graph))
    onnx.checker.check_model(model, full_check=True)
    return model


def test_a_program_takes_and_gives_the_whole_state():
    net, graph = traced(VARIANTS["released-stream"])
    state = net.init_state(1, 12, 12)
    assert graph.input_names == ["frame", *state]
    assert graph.output_names == ["logits", *(f"{name}.next" for name in state)]
    signature = graph.program.graph_signature
    assert len(signature.user_inputs) == len(signature.user_outputs) == 1 + len(state)
    assert not signature.buffers_to_mutate
    step, frame_BCHW = graph.program.module(), noise(1, num_frames=1, height=12, width=12)[:, :, 0]
    first = {entry.input: torch.zeros(entry.shape, dtype=getattr(torch, entry.dtype)) for entry in graph.state}
    once_BK, after = step(frame_BCHW, first)
    twice_BK, _ = step(frame_BCHW, after)
    assert_close(once_BK, net.step(frame_BCHW, state)[0].detach())
    assert (once_BK - twice_BK).abs().max() > 1e-3 * once_BK.abs().max()


def test_a_stream_of_a_network_that_looks_ahead_is_refused():
    with pytest.raises(SpecError, match="must be causal, with no global pool in se"):
        traced(Variant())


@needs_onnx
@pytest.mark.parametrize("variant", [VARIANTS["released-stream"], WINDOW])
def test_every_entry_of_the_state_is_a_named_input_and_output_of_the_file(variant):
    net, graph = traced(variant)
    model = model_of(graph)
    state = list(net.init_state(1, 12, 12))
    assert [tensor.name for tensor in model.graph.input] == ["frame", *state]
    assert [tensor.name for tensor in model.graph.output] == ["logits", *(f"{entry}.next" for entry in state)]
    for given, taken in zip(model.graph.output[1:], model.graph.input[1:], strict=True):
        assert given.type == taken.type
    shapes = [tuple(d.dim_value for d in tensor.type.tensor_type.shape.dim) for tensor in model.graph.input]
    assert shapes == [graph.input.shape, *(entry.shape for entry in graph.state)]
    assert model.opset_import[0].version == OPSET
    assert not {node.op_type for node in model.graph.node} & {"BatchNormalization", "Pad", "Loop", "Scan", "If"}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@needs_onnx
@pytest.mark.parametrize(("name", "mode"), [("paper-stream", "stream"), ("base", "clip")])
def test_no_tensor_of_a_flat_file_has_more_than_four_dimensions(name, mode):
    import onnx

    model = onnx.shape_inference.infer_shapes(model_of(traced(VARIANTS[name], mode=mode, flat=True)[1]))
    assert len({value.name for value in model.graph.value_info}) >= len(model.graph.node) - len(model.graph.output)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    ranks = [len(value.type.tensor_type.shape.dim) for value in values]
    assert max(*ranks, *(len(tensor.dims) for tensor in model.graph.initializer)) == 4


@needs_onnx
def test_int8_is_for_pointwise_layers_alone(tmp_path):
    import onnx

    net, graph = traced(VARIANTS["released-stream"])
    blob = to_onnx(graph)
    smaller, num_layers = quantised(blob)
    kinds = [node.op_type for node in onnx.load_model_from_string(smaller).graph.node]
    # three pointwise convolutions and a skip per layer, but for an identity; two matrices of squeeze-and-excitation
    # in two of three layers; the head's convolution, dense layer and classifier
    assert num_layers == 3 * 2 + 2 + 2 * 2 + 3
    assert kinds.count("ConvInteger") == 3 * 2 + 2 + 1
    assert kinds.count("MatMulInteger") == 2 * 2 + 2
    assert (
        kinds.count("Conv") == [node.op_type for node in onnx.load_model_from_string(blob).graph.node].count("Conv") - 9
    )
    (tmp_path / "net.onnx").write_bytes(smaller)
    frame = noise(1, num_frames=1, height=12, width=12)[:, :, 0]
    wanted_K = net.step(frame, net.init_state(1, 12, 12))[0][0].detach()
    found_K = torch.from_numpy(OnnxNet(tmp_path / "net.onnx").run(frame.numpy()))
    assert_close(found_K, wanted_K, tolerance=0.1)
    assert not torch.equal(found_K, wanted_K)


def test_a_missing_extra_is_told(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    graph = traced(VARIANTS["released-stream"])[1]
    with pytest.raises(UsageError, match=r"needs the package onnx.*pip install 'movinas\[deploy\]'"):
        to_onnx(graph)
