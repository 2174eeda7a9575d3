"""Libraries are built once, seen whole, kept where the user keeps such things; importing builds
nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import SimulationError, compiler
from tests.cuda_sim.small import kernel


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler._folder.cache_clear()
    yield tmp_path / "aopnp" / "cuda_sim"
    compiler._folder.cache_clear()


@pytest.fixture
def compilations(monkeypatch):
    texts, run = [], compiler._run

    def count(*arguments, text=""):
        texts.extend([text] if text else [])
        return run(*arguments, text=text)

    monkeypatch.setattr(compiler, "_run", count)
    return texts


def build(constant):
    x = np.zeros(1)
    kernel("double* x", f"x[0] = {constant};")((1,), (1,), (x,))
    return x[0]


def test_what_has_been_compiled_is_kept_and_what_has_not_leaves_nothing(cache, compilations):
    assert [build(1), build(1), build(2)] == [1, 1, 2]
    assert len(compilations) == 3  # the machine, and each kernel
    with pytest.raises(SimulationError, match="nonsense"):
        build("nonsense")
    assert sorted(path.suffix for path in cache.iterdir()) == [".o", ".so", ".so"]


def test_a_changed_text_header_flag_or_compiler_is_compiled_anew(cache, monkeypatch, tmp_path):
    compiled = []
    monkeypatch.setattr(
        compiler, "_compile", lambda command, text, path: compiled.append(path) or path.touch()
    )
    headers = [tmp_path / header.name for header in compiler.HERE.glob("*.h")]
    for header in headers:
        header.write_text((compiler.HERE / header.name).read_text())
    monkeypatch.setattr(compiler, "HERE", tmp_path)
    assert len(headers) > 5

    def compilations(text="x", name="f", sanitizer=None):
        compiled.clear()
        compiler.shared_library(f"void {name}() {{ {text} }}", name, sanitizer)
        return len(compiled)

    assert (compilations(), compilations()) == (2, 0)
    assert [compilations("y"), compilations(name="g"), compilations(sanitizer="undefined")] == [
        1,
        1,
        2,
    ]
    changes = [
        lambda header=header: header.write_text(header.read_text() + " ") for header in headers
    ]
    changes.append(lambda: monkeypatch.setattr(compiler, "FLAGS", [*compiler.FLAGS, "-O1"]))
    changes.append(lambda: monkeypatch.setattr(compiler, "_version", lambda: "another compiler"))
    for change in changes:
        change()
        assert (compilations(), compilations()) == (2, 0)


def test_where_the_cache_cannot_be_written_a_folder_of_the_process_serves(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    show = (
        "from tests.cuda_sim.test_compiler import build\n"
        "from aopnp.arrays.cuda_sim import compiler\n"
        "print(build(5), compiler._folder())"
    )
    command = [sys.executable, "-c", show]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    value, folder = done.stdout.split()
    assert value == "5.0", done.stderr
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()  # gone with its process


def test_processes_may_build_the_same_kernel_at_once(cache):
    command = [
        sys.executable,
        "-c",
        "from tests.cuda_sim.test_compiler import build; print(build(7))",
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in running] == ["7.0\n"] * 2
    assert sorted(path.suffix for path in cache.iterdir()) == [".o", ".so"]


def test_importing_takes_numpy_alone_and_builds_nothing(cache):
    show = (
        "import sys; before = {*sys.modules}\n"
        "import aopnp.arrays.cuda_sim, aopnp.arrays.cuda_sim.device\n"
        "new = {*sys.modules} - before\n"
        "new = {name for name in new if getattr(sys.modules[name], '__spec__', None)}\n"
        "print(*{name.split('.')[0] for name in new} - {*sys.stdlib_module_names})"
    )
    environment = {**os.environ, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, env=environment
    )
    assert {*done.stdout.split()} == {"aopnp", "numpy"}, done.stderr
    assert not cache.exists()
