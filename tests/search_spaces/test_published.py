import dataclasses
import json
from importlib.resources import files

import pytest

from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.published import NAMES, min_size, name_of, published, released_stream
from search_spaces.stream_state import state_entries
from search_spaces.variant import VARIANTS, Variant

PAPER_STREAM = VARIANTS["paper-stream"]


# movinet.md 9: an independent counter, the PyTorch port and these agree
@pytest.mark.parametrize(
    ("name", "giga_macs", "mega_params"),
    [
        ("A0", 2.631, 3.112),
        ("A1", 5.866, 4.690),
        ("A2", 11.558, 5.250),
        ("A3", 55.593, 7.398),
        ("A4", 103.339, 11.349),
        ("A5", 276.334, 18.651),
    ],
)
def test_macs_and_parameters(name, giga_macs, mega_params):
    found = cost(published(name), Variant(), num_classes=600)
    assert round(found.macs / 1e9, 3) == giga_macs
    assert round(found.params / 1e6, 3) == mega_params


def rounded(name, variant):
    """Millions of parameters and 1e9 MACs as the tables print them."""
    found = cost(published(name), variant, num_classes=600)
    return round(found.params / 1e6, 3), round(found.macs / 1e9, 3)


# movinet.md 9: the released streams' layers, (2+1)D and 2plus3d
@pytest.mark.parametrize(
    ("name", "mega_params", "giga_macs"),
    [
        ("A0", 3.748, 2.426),
        ("A1", 6.447, 5.540),
        ("A2", 7.327, 10.700),
        ("A3", 10.987, 52.134),
        ("A4", 18.136, 96.741),
        ("A5", 31.496, 261.710),
    ],
)
def test_released_streams(name, mega_params, giga_macs):
    assert rounded(name, released_stream(name)) == (mega_params, giga_macs)


# movinet.md 9: the same squeeze-and-excitation on undivided causal convolutions, without positional encoding
@pytest.mark.parametrize(
    ("name", "mega_params", "giga_macs"),
    [
        ("A0", 3.784, 2.681),
        ("A1", 6.504, 5.999),
        ("A2", 7.393, 11.719),
        ("A3", 11.074, 56.256),
        ("A4", 18.279, 104.165),
        ("A5", 31.705, 278.666),
    ],
)
def test_released_squeeze_and_excitation_on_3d_convolutions(name, mega_params, giga_macs):
    assert rounded(name, dataclasses.replace(VARIANTS["released-stream"], conv="3d")) == (mega_params, giga_macs)


# movinet.md 9, below the table
@pytest.mark.parametrize(
    ("name", "giga_macs"),
    [("A0", 2.647), ("A1", 5.909), ("A2", 11.612), ("A3", 55.815), ("A4", 103.611), ("A5", 277.100)],
)
def test_paper_streams(name, giga_macs):
    spec = published(name)
    found, base = cost(spec, PAPER_STREAM, num_classes=600), cost(spec, Variant(), num_classes=600)
    assert round(found.macs / 1e9, 3) == giga_macs
    assert found.params == base.params + spec.num_layers  # a scalar of the positional encoding in each layer


# movinet.md 3, below the table: squeeze-and-excitation of every frame, which is what a stream adds, all frames of it
@pytest.mark.parametrize(
    ("name", "giga_macs"),
    [("A0", 0.017), ("A1", 0.044), ("A2", 0.055), ("A3", 0.224), ("A4", 0.276), ("A5", 0.772)],
)
def test_squeeze_and_excitation_of_the_paper_streams(name, giga_macs):
    with_se, without = (
        cost(published(name), variant).macs
        for variant in (PAPER_STREAM, Variant(causal=True, se="none", activation="hard_swish"))
    )
    assert round((with_se - without) / 1e9, 3) == giga_macs


# the paper's Table 3, all that its base column agrees with in the last digit (movinet.md 3)
@pytest.mark.parametrize(
    ("name", "digits", "gflops"), [("A0", 2, 2.73), ("A1", 2, 6.06), ("A4", 0, 106), ("A5", 0, 282)]
)
def test_the_papers_rule_gives_the_paper_streams_gflops(name, digits, gflops):
    assert round(cost(published(name), PAPER_STREAM).paper_gflops, digits) == gflops


# movinet.md 1.10
@pytest.mark.parametrize(
    ("name", "num_buffers", "separable_mb", "whole_mb"),
    [
        ("A0", 11, 2.68, 5.15),
        ("A1", 17, 4.86, 7.78),
        ("A2", 19, 10.80, 15.99),
        ("A3", 23, 18.24, 25.66),
        ("A4", 35, 49.34, 62.49),
        ("A5", 43, 75.00, 100.53),
    ],
)
def test_stream_buffers(name, num_buffers, separable_mb, whole_mb):
    spec = published(name)
    for variant, mb in ((released_stream(name), separable_mb), (PAPER_STREAM, whole_mb)):
        assert round(cost(spec, variant).stream_buffer_bytes / 1e6, 2) == mb
        entries = state_entries(spec, variant, height=spec.clip.resolution, width=spec.clip.resolution)
        assert sum(entry.endswith("stream_buffer") for entry in entries) == num_buffers
        # a pool in every layer and in the head, and one count for all of them
        assert len(entries) == num_buffers + spec.num_layers + 2


# the paper's Tables 2 and 15 (A2's 10.3 of Table 2 is of another rule; movinet.md 3)
@pytest.mark.parametrize(
    ("name", "gflops"), [("A0", 2.71), ("A1", 6.02), ("A2", 11.86), ("A3", 56.9), ("A4", 105.0), ("A5", 281.0)]
)
def test_the_papers_rule_gives_the_papers_gflops(name, gflops):
    assert cost(published(name), Variant(), num_classes=600).paper_gflops == pytest.approx(gflops, rel=0.004)


# movinet.md 9, last paragraph
@pytest.mark.parametrize(
    ("name", "mega_params"), [("A0", 2.77), ("A1", 3.81), ("A2", 4.15), ("A3", 5.52), ("A4", 7.88), ("A5", 12.18)]
)
def test_parameters_without_squeeze_and_excitation(name, mega_params):
    spec = published(name)
    blocks = tuple(
        dataclasses.replace(block, layers=tuple(dataclasses.replace(layer, se=False) for layer in block.layers))
        for block in spec.blocks
    )
    params = cost(dataclasses.replace(spec, blocks=blocks), Variant(), num_classes=600).params
    assert params / 1e6 == pytest.approx(mega_params, abs=0.0051)


def test_a0_of_the_papers_table_17_is_the_misprint():
    # movinet.md 9: 3.093 M parameters and 2.737 G MACs, which the published weights do not have
    spec = published("A0")
    changes = {(0, 0): {"expansion": 40}, (1, 0): {"kernel": (5, 3, 3)}, (4, 0): {"expansion": 344}}
    blocks = [list(block.layers) for block in spec.blocks]
    for (block, layer), change in changes.items():
        blocks[block][layer] = dataclasses.replace(blocks[block][layer], **change)
    built = tuple(
        dataclasses.replace(block, layers=tuple(layers)) for block, layers in zip(spec.blocks, blocks, strict=True)
    )
    found = cost(dataclasses.replace(spec, blocks=built), Variant(), num_classes=600)
    assert (round(found.params / 1e6, 3), round(found.macs / 1e9, 3)) == (3.093, 2.737)


def test_clips_depths_and_strides():
    # movinet.md 2 and 3
    clips = {name: dataclasses.astuple(published(name).clip) for name in NAMES}
    assert clips == {
        "A0": (50, 172, 5.0),
        "A1": (50, 172, 5.0),
        "A2": (50, 224, 5.0),
        "A3": (120, 256, 12.0),
        "A4": (80, 290, 8.0),
        "A5": (120, 320, 12.0),
    }
    assert [len(block.layers) for block in published("A2").blocks] == [3, 5, 5, 6, 7]
    assert [published(name).num_layers for name in NAMES] == [15, 24, 26, 33, 47, 59]
    for name in NAMES:
        strides = [[layer.stride for layer in block.layers] for block in published(name).blocks]
        assert [block[0] for block in strides] == [2, 2, 2, 1, 2]
        assert all(stride == 1 for block in strides for stride in block[1:])


def test_only_four_of_the_seven_kernels_occur():
    kernels = {layer.kernel for name in NAMES for block in published(name).blocks for layer in block.layers}
    assert kernels == {(1, 3, 3), (1, 5, 5), (3, 3, 3), (5, 3, 3)}


def test_the_file_holds_these_networks_and_says_what_it_is():
    document = json.loads(files("search_spaces").joinpath("published.json").read_text("utf-8"))
    assert set(document) == {"about", *NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_is_known_whatever_its_clip(name):
    spec = published(name)
    assert name_of(spec) == name
    clip = dataclasses.replace(spec.clip, num_frames=8, resolution=64, rate_fps=2.5)
    assert name_of(dataclasses.replace(spec, clip=clip)) == name
    assert name_of(dataclasses.replace(spec, head_width=spec.head_width + 8)) is None


def test_minimum_sizes():
    assert [min_size(published(name)) for name in NAMES] == [192, 192, 256, 288, 320, 368]
    spec = published("A4")
    half = dataclasses.replace(spec.clip, num_frames=40, rate_fps=4.0)
    assert min_size(dataclasses.replace(spec, clip=half)) == 320
    other = dataclasses.replace(spec.clip, resolution=224)
    assert min_size(dataclasses.replace(spec, clip=other)) is None
    assert min_size(dataclasses.replace(spec, stem_width=32)) is None


@pytest.mark.parametrize("name", ["A6", "a0", "about", ""])
def test_an_unknown_network_is_refused(name):
    with pytest.raises(SpecError, match=r"^a published network must be one of A0, A1, A2, A3, A4, A5, but got '"):
        published(name)
