"""Prices of parts by arithmetic are what a network's cost is the sum of."""

import numpy as np
from hypothesis import given
from made_spaces import specs

from search_spaces.cost import cost
from search_spaces.prices import Arithmetic
from search_spaces.spec import STEM_STRIDE, same_size
from search_spaces.variant import VARIANTS


@given(specs())
def test_prices_sum_to_the_cost(spec):
    variant = VARIANTS["released-stream"]
    prices = {
        metric: Arithmetic(variant=variant, metric=metric, num_classes=7, clip=spec.clip, dtype="fp16")
        for metric in ("macs", "params", "stream_buffer_bytes", "stream_state_bytes")
    }
    found = cost(spec, variant, num_classes=7, dtype="fp16")
    for metric, of in prices.items():
        width, size = spec.stem_width, same_size(spec.clip.resolution, STEM_STRIDE)
        total = of.stem(width)
        for layer in (layer for block in spec.blocks for layer in block.layers):
            total += of.layer(layer, in_width=width, in_size=size)
            width, size = layer.width, same_size(size, layer.stride)
        total += of.head(spec.head_width, in_width=width, in_size=size, dense_width=spec.dense_width)
        assert np.int64(total) == getattr(found, metric)
