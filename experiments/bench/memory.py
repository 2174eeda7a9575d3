"""Memory of a process and all its children: proportional set sizes, which count a shared page once."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

INTERVAL = 0.1


def peak_megabytes(command: list[str], seconds: float) -> float | None:
    """Return the largest sampled memory of `command` and its children in MB (1e6), ending it after `seconds`.

    Returns None where the system does not tell; raises CalledProcessError where the command fails by itself.
    """
    if not Path("/proc/self/smaps_rollup").is_file():
        return None
    peak, deadline = 0, time.monotonic() + seconds
    # A group of its own: whatever happens here, the command ends with all its children.
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.monotonic() < deadline and process.poll() is None:
            peak = max(peak, sum(map(_kilobytes, _tree(process.pid))))
            time.sleep(INTERVAL)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return peak * 1024 / 1e6


def _tree(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    children: list[int] = []
    with contextlib.suppress(OSError):  # ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return [pid, *(each for child in children for each in _tree(child))]


def _kilobytes(pid: int) -> int:
    with contextlib.suppress(OSError):  # ended meanwhile
        found = re.search(
            r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), flags=re.MULTILINE
        )
        return int(found[1]) if found else 0
    return 0
