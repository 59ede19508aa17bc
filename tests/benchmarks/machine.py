"""The machine and the versions that figures belong to."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe_machine() -> str:
    """One line: processor, cores, memory, system."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GB, {platform.system()} {platform.release()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", information.read_text()) if information.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def describe_versions() -> str:
    """One line: Python and the packages that the time goes to."""
    packages = ("hierbayes", "numpy", "scipy", "numba", "nutpie", "pymc", "duckdb")
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in packages)]
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"


def describe_commit() -> str:
    """The commit that was measured, with a + where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or "unknown"
