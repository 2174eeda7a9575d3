"""The seven rooms of the package, checked by import-linter (the contracts are in
pyproject.toml)."""

import subprocess
import sys
from pathlib import Path


def test_a_file_imports_only_from_its_room_and_from_rooms_below_it_and_there_is_no_circle():
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 4 kept, 0 broken." in done.stdout
