"""Deployed files as functions from an input to logits, which remember what a stream remembers.

Letters: T frames, R pixels of height and width, K classes.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retrain.deploy.check import Run
from retrain.deploy.graph import Graph, Mode
from retrain.deploy.onnx_file import OnnxNet
from retrain.model_file import load_model


def run_of_clip(path: Path, *, mode: Mode, flat: bool, num_threads: int) -> Run:
    """Logits (K,) of an ONNX file for a clip given by its frames (T, 3, R, R), whatever a call of it takes."""
    net = OnnxNet(path, num_threads=num_threads)

    def run(frames_TCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        if mode == "clip":
            return net.run(frames_TCHW if flat else frames_TCHW.transpose(1, 0, 2, 3)[None].copy())
        net.reset()
        return [net.run(frame_CHW[None]) for frame_CHW in frames_TCHW][-1]

    return run


def run_of_program(graph: Graph) -> Run:
    """The program that was written: files of `torch.export` are never read here (design decision 11)."""
    module = graph.program.module()
    state = {entry.input: torch.zeros(entry.shape, dtype=getattr(torch, entry.dtype)) for entry in graph.state}

    @torch.no_grad()
    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal state
        if graph.mode == "clip":
            logits_BK = module(torch.from_numpy(x))
        else:
            logits_BK, state = module(torch.from_numpy(x), state)
        logits_K: NDArray[np.float32] = logits_BK[0].numpy()
        return logits_K

    return run


def run_of_module(path: Path, *, mode: Mode) -> Run:
    """A file of safetensors, as `load_model` gives it back."""
    net, card = load_model(path)
    state = net.init_state(1, card.resolution, card.resolution) if mode == "stream" else {}

    @torch.no_grad()
    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal state
        if mode == "clip":
            logits_BK = net(torch.from_numpy(x))
        else:
            logits_BK, state = net.step(torch.from_numpy(x), state)
        logits_K: NDArray[np.float32] = logits_BK[0].numpy()
        return logits_K

    return run
