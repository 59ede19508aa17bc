"""Make the kernels that come with the package: ``python .ci/kernels.py``, a minute or two.

``python .ci/kernels.py --check`` makes them too, but compares them with those that are there, and fails if they differ.
Run it whenever a kernel's source has changed; until then numba compiles that kernel on each machine.
"""

import json
import lzma
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLAIN = {  # numba: for no processor in particular, without vector registers, and nothing from an earlier run
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "NUMBA_LOOP_VECTORIZE": "0",
    "NUMBA_SLP_VECTORIZE": "0",
    "PYTHONHASHSEED": "0",
}
VECTORS = "haswell"  # the first with AVX2
COUNTED = re.compile(r"B\d+v\d+")  # in the names of metadata: how many functions numba compiled before
OVER_DRAWS = ("answers.rowloops.", "criticism.")
SHIPPED = (
    "gaussian.nestkernels.nested_log_density",
    "gaussian.nestdraws.draw_nested_conditional",
    "gaussian.kernels.log_density",
    "gaussian.conditional.draw_conditional",
    "gaussian.crossed.crossed_log_density",
    "gaussian.crossed.draw_crossed_conditional",
    "core.loops.add_gram",
    "gaussian.moments._add_level_products",
    "gaussian.moments._add_pair_products",
    "gaussian.batches._find_ends",
    "whitening.kernel.log_density",
    "whitening.kernel.forward",
    "whitening.kernel.fill_rows",
    "whitening.elimination.eliminate",
    "whitening.levels.inverse_levels",
    "whitening.sample._expand",
    "answers.paretoloops.fit_tails",
    "answers.rowloops.add_effects",
    "answers.rowloops.set_moments",
    "criticism.tails.leave_out",
    "criticism.tails.smooth_tails",
    "criticism.resampling.pick",
    "criticism.normalloops.log_densities",
    "criticism.normalloops.linear_predictors",
    "criticism.normalloops.sum_residuals",
    "criticism.normalloops.integrate",
    "criticism.canonicalloops.integrate_one",
)


def use_all() -> None:
    """Call every kernel of `SHIPPED`, whatever else is called."""
    import numpy as np

    import hierbayes as hb
    from hierbayes.answers.pareto import fit_pareto
    from hierbayes.engine.collapsed import CHAIN, CROSSED, DENSE, use_kernels

    for route in (CHAIN, DENSE, CROSSED):
        use_kernels(route)
    fit_pareto(np.linspace(1.0, 2.0, 40)[None])
    for formula, group, dataset, family in (
        ("incidence | trials(size) ~ period + (1 | herd)", "herd", "cbpp", "binomial"),
        ("Reaction ~ Days + (Days | Subject)", "Subject", "sleepstudy", "gaussian"),
    ):
        model = hb.Model(formula, hb.load_dataset(dataset), family=family)
        fit = model.fit(draws=50, tune=200, chains=2, progress=False)
        fit.predict()
        fit.loo()
        fit.logo(group)
        fit.residuals()


def make() -> dict[str, bytes]:
    """Return the files of the folder of kernels by name."""
    import llvmlite.binding as llvm

    from hierbayes.engine.core import arguments, entry, machine, routine, shipped

    made: dict[str, tuple[machine.Key, Any]] = {}
    make_entry = entry.make_entry

    def record(kind: str, kernel: Callable[..., Any], values: Any) -> str:
        text = make_entry(kind, kernel, values)
        key = machine.key_of(kind, kernel, values)
        made[key[0].removeprefix("hierbayes.").removeprefix("engine.")] = key, llvm.parse_assembly(text)
        return text

    entry.make_entry = record
    routine.ready_address_of = machine.address_of
    machine.ready_code = lambda key: None
    use_all()
    kernels, files = {}, {}
    for name in SHIPPED:
        (kernel, kind, layout), module = made[name]
        file = f"{name}.bc.xz"
        often = kind == arguments.DENSITY or name.startswith(OVER_DRAWS)
        files[file] = lzma.compress(portable(module, often), preset=9 | lzma.PRESET_EXTREME)
        sources = machine.sources_of(kernel.rpartition(".")[0])
        kernels[kernel] = {"kind": kind, "layout": layout, "sources": sources, "file": file}
    contents = {
        "machine": llvm.get_default_triple(),
        "llvm": llvm.llvm_version_info[0],
        "numba": machine.version("numba"),
        "kernels": kernels,
    }
    return files | {shipped.CONTENTS: (json.dumps(contents, indent=1) + "\n").encode()}


def uncounted(text: str) -> str:
    """Return a module whose metadata do not say when in a process it was compiled."""
    return re.sub(r"^!.*", lambda line: COUNTED.sub("", line[0]), text, flags=re.MULTILINE)


def portable(module: Any, often: bool) -> bytes:
    """Return a module's bitcode with nothing in it but its entry and what that calls, and no names but the entry's.

    In code that is called often, or of every row and draw, loops fill registers of four numbers, which most machines
    have; elsewhere LLVM takes two registers of two numbers for each. Such code takes twice as long to be turned into a
    machine's.
    """
    import llvmlite.binding as llvm

    from hierbayes.engine.core.machine import strip, target
    from hierbayes.engine.core.shipped import LIBRARY, missing_from

    strip(module)
    if often:
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        options.loop_unrolling = False  # more code, and no faster
        plain = llvm.Target.from_default_triple()
        machine = plain.create_target_machine(cpu=VECTORS, features="", opt=3, jit=True)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        strip(module)
    passes = llvm.create_new_module_pass_manager()
    passes.add_strip_symbols_pass()  # more than half of the bytes
    passes.run(module, llvm.create_pass_builder(target(), llvm.create_pipeline_tuning_options(speed_level=0)))
    declared = {function.name for function in module.functions if function.is_declaration}
    unknown = {name for name in declared if name.startswith("llvm.x86")} | set(missing_from(module)) - LIBRARY
    if unknown:
        raise SystemExit(f"kernels call {', '.join(sorted(unknown))}, which not every machine has")
    return bytes(llvm.parse_assembly(uncounted(str(module))).as_bitcode())


def main(check: bool) -> None:
    """Write the files, or compare them."""
    from hierbayes.engine.core.shipped import FOLDER

    made = make()
    there = {path.name: path.read_bytes() for path in FOLDER.iterdir()} if FOLDER.exists() else {}
    if check:
        changed = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        if changed:
            raise SystemExit(f"python .ci/kernels.py would change {', '.join(changed)} in {FOLDER}")
        return
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - made.keys():
        (FOLDER / name).unlink()
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)
    print(f"{len(made) - 1} kernels, {sum(map(len, made.values())) / 1e3:.0f} KB, in {FOLDER}")


if __name__ == "__main__":
    if all(os.environ.get(name) == value for name, value in PLAIN.items()):
        main("--check" in sys.argv)
    else:
        with tempfile.TemporaryDirectory() as empty:
            environment = os.environ | PLAIN | {"NUMBA_CACHE_DIR": str(Path(empty))}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
