"""The floors of the package, checked by import-linter (the contracts stand in pyproject.toml)."""

import subprocess
import sys
from pathlib import Path


def test_a_file_imports_only_from_floors_below_its_own():
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 3 kept, 0 broken." in done.stdout
