"""Where something was measured: processor, load, versions; figures mean nothing without them."""

import os
import platform
import re
from pathlib import Path

from joblib import cpu_count

from experiments.results import environment


def machine() -> str:
    """Return processor, cores and the load of the last minute."""
    return f"{_processor()}, {cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def versions() -> str:
    """Return what the figures were measured with."""
    found = environment("cpu")
    return ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "scipy", "numba"))


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    text = described.read_text(encoding="utf-8", errors="replace") if described.is_file() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return named[1] if named else platform.machine()
