"""ONNX files: written from a graph, run in ONNX Runtime, and their pointwise layers in int8."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from retrain.deploy.extra import imported
from retrain.deploy.graph import Graph
from search_spaces.errors import DeployError

OPSET: Final = 18
"""The one that torch's exporter writes without converting, which ONNX Runtime reads since 1.14."""
LINEAR_OPS: Final = ("MatMul", "Gemm")


def to_onnx(graph: Graph) -> bytes:
    """The file, weights inside; every entry of the state is an input and an output under its own name.

    Raises:
        UsageError: The extra `deploy` is not installed.
    """
    for name in ("onnx", "onnxscript"):
        imported(name)
    with _quietly():
        program = torch.onnx.export(
            graph.program,
            input_names=graph.input_names,
            output_names=graph.output_names,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    del model.graph.value_info[:]  # shapes of what lies between, partly stale, which no runtime needs
    blob: bytes = model.SerializeToString()
    return blob


@final
class OnnxNet:
    """A file in ONNX Runtime on the CPU; of a stream the object holds the state.

    Args:
        path: The file.
        num_threads: Of one call.

    Raises:
        DeployError: ONNX Runtime does not take the file.
        UsageError: The extra `deploy` is not installed.
    """

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        runtime = imported("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        options.log_severity_level = 3
        try:
            self._session: Any = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exceptions share no root
            raise DeployError(f"must be a file that ONNX Runtime takes, but got {error}") from error
        self.input, *self._entries = self._session.get_inputs()
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._state = {
            entry.name: np.zeros(entry.shape, np.int32 if "int32" in entry.type else np.float32)
            for entry in self._entries
        }

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (K,) of a clip, or after one more frame; `x` is of the shape of the graph's first input."""
        logits_BK, *state = self._session.run(None, {self.input.name: x, **self._state})
        self._state = dict(zip(self._state, state, strict=True))
        logits_K: NDArray[np.float32] = logits_BK[0]
        return logits_K


def quantised(blob: bytes) -> tuple[bytes, int]:
    """A file whose pointwise convolutions and linear layers have int8 weights, and how many these are.

    Dynamic: activations are quantised as they come, by their range in each call. Depthwise convolutions and the stem
    stay in fp32, and so does the state.
    """
    onnx, quantization = imported("onnx"), imported("onnxruntime.quantization")
    model = onnx.load_model_from_string(blob)
    extents = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    pointwise = [
        f"{node.name}_MatMul" if node.op_type == "Gemm" else node.name  # which the quantisation makes of it
        for node in model.graph.node
        if node.op_type in ("Conv", *LINEAR_OPS) and _is_pointwise(extents.get(node.input[1]))
    ]
    with tempfile.TemporaryDirectory() as folder, _quietly():
        whole, smaller = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        whole.write_bytes(blob)
        quantization.quantize_dynamic(
            whole,
            smaller,
            op_types_to_quantize=["Conv", *LINEAR_OPS],
            nodes_to_quantize=pointwise,
            weight_type=quantization.QuantType.QUInt8,  # ONNX Runtime's convolutions are slower with signed ones
        )
        return smaller.read_bytes(), len(pointwise)


def _is_pointwise(weight: tuple[int, ...] | None) -> bool:
    """Whether a weight, a matrix or (out, in, H, W), mixes channels and nothing else; None is no weight."""
    return weight is not None and (len(weight) == 2 or (weight[2:] == (1, 1) and weight[1] > 1))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters tell of themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    root_filter = _NotQuantisation()
    logging.getLogger().addFilter(root_filter)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeFilter(root_filter)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _NotQuantisation(logging.Filter):
    """Drops the advice to preprocess that ONNX Runtime's quantisation gives at the root."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()
