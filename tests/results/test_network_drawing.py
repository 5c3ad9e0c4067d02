import re
import xml.etree.ElementTree as ET

import pytest

from results.network_drawing import drawing
from search_spaces.cost import part_costs
from search_spaces.movinet import NANO
from search_spaces.published import NAMES, published
from search_spaces.randomness import generator
from search_spaces.variant import VARIANTS, Variant

SVG = "{http://www.w3.org/2000/svg}"


def read(text):
    root = ET.fromstring(text)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    return root, texts


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_drawn_where_there_is_room(name):
    spec, variant = published(name), VARIANTS["released-stream"]
    root, texts = read(drawing(spec, variant, num_classes=600))
    width, height = (float(root.get(side)) for side in ("width", "height"))
    for box in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.get(side)) for side in ("x", "y", "width", "height"))
        assert min(x, y, w, h) >= 0
        assert x + w <= width
        assert y + h <= height
    kernels = [text for text in texts if re.fullmatch(r"\dx\dx\d", text)]
    expected = ["x".join(map(str, layer.kernel)) for block in spec.blocks for layer in block.layers]
    assert kernels == ["1x3x3", *expected, "1x1x1"]
    assert texts.count("SE") == sum(layer.se for block in spec.blocks for layer in block.layers)
    assert [text for text in texts if text.startswith("block")][-1] == f"block 6, {_last_size(spec)} px"
    names = [element.text for element in root.iter(f"{SVG}title")]
    assert names == list(part_costs(spec, variant, num_classes=600))


def test_shares_are_those_of_multiply_adds():
    spec = NANO.decode(NANO.sample(generator(3, "drawing")), Variant()).spec
    _, texts = read(drawing(spec, Variant(), num_classes=8))
    costs = [part.macs for part in part_costs(spec, Variant(), num_classes=8).values()]
    assert [text for text in texts if text.endswith("%")] == [f"{100 * macs / sum(costs):.0f} %" for macs in costs]


def test_a_network_without_gates_shows_none():
    spec = published("A0")
    assert "SE" not in read(drawing(spec, Variant(se="none"), num_classes=8))[1]


def _last_size(spec):
    size = -(-spec.clip.resolution // 2)
    for block in spec.blocks:
        for layer in block.layers:
            size = -(-size // layer.stride)
    return size
