import dataclasses
import json
from importlib.resources import files

import pytest

from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.published import NAMES, published
from search_spaces.variant import Variant


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


@pytest.mark.parametrize("name", ["A6", "a0", "about", ""])
def test_an_unknown_network_is_refused(name):
    with pytest.raises(SpecError, match=r"^a published network must be one of A0, A1, A2, A3, A4, A5, but got '"):
        published(name)
