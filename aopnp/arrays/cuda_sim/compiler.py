"""From kernel text to a shared library: g++, once for every text; libraries are kept in the user's cache directory."""

import atexit
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
"""The folder of the headers."""

FLAGS = [
    *("-std=c++17", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing"),
    "-ffp-contract=off",  # every product and every sum is rounded
    "-fstack-clash-protection",  # a large frame does not jump over the page that guards a stack
]

SANITIZERS = {"address": "libasan.so", "thread": "libtsan.so", "undefined": None}
"""Sanitizer -> the library that must be in a process from its start (LD_PRELOAD), where there is one."""

_DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+([\w\s]+?)\s*(\w+)\s*\[\s*\]\s*;")


class SimulationError(RuntimeError):
    """A kernel that does not compile, is launched wrongly, or does what CUDA leaves undefined."""


def shared_library(code: str, name: str, sanitizer: str | None) -> Path:
    """Return the library of the kernel `name` in the CUDA source `code`. Raises SimulationError with g++'s words."""
    machine = _compiled(".o", '#include "runtime.h"\n', *_define(sanitizer), "-c")
    instrument = [f"-fsanitize={sanitizer}"] if sanitizer else []
    return _compiled(
        ".so", _translation_unit(code, name), *instrument, "-shared", "-x", "none", str(machine)
    )


def preloaded(sanitizer: str) -> str | None:
    """Return the library that must be in a process from its start; ValueError where `sanitizer` is no sanitizer."""
    if sanitizer not in SANITIZERS:
        raise ValueError(f"expected a sanitizer among {', '.join(SANITIZERS)}, got {sanitizer!r}")
    return SANITIZERS[sanitizer]


def sanitizer_environment(sanitizer: str) -> dict[str, str]:
    """Return the variables that a process needs from its start to run kernels built with `sanitizer`.

    Raises SimulationError where g++ has no such library.
    """
    name = preloaded(sanitizer)
    if name is None:
        return {}
    path = _run("-print-file-name=" + name).strip()
    if not os.path.isabs(path):
        raise SimulationError(f"expected the library {name} of g++, found none; install it")
    return {
        "LD_PRELOAD": os.path.realpath(path),
        "ASAN_OPTIONS": "detect_leaks=0",
    }  # Python frees nothing at exit


def _define(sanitizer: str | None) -> list[str]:
    return [f"-DCUDA_SIM_{sanitizer.upper()}"] if sanitizer else []


def _translation_unit(code: str, name: str) -> str:
    """Return C++: the headers, the kernel's text with its own line numbers, and the door to the kernel."""
    if not re.search(rf"\b{name}\s*\(", code):
        raise SimulationError(
            f"expected the kernel {name} in the CUDA source, found none of that name"
        )
    code = _DYNAMIC_SHARED.sub(r"\1* const \2 = (\1*)cuda_sim::dynamic_shared();", code)
    return (
        # The C library has functions of its own, such as select(): a kernel of that name must not be taken for one.
        f'#include "cuda_sim.h"\n#include "entry.h"\n#define {name} kernel_{name}\n#line 1 "kernel.cu"\n{code}\n'
        f'#line 1 "the kernel asked for"\nCUDA_SIM_EXPORT(kernel_{name})\n'
    )


def _compiled(suffix: str, text: str, *arguments: str) -> Path:
    """Return what g++ makes of `text`, from the cache where the very same has been compiled before."""
    # `arguments` may end with files to link, which g++ would take for C++ before -x none: the text comes first.
    command = [*FLAGS, f"-I{HERE}", "-x", "c++", "-", *arguments]
    headers = [header.read_text() for header in sorted(HERE.glob("*.h"))]
    key = hashlib.sha256("\0".join([_version(), *command, text, *headers]).encode()).hexdigest()[
        :32
    ]
    path = _folder() / (key + suffix)
    if not path.exists():
        _compile(command, text, path)
    return path


def _compile(command: list[str], text: str, path: Path) -> None:
    # A name of its own, then an atomic rename: other processes see all of the file or nothing.
    handle, unfinished = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    try:
        _run(*command, "-o", unfinished, text=text)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def _run(*arguments: str, text: str = "") -> str:
    # A sanitizer that was loaded into this process would slow the compiler down many times.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    try:
        done = subprocess.run(
            ["g++", *arguments], input=text, capture_output=True, text=True, env=environment
        )
    except OSError as error:
        raise SimulationError(
            f"expected the compiler g++, got {error}; install it (Debian: apt install g++)"
        ) from None
    if done.returncode:
        raise SimulationError(f"expected CUDA source that g++ can compile, got\n{done.stderr}")
    return done.stdout


@functools.cache
def _version() -> str:
    return _run("-dumpfullversion", "-dumpmachine")


@functools.cache
def _folder() -> Path:
    """Return the cache directory, or where it cannot be written a folder that goes when the process ends."""
    folder = Path(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "aopnp", "cuda_sim"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        temporary = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)
