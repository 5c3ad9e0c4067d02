import dataclasses

import pytest

from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec, kernel_name, layer_name, parse_kernel

CLIP = ClipGeometry(num_frames=8, resolution=64, rate_fps=8.0)
LAYER = LayerSpec(kernel=(3, 3, 3), width=16, expansion=24)
BLOCK = BlockSpec(layers=(LAYER, LAYER))
ARCH = ArchSpec(clip=CLIP, stem_width=8, blocks=(BLOCK, BLOCK), head_width=64)


def test_specs_are_values():
    again = ArchSpec(clip=CLIP, stem_width=8, blocks=(BLOCK, BLOCK), head_width=64)
    assert again == ARCH
    assert hash(again) == hash(ARCH)
    assert dataclasses.replace(ARCH, stem_width=16) != ARCH
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCH.stem_width = 16
    with pytest.raises(TypeError):
        LayerSpec((3, 3, 3), 16, 24)


def test_a_spec_counts_its_layers():
    assert ARCH.num_layers == 4


def test_a_frame_rate_is_a_float_however_it_was_given():
    assert repr(dataclasses.replace(CLIP, rate_fps=5).rate_fps) == "5.0"


@pytest.mark.parametrize(
    ("value", "field", "bad", "message"),
    [
        (CLIP, "num_frames", 0, r"^num_frames: must be in \[1, 16384\], but got 0$"),
        (CLIP, "num_frames", 1 << 15, r"^num_frames: must be in \[1, 16384\], but got 32768$"),
        (CLIP, "resolution", 7, r"^resolution: must be in \[8, 4096\], but got 7$"),
        (CLIP, "resolution", 4097, r"^resolution: must be in \[8, 4096\], but got 4097$"),
        (CLIP, "rate_fps", 0.0, r"^rate_fps: must be in \(0, 1000\], but got 0.0$"),
        (CLIP, "rate_fps", 1000.1, r"^rate_fps: must be in \(0, 1000\], but got 1000.1$"),
        (CLIP, "rate_fps", float("nan"), r"^rate_fps: must be in \(0, 1000\], but got nan$"),
        (LAYER, "kernel", (3, 3), r"^kernel: must be three odd numbers from 1 to 15, but got \(3, 3\)$"),
        (LAYER, "kernel", (3, 4, 3), r"^kernel: must be three odd numbers from 1 to 15, but got \(3, 4, 3\)$"),
        (LAYER, "kernel", (3, 17, 3), r"^kernel: must be three odd numbers from 1 to 15, but got \(3, 17, 3\)$"),
        (LAYER, "kernel", (-1, 3, 3), r"^kernel: must be three odd numbers from 1 to 15, but got \(-1, 3, 3\)$"),
        (LAYER, "width", 0, r"^width: must be in \[1, 16384\], but got 0$"),
        (LAYER, "expansion", 16385, r"^expansion: must be in \[1, 16384\], but got 16385$"),
        (LAYER, "stride", 3, r"^stride: must be in \[1, 2\], but got 3$"),
        (BLOCK, "layers", (), r"^layers: must be 1 to 64 layers, but got 0$"),
        (BLOCK, "layers", (LAYER,) * 65, r"^layers: must be 1 to 64 layers, but got 65$"),
        (ARCH, "stem_width", -8, r"^stem_width: must be in \[1, 16384\], but got -8$"),
        (ARCH, "blocks", (), r"^blocks: must be 1 to 16 blocks, but got 0$"),
        (ARCH, "blocks", (BLOCK,) * 17, r"^blocks: must be 1 to 16 blocks, but got 17$"),
        (ARCH, "head_width", 0, r"^head_width: must be in \[1, 16384\], but got 0$"),
        (ARCH, "dense_width", 0, r"^dense_width: must be in \[1, 16384\], but got 0$"),
    ],
)
def test_every_field_is_checked(value, field, bad, message):
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(value, **{field: bad})


@pytest.mark.parametrize(
    ("value", "field", "edges"),
    [
        (CLIP, "num_frames", (1, 1 << 14)),
        (CLIP, "resolution", (8, 4096)),
        (CLIP, "rate_fps", (1e-9, 1000.0)),
        (LAYER, "kernel", ((1, 1, 1), (15, 15, 15))),
        (LAYER, "width", (1, 1 << 14)),
        (LAYER, "stride", (1, 2)),
        (BLOCK, "layers", ((LAYER,), (LAYER,) * 64)),
        (ARCH, "blocks", ((BLOCK,), (BLOCK,) * 16)),
    ],
)
def test_the_edges_of_a_range_are_inside(value, field, edges):
    for edge in edges:
        assert getattr(dataclasses.replace(value, **{field: edge}), field) == edge


@pytest.mark.parametrize("kernel", [(1, 1, 1), (5, 3, 3), (15, 1, 13)])
def test_kernel_names_round_trip(kernel):
    assert parse_kernel(kernel_name(kernel)) == kernel


@pytest.mark.parametrize("name", ["", "3", "3x3", "3x3x3x3", "3X3X3", "+3x3x3", "-1x3x3", "3x3x٣", "03x3x3", "3 x3x3"])
def test_a_kernel_has_one_name(name):
    with pytest.raises(SpecError, match=r"^a kernel must be written as time x height x width, such as 5x3x3, but got"):
        parse_kernel(name)


@pytest.mark.parametrize("name", ["2x3x3", "3x3x17", "3x100000001x3"])
def test_a_named_kernel_is_odd_and_small(name):
    with pytest.raises(SpecError, match=r"^kernel: must be three odd numbers from 1 to 15, but got \(\d"):
        parse_kernel(name)


def test_layers_are_named_as_the_paper_counts():
    assert [layer_name(0, 0), layer_name(4, 6)] == ["block2.layer1", "block6.layer7"]
