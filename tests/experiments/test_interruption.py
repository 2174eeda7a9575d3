"""A command that is killed or interrupted, in processes of its own: what was finished is kept, the rest continues."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.config import seven
from tests.experiments.small import Ended, expected_files, files, train, without_times

CONFIGS = seven("digits", 8)
ALL = {(config.stem(), run) for config in CONFIGS for run in range(config.runs)}
SENTENCE = "interrupted: finished runs are kept, the same command continues with the others\n"
PATIENCE = 60.0
ROOT = Path(__file__).parents[2]


def wait_until(done: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    return done()


class Quickstart:
    """The command as a user starts it, in a process group of its own."""

    def __init__(self, out: Path, jobs: int) -> None:
        words = [
            "--device",
            "cpu",
            "--jobs",
            str(jobs),
            "--out",
            str(out),
            "--figures",
            str(out.parent / "figures"),
        ]
        self.out = out
        # A test run in the background ignores Ctrl-C, and what it starts would too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "experiments", "quickstart", *words],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)

    def finished_runs(self) -> set[tuple[str, int]]:
        waiting = [path.stem.rsplit("-run", 1) for path in self.out.glob("digits/.runs/*.json")]
        return {(stem, int(run)) for stem, run in waiting}

    def wait_for_runs(self, count: int) -> None:
        assert wait_until(
            lambda: len(self.finished_runs()) >= count or self.process.poll() is not None
        )
        assert self.process.poll() is None, self.process.communicate()

    def end(self) -> Ended:
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out, err)

    def is_gone(self) -> bool:
        """No process of the group is left; one that is dead but not buried yet does not count."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True
        ).stdout
        return not any(
            int(group) == self.process.pid and not state.startswith("Z")
            for group, state in (line.split() for line in listed.splitlines())
        )

    def kill(self) -> None:
        if not self.is_gone():
            os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture
def quickstart(out: Path) -> Iterator[Callable[[int], Quickstart]]:
    started: list[Quickstart] = []

    def start(jobs: int) -> Quickstart:
        started.append(Quickstart(out, jobs))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return [
        without_times(result) for result in train(tmp_path_factory.mktemp("undisturbed"), CONFIGS)
    ]


@pytest.mark.parametrize(("count", "jobs"), [(1, 1), (8, 2), (22, 1)])
def test_kill_9_loses_at_most_the_runs_in_flight(
    count: int,
    jobs: int,
    quickstart: Callable[[int], Quickstart],
    out: Path,
    trained: list[tuple[str, int]],
    undisturbed: list[dict[str, object]],
) -> None:
    command = quickstart(jobs)
    command.wait_for_runs(count)
    os.killpg(command.process.pid, signal.SIGKILL)
    assert command.end().code == -signal.SIGKILL
    finished = command.finished_runs()
    assert count <= len(finished) < len(ALL)
    assert [without_times(result) for result in train(out, CONFIGS)] == undisturbed
    assert len(trained) == len(ALL) - len(finished)
    assert set(trained) == ALL - finished
    assert files(out) == expected_files(out, CONFIGS)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_that_it_continues_and_leaves_no_process(
    number: signal.Signals, jobs: int, quickstart: Callable[[int], Quickstart], out: Path
) -> None:
    command = quickstart(jobs)
    command.wait_for_runs(1)
    os.kill(command.process.pid, number)
    ended = command.end()
    assert (ended.code, ended.err) == (130, SENTENCE)
    assert "scheme" not in ended.out
    assert 0 < len(command.finished_runs()) < len(ALL)
    assert wait_until(command.is_gone, 10)


def test_ctrl_c_reaches_every_process_of_a_terminal_and_the_command_continues(
    quickstart: Callable[[int], Quickstart], out: Path, undisturbed: list[dict[str, object]]
) -> None:
    command = quickstart(2)
    command.wait_for_runs(1)
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.end().err == SENTENCE
    assert wait_until(command.is_gone, 10)
    finished = command.finished_runs()
    assert 0 < len(finished) < len(ALL)
    again = quickstart(1)
    ended = again.end()
    assert (ended.code, ended.err) == (0, "")  # and no progress bar in a log
    assert ended.out.count(" +- ") == 7 * 3
    assert files(out) == expected_files(out, CONFIGS)
    assert files(out.parent / "figures") == ["quickstart.png", "quickstart.svg"]
    assert [without_times(result) for result in train(out, CONFIGS)] == undisturbed
