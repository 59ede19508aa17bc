"""Kernels that come with the package as LLVM's portable code, so that a first fit waits for no compiler.

``python .ci/kernels.py`` makes them, optimised but for no processor in particular; LLVM turns them into this one's code
when they are first used (`machine`). Where anything doesn't fit, numba compiles as ever.
"""

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

LIBRARY = {  # in every C library
    "sqrt", "exp", "expm1", "log", "log1p", "pow", "erf", "erfc", "tanh", "asinh", "sin", "cos", "atan", "atan2",
    "hypot", "lgamma", "memset", "memcpy", "memmove",
}  # fmt: skip
FOLDER = Path(__file__).parent / "kernels"
CONTENTS = "contents.json"  # by kernel: kind, layout, digest of sources, file; and what they were made with


@cache
def contents() -> dict[str, Any]:
    """Return what is there."""
    try:
        return dict(json.loads((FOLDER / CONTENTS).read_text()))
    except (OSError, ValueError):
        return {}


def shipped_module(key: tuple[str, str, str], sources: str) -> Any:
    """Return a kernel's LLVM module; None if there is none, or if it is of other sources or another kind of machine."""
    kernel, kind, layout = key
    found = contents().get("kernels", {}).get(kernel)
    if found is None or (found["kind"], found["layout"], found["sources"]) != (kind, layout, sources):
        return None
    if contents()["machine"] != llvm.get_default_triple() or contents()["llvm"] > llvm.llvm_version_info[0]:
        return None
    try:
        module = llvm.parse_bitcode(lzma.decompress((FOLDER / found["file"]).read_bytes()))
    except (OSError, lzma.LZMAError, RuntimeError):
        return None
    return module if all(llvm.address_of_symbol(name) for name in missing_from(module)) else None


def missing_from(module: Any) -> list[str]:
    """Return the functions of the C library that a module calls."""
    names = (function.name for function in module.functions if function.is_declaration)
    return sorted(name for name in names if not name.startswith("llvm."))
