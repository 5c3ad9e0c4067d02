"""Run as a program: the GPU kernels compiled for devices that need not be here; prints how many wide loads each has."""

import json
import sys

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from supernet.depthwise import triton_kernels

KERNELS = ("_forward", "_input_gradient", "_weight_gradient")
SIZES = {"ALIGN": 8, "KT": 3, "KH": 3, "KW": 3, "P": 32, "C": 64, "X": 4}


def wide_loads(name, dtype, capability, stride):
    kernel = getattr(triton_kernels, name)
    constants = {key: value for key, value in {**SIZES, "STRIDE": stride}.items() if key in kernel.arg_names}
    signature = {}
    for argument in kernel.arg_names:
        pointee = "fp32" if argument in ("w_ptr", "parts_ptr") else dtype
        signature[argument] = f"*{pointee}" if argument.endswith("_ptr") else "i32"
    signature |= dict.fromkeys(constants, "constexpr")
    places = {argument: (index,) for index, argument in enumerate(kernel.arg_names)}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={places[key]: value for key, value in constants.items()},
        attrs={places[key]: [["tt.divisibility", 16]] for key in places if key.endswith("_ptr")},
    )
    compiled = compile(source, target=GPUTarget("cuda", capability, 32))
    assert compiled.asm["cubin"]
    return compiled.asm["ptx"].count("ld.global.v4")


if __name__ == "__main__":
    found = {
        f"{name} {dtype} sm_{capability} stride {stride}": wide_loads(name, dtype, capability, stride)
        for name in KERNELS
        for dtype in ("fp32", "bf16")
        for capability, stride in ((80, 2), (90, 1))
    }
    json.dump(found, sys.stdout)
