"""Kernels as this machine's code: made once, kept on disk, loaded by LLVM in milliseconds.

numba keeps machine code too, but it looks only at the file of a kernel, not at those of what the kernel calls, and it
links and optimises a C function anew in each process, which takes seconds. Here a file's name is a digest of the
sources of all of them, the compilers' versions and the processor.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import Any

import llvmlite.binding as llvm

from hierbayes.engine.core.arguments import ENTRY, Argument, layout_of
from hierbayes.engine.core.shipped import LIBRARY, missing_from, shipped_module

PACKAGE = Path(__file__).parents[2]
IMPORTED = re.compile(r"^ *from hierbayes\.?([\w.]*) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)
ALWAYS = ["engine.core.entry", "engine.core.arguments"]  # what every kernel is wrapped in
CALLERS = {
    f"engine.core.{name}" for name in ("machine", "shipped", "density", "routine", "nuts")
}  # make no code
GATHERED = "structures.registry"  # imports every module of its folder, by name

type Key = tuple[str, str, str]  # kernel, kind, layout of its arguments
type Kernel = (
    Callable[..., Any] | str
)  # compiled by numba; or where it is, so that neither need be imported yet

_loaded: dict[Key, int] = {}
_absent: set[Key] = set()  # neither on disk nor in the package: routines are called too often to look again
_engines: list[Any] = []  # own the machine code that addresses point to
_lock = RLock()


def address_of(kind: str, kernel: Kernel, arguments: Sequence[Argument]) -> int:
    """Return the address of the C function of a kernel (`entry`), compiled if it never was on this machine."""
    key = key_of(kind, kernel, arguments)
    with _lock:
        if key not in _loaded:
            code = ready_code(key)
            if code is None:
                from hierbayes.engine.core.entry import (
                    make_entry,  # numba's compiler: only where it is needed
                )

                module = llvm.parse_assembly(make_entry(kind, imported(kernel), arguments))
                code = machine_code(module)
                if (
                    set(missing_from(module)) <= LIBRARY
                ):  # what needs numba's own functions is of no use without it
                    keep(_file(key), code)
            _loaded[key] = link(code)
        return _loaded[key]


def ready_address_of(kind: str, kernel: Kernel, arguments: Sequence[Argument]) -> int | None:
    """Return the address of the C function of a kernel, None where numba would have to compile it."""
    key = key_of(kind, kernel, arguments)
    with _lock:
        if key not in _loaded and key not in _absent:
            code = ready_code(key)
            if code is None:
                _absent.add(key)
            else:
                _loaded[key] = link(code)
        return _loaded.get(key)


def key_of(kind: str, kernel: Kernel, arguments: Sequence[Argument]) -> Key:
    """Return what tells C functions apart."""
    name = kernel if isinstance(kernel, str) else f"{kernel.__module__}.{kernel.__qualname__}"
    return name, kind, layout_of(arguments)


def imported(kernel: Kernel) -> Callable[..., Any]:
    """Return the kernel itself, numba's function."""
    if not isinstance(kernel, str):
        return kernel
    module, _, name = kernel.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def ready_code(key: Key) -> bytes | None:
    """Return machine code that is on disk, or made from what comes with the package."""
    code = read(_file(key))
    if code is None and (portable := shipped_module(key, sources_of(_module_of(key)))) is not None:
        code = machine_code(portable)
        keep(_file(key), code)
    return code


def _module_of(key: Key) -> str:
    return key[0].rpartition(".")[0]


def _file(key: Key) -> str:
    machine = llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    versions = (version(package) for package in ("numba", "llvmlite", "numpy"))
    digest = hashlib.sha256("\n".join((*key, sources_of(_module_of(key)), *versions, *machine)).encode())
    return f"{key[0].removeprefix('hierbayes.engine.')}-{digest.hexdigest()[:24]}.o"


@cache
def sources_of(module: str) -> str:
    """Return a digest of the source of a kernel's module and of all that it imports from this package.

    A module outside the package is taken alone.
    """
    left, seen = [*ALWAYS, module.removeprefix("hierbayes.")], dict[str, bytes]()
    while left:
        name = left.pop()
        path = PACKAGE / (name.replace(".", "/") + ".py")
        if not path.exists():
            path = Path(str(getattr(sys.modules.get(name), "__file__", "")))
        if name not in seen and name not in CALLERS and path.is_file():
            seen[name] = path.read_bytes()
            left += _imports_of(seen[name].decode())
            if name == GATHERED:
                left += [f"structures.{module.stem}" for module in path.parent.glob("*.py")]
    return hashlib.sha256(b"".join(seen[name] for name in sorted(seen))).hexdigest()


def _imports_of(source: str) -> Iterator[str]:
    """Return the modules of this package that may be imported: what is imported from a package can be one too."""
    for package, several, one in IMPORTED.findall(source):
        yield package
        yield from (f"{package}.{name}".removeprefix(".") for name in re.findall(r"\w+", several or one))


@cache
def target() -> Any:
    """Return this machine as LLVM knows it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def machine_code(module: Any) -> bytes:
    """Return the object code of an LLVM module's function `ENTRY` and of what it calls, which is optimised already."""
    strip(module)
    return bytes(target().emit_object(module))


def strip(module: Any) -> None:
    """Take everything out of a module but `ENTRY` and what that calls."""
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != ENTRY:
            value.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(target(), llvm.create_pipeline_tuning_options(speed_level=0)))


def link(code: bytes) -> int:
    """Return the address of `ENTRY` of some object code, brought into memory for the rest of the process."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(ENTRY))


def folders() -> Iterator[Path]:
    """Return where machine code may be, the best place first: numba's own folders, then the user's cache."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen) / "hierbayes"
        return
    yield PACKAGE / "engine" / "__pycache__"
    if sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        caches = "~/Library/Caches"
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    yield Path(caches).expanduser() / "hierbayes"


def read(file: str) -> bytes | None:
    """Return what was kept in a file, if it is there and whole."""
    for folder in folders():
        try:
            kept = (folder / file).read_bytes()
        except OSError:
            continue
        digest, content = kept[:32], kept[32:]
        if hashlib.sha256(content).digest() == digest:
            return content
    return None


def keep(file: str, content: bytes) -> None:
    """Write a file in the first folder that can be written; in none, the next process makes it again.

    Another process sees either nothing or the whole file.
    """
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=folder)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(hashlib.sha256(content).digest() + content)
                os.replace(unfinished, folder / file)
            except OSError:
                os.unlink(unfinished)
                raise
        except OSError:
            continue
        return
