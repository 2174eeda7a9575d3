"""From the text of a kernel to a shared library, with g++.

Every text is compiled once: the libraries are kept in the user's cache directory.
"""

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
    "-std=c++17",
    "-O2",
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    # Every product and every sum is rounded.
    "-ffp-contract=off",
    # A large frame touches the page that guards a stack, and does not jump over it.
    "-fstack-clash-protection",
]

SANITIZERS = {"address": "libasan.so", "thread": "libtsan.so", "undefined": None}
"""Sanitizer -> the library that a process must load at its start (LD_PRELOAD); None: no library."""

_DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+([\w\s]+?)\s*(\w+)\s*\[\s*\]\s*;")


class SimulationError(RuntimeError):
    """A fault of a kernel: it does not compile, or is launched wrongly.

    Behaviour that CUDA leaves undefined is such a fault, too.
    """


def shared_library(code: str, name: str, sanitizer: str | None) -> Path:
    """Return the library of the kernel `name` in the CUDA source `code`.

    Raises SimulationError, with the messages of g++, where the source does not compile.
    """
    define = []
    instrument = []
    if sanitizer:
        define = [f"-DCUDA_SIM_{sanitizer.upper()}"]
        instrument = [f"-fsanitize={sanitizer}"]
    machine = _compiled(".o", '#include "runtime.h"\n', *define, "-c")
    link = ["-shared", "-x", "none", str(machine)]
    return _compiled(".so", _translation_unit(code, name), *instrument, *link)


def preloaded(sanitizer: str) -> str | None:
    """Return the library that a process must load at its start; None if there is none.

    Raises ValueError where `sanitizer` is no sanitizer.
    """
    if sanitizer not in SANITIZERS:
        raise ValueError(f"expected a sanitizer among {', '.join(SANITIZERS)}, got {sanitizer!r}")
    return SANITIZERS[sanitizer]


def sanitizer_environment(sanitizer: str) -> dict[str, str]:
    """Return the variables with which a process must start to run kernels built with `sanitizer`.

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
        # Python does not free its memory at exit.
        "ASAN_OPTIONS": "detect_leaks=0",
    }


def _translation_unit(code: str, name: str) -> str:
    """Return C++: the headers, the text of the kernel with its line numbers, the kernel's entry."""
    if not re.search(rf"\b{name}\s*\(", code):
        raise SimulationError(
            f"expected the kernel {name} in the CUDA source, found none of that name"
        )
    code = _DYNAMIC_SHARED.sub(r"\1* const \2 = (\1*)cuda_sim::dynamic_shared();", code)
    # The kernel is renamed, because the C library has functions such as select(): a kernel of that
    # name must not be taken for one of them.
    return (
        '#include "cuda_sim.h"\n'
        '#include "entry.h"\n'
        f"#define {name} kernel_{name}\n"
        '#line 1 "kernel.cu"\n'
        f"{code}\n"
        '#line 1 "the kernel asked for"\n'
        f"CUDA_SIM_EXPORT(kernel_{name})\n"
    )


def _compiled(suffix: str, text: str, *arguments: str) -> Path:
    """Return the file that g++ makes of `text`, from the cache if it has been compiled before."""
    # `arguments` may end with files to link. g++ would take them for C++ before -x none, so the
    # text comes first.
    command = [*FLAGS, f"-I{HERE}", "-x", "c++", "-", *arguments]
    headers = [header.read_text() for header in sorted(HERE.glob("*.h"))]
    everything = "\0".join([_version(), *command, text, *headers])
    key = hashlib.sha256(everything.encode()).hexdigest()[:32]
    path = _folder() / (key + suffix)
    if not path.exists():
        _compile(command, text, path)
    return path


def _compile(command: list[str], text: str, path: Path) -> None:
    # The file gets a name that no other process uses, and is then renamed in one step: other
    # processes see the whole file or nothing.
    handle, unfinished = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    try:
        _run(*command, "-o", unfinished, text=text)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def _run(*arguments: str, text: str = "") -> str:
    """Run g++ with `text` as its input; return its output."""
    # A sanitizer that is loaded into this process would slow the compiler down many times.
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    try:
        done = subprocess.run(
            ["g++", *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=environment,
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
    """Return the version of g++ and the machine for which it compiles."""
    return _run("-dumpfullversion", "-dumpmachine")


@functools.cache
def _folder() -> Path:
    """Return the folder of the compiled files.

    It is the cache directory, or, where that cannot be written, a temporary folder that is deleted
    when the process ends.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(cache, "aopnp", "cuda_sim")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        temporary = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)
