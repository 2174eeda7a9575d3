"""NVIDIA's runtime compiler without a GPU: CUDA source to machine code for a given architecture.

With an architecture sm_XX (and not compute_XX) the assembler runs too, so that what does not fit on
the chip shows.
"""

import ctypes
import functools
import importlib.util
from pathlib import Path


class CompilationError(RuntimeError):
    """What NVRTC does not compile; the message is its log."""


def installed() -> bool:
    """Return whether the wheel with NVRTC is there."""
    return _library_path() is not None


def compile_source(source: str, architecture: str) -> tuple[bytes, str]:
    """Return (machine code, log) of `source` for `architecture`, such as sm_80; CompilationError
    with the log."""
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    options = [b"--gpu-architecture=" + architecture.encode(), b"--fmad=false"]
    _check(
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None
        )
    )
    try:
        result = nvrtc.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        log = _text(program, "ProgramLog").rstrip(b"\0").decode()
        if result:
            raise CompilationError(log or _name(result))
        return _text(program, "CUBIN"), log
    finally:
        _check(nvrtc.nvrtcDestroyProgram(ctypes.byref(program)))


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(_nvrtc(), f"nvrtcGet{what}")(program, text))
    return text.raw


def _check(result: int) -> None:
    if result:
        raise CompilationError(_name(result))


def _name(result: int) -> str:
    function = _nvrtc().nvrtcGetErrorString
    function.restype = ctypes.c_char_p
    return str(function(result).decode())


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    return ctypes.CDLL(str(_library_path()))


def _library_path() -> Path | None:
    """Return the library in the wheel's folder, which is a namespace package; None where it is not
    installed."""
    try:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return None
    folders = spec.submodule_search_locations or [] if spec else []
    return next(
        (path for folder in folders for path in Path(folder, "lib").glob("libnvrtc.so.*")), None
    )
