"""A network as a picture: its layers from left to right, in the order of computation, as SVG with nothing from outside.

Its colours are the page's (`--text`, `--faint`, `--line`, `--cell`, `--accent`). The outer box of a layer is as high as
its expansion is wide, the inner one as its output; kernels with extent in time are filled, all others hollow, and say
so in figures; the bars below are shares of the multiply-adds.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from search_spaces.cost import part_costs
from search_spaces.spec import FIRST_BLOCK, STEM_STRIDE, ArchSpec, LayerSpec, kernel_name, layer_name, same_size
from search_spaces.variant import Variant

_LAYER_PX, _PITCH_PX, _BLOCK_GAP_PX, _TITLE_PX, _MARGIN_PX = 44, 52, 14, 124, 8
_MIDDLE_PX, _TALLEST_PX, _LOWEST_PX = 108, 96, 12
_KERNELS_PX, _SE_PX, _BARS_PX, _BAR_PX, _HEIGHT_PX = 178, 193, 254, 40, 274


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A part of the network where it is drawn.

    Attributes:
        share: Of the multiply-adds, in [0, 1].
    """

    x: int
    name: str
    kernel: str
    width: int
    expansion: int | None
    in_time: bool
    se: bool
    share: float


def drawing(spec: ArchSpec, variant: Variant, *, num_classes: int) -> str:
    """The network as an SVG element.

    Raises:
        SpecError: The spec cannot be built in this variant.
    """
    costs = part_costs(spec, variant, num_classes=num_classes)
    macs = sum(part.macs for part in costs.values())
    shares = {name: part.macs / macs for name, part in costs.items()}
    clip, size = spec.clip, same_size(spec.clip.resolution, STEM_STRIDE)
    titles = [(_MARGIN_PX, f"{clip.num_frames} × {clip.resolution} px, stem")]
    boxes, x = [_plain("stem", "1x3x3", spec.stem_width, x=_MARGIN_PX, shares=shares)], _MARGIN_PX + _TITLE_PX
    for number, block in enumerate(spec.blocks):
        for layer in block.layers:
            size = same_size(size, layer.stride)
        titles.append((x, f"block {number + FIRST_BLOCK}, {size} px"))
        names = [layer_name(number, position) for position in range(len(block.layers))]
        for place, (name, layer) in enumerate(zip(names, block.layers, strict=True)):
            boxes.append(_layer(layer, variant, name=name, x=x + place * _PITCH_PX, share=shares[name]))
        x += max(_TITLE_PX, len(names) * _PITCH_PX + _BLOCK_GAP_PX)
    titles.append((x, f"head, {num_classes:,} classes"))
    boxes.append(_plain("head", "1x1x1", spec.head_width, x=x, shares=shares))
    return _svg(boxes, titles, width_px=x + _TITLE_PX + _MARGIN_PX)


def _plain(name: str, kernel: str, width: int, *, x: int, shares: Mapping[str, float]) -> _Box:
    return _Box(x=x, name=name, kernel=kernel, width=width, expansion=None, in_time=False, se=False, share=shares[name])


def _layer(layer: LayerSpec, variant: Variant, *, name: str, x: int, share: float) -> _Box:
    return _Box(
        x=x,
        name=name,
        kernel=kernel_name(layer.kernel),
        width=layer.width,
        expansion=layer.expansion,
        in_time=layer.kernel[0] > 1,
        se=layer.se and variant.se != "none",
        share=share,
    )


def _svg(boxes: list[_Box], titles: Iterable[tuple[int, str]], *, width_px: int) -> str:
    widest = max(max(box.width, box.expansion or 0) for box in boxes)
    most = max(box.share for box in boxes)
    parts = [
        f'<svg class="drawing" role="img" aria-label="The network, layer by layer" width="{width_px}" '
        f'height="{_HEIGHT_PX}" viewBox="0 0 {width_px} {_HEIGHT_PX}" font-size="11" fill="var(--text, #1f2328)" '
        'stroke="none" xmlns="http://www.w3.org/2000/svg">',
        f'<line x1="0" x2="{width_px}" y1="{_MIDDLE_PX}" y2="{_MIDDLE_PX}" stroke="var(--line, #d9dde2)"/>',
        *(f'<text x="{x}" y="16" font-weight="600">{escape(title)}</text>' for x, title in titles),
    ]
    for box in boxes:
        parts += _box(box, widest=widest, most=most)
    return "".join([*parts, "</svg>"])


def _box(box: _Box, *, widest: int, most: float) -> list[str]:
    centre = box.x + _LAYER_PX // 2
    fill = "var(--accent, #0072b2)" if box.in_time else "var(--page, #ffffff)"
    text = "var(--page, #ffffff)" if box.in_time else "var(--text, #1f2328)"
    parts = []
    if box.expansion is not None:
        parts.append(_rectangle(box.x, _LAYER_PX, _height(box.expansion, widest), fill="var(--cell, #f5f7f9)"))
        above = _MIDDLE_PX - _height(box.expansion, widest) // 2 - 5
        parts.append(_text(centre, above, str(box.expansion), fill="var(--faint, #59626e)"))
    inner = max(18, _height(box.width, widest))
    parts.append(_rectangle(box.x + 6, _LAYER_PX - 12, inner, fill=fill, stroke="var(--accent, #0072b2)"))
    parts.append(_text(centre, _MIDDLE_PX + 4, str(box.width), fill=text))
    parts.append(_text(centre, _KERNELS_PX, box.kernel, weight="600" if box.in_time else "400"))
    if box.se:
        parts.append(_text(centre, _SE_PX, "SE", fill="var(--faint, #59626e)"))
    bar = max(1, round(_BAR_PX * box.share / most))
    parts.append(
        f'<rect x="{box.x + 8}" y="{_BARS_PX - bar}" width="{_LAYER_PX - 16}" height="{bar}" '
        f'fill="var(--accent, #0072b2)"><title>{escape(box.name)}</title></rect>'
    )
    parts.append(_text(centre, _BARS_PX + 14, f"{100 * box.share:.0f} %", fill="var(--faint, #59626e)"))
    return parts


def _height(channels: int, widest: int) -> int:
    return max(_LOWEST_PX, round(_TALLEST_PX * math.sqrt(channels / widest)))


def _rectangle(x: int, width: int, height: int, *, fill: str, stroke: str = "var(--faint, #59626e)") -> str:
    top = _MIDDLE_PX - height // 2
    return f'<rect x="{x}" y="{top}" width="{width}" height="{height}" rx="4" fill="{fill}" stroke="{stroke}"/>'


def _text(x: int, y: int, text: str, *, fill: str = "var(--text, #1f2328)", weight: str = "400") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle" fill="{fill}" font-weight="{weight}">{escape(text)}</text>'
