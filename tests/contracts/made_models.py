"""Networks of a few layers with the cards of trained ones, and what skips where the extra `deploy` is missing."""

import importlib.util

import pytest
from made_nets import TINY_SPEC, randomise, settled

from retrain.ensemble import Ensemble, TrainedMember
from retrain.model_file import ModelCard
from search_spaces.spec_json import fingerprint
from search_spaces.variant import VARIANTS
from supernet.video_net import VideoNet

CLASS_NAMES = ("wave", "clap", "Gebärde zwölf")
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra deploy (onnx, onnxscript, onnxruntime) is not installed",
)


def made_net(variant=VARIANTS["released-stream"], spec=TINY_SPEC, *, num_classes=3):
    """In evaluation, with no part that is invisible."""
    net = VideoNet(spec, variant, num_classes=num_classes)
    randomise(net)
    return settled(net, height=spec.clip.resolution, width=spec.clip.resolution)


def card_of(net, **changes):
    clip = net.spec.clip
    card = {
        "fingerprint": fingerprint(net.spec, net.variant),
        "arch": net.spec,
        "variant": net.variant,
        "class_names": CLASS_NAMES if net.num_classes == 3 else tuple(f"class {k}" for k in range(net.num_classes)),
        "num_frames": clip.num_frames,
        "rate_fps": clip.rate_fps,
        "short_side": clip.resolution + 2,
        "resolution": clip.resolution,
        "epoch": 3,
        "val_top1": 0.5,
    }
    return ModelCard(**{**card, **changes})


def alone(net, **changes):
    """An ensemble of one."""
    return Ensemble(members=(TrainedMember(net=net, card=card_of(net, **changes)),))
