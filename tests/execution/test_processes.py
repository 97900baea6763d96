"""Cases on this machine: processes, those that die, and those that want too much memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from recontrast.errors import OutputError
from recontrast.execution import processes
from recontrast.execution.processes import end_processes, in_processes, start_processes


def jobs():
    """Functions for cases; made here so that worker processes get them by value and need not import this file."""

    def half(number):
        return number / 2

    def suicidal(number, folder):
        """The case 2 kills its process at the first try, the case 3 at every try."""
        first = not (folder / f"tried-{number}").exists()
        (folder / f"tried-{number}").touch()
        if number == 3 or (number == 2 and first):
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    def hungry(gigabytes):
        import numpy as np

        return int(np.ones(int(gigabytes * 1e9), np.uint8)[::4096].sum())

    def full(number, folder):
        if number == 1:
            raise OutputError("cannot write out/a.nii: the disk is full")
        time.sleep(0.5)
        (folder / f"{number}").touch()

    return SimpleNamespace(half=half, suicidal=suicidal, hungry=hungry, full=full)


JOBS = jobs()


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    end_processes()


@pytest.mark.slow
def test_processes_that_were_started_early_do_the_cases(tmp_path):
    def touch(folder):
        (folder / str(os.getpid())).touch()
        raise ValueError("what goes wrong here is met again by the cases")

    start_processes(touch, (tmp_path,), 2)
    outcomes = list(in_processes(lambda _: os.getpid(), {str(n): (n,) for n in range(6)}, 2))
    assert {str(outcome.value) for outcome in outcomes} == {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_processes_are_kept_and_replaced_when_they_die_meanwhile():
    def me(_):
        return os.getpid()

    first = {outcome.value for outcome in in_processes(me, {"a": (1,)}, workers=1)}
    assert {outcome.value for outcome in in_processes(me, {"a": (1,)}, workers=1)} == first
    os.kill(*first, signal.SIGKILL)
    time.sleep(0.5)
    (other,) = in_processes(me, {"a": (1,)}, workers=1)
    assert other.error is None
    assert other.value not in first


@pytest.mark.slow
def test_a_process_that_grows_goes_on():
    """Kept templates and networks are no leak: a process replaced between two cases would have to load them again."""

    def grow(_):
        import numpy as np

        sys.__dict__.setdefault("kept_by_the_test", []).append(np.ones(200_000_000, np.uint8))
        time.sleep(1.1)  # the growth is looked at once a second
        return os.getpid()

    outcomes = list(in_processes(grow, {str(number): (number,) for number in range(4)}, workers=1))
    assert len({outcome.value for outcome in outcomes}) == 1


def test_processes_kept_too_long_are_not_given_another_case(monkeypatch):
    def me(_):
        return os.getpid()

    (first,) = in_processes(me, {"a": (1,)}, workers=1)
    monkeypatch.setattr(processes, "_REUSED_S", 0.0)
    (other,) = in_processes(me, {"a": (1,)}, workers=1)
    assert other.value != first.value


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_case(tmp_path):
    outcomes = {o.case: o for o in in_processes(JOBS.suicidal, {str(i): (i, tmp_path) for i in range(6)}, workers=2)}
    assert sorted(outcomes) == ["0", "1", "2", "3", "4", "5"]
    assert {key for key, outcome in outcomes.items() if outcome.error} == {"3"}
    assert "died again when this case was tried alone" in outcomes["3"].error
    assert "SIGKILL" in outcomes["3"].error
    assert os.getpid() not in {outcome.value for outcome in outcomes.values()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set as Linux has it")
def test_memory_of_a_worker_is_bounded():
    outcomes = {o.case: o for o in in_processes(JOBS.hungry, {"much": (2.0,), "little": (0.01,)}, 1, memory_gb=1.0)}
    assert "not enough memory" in (outcomes["much"].error or "")
    assert outcomes["little"].error is None
    assert outcomes["little"].memory_mb < 1000


@pytest.mark.slow
def test_a_full_disk_stops_processes(tmp_path):
    with pytest.raises(OutputError, match="full"):
        list(in_processes(JOBS.full, {str(i): (i, tmp_path) for i in range(8)}, workers=2))
    assert len(list(tmp_path.iterdir())) <= 2


SCRIPT = """
import os, sys, time
from recontrast.execution.processes import in_processes, start_server
if SERVED:
    start_server(["colorsys"], 1)
def work(n):
    print(os.getpid(), "colorsys" in sys.modules, flush=True)
    time.sleep(60)
list(in_processes(work, {"a": (1,)}, workers=1))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a child learns of its parent's end on Linux")
@pytest.mark.parametrize("served", [False, True])
def test_workers_end_when_the_command_is_killed(served):
    script = SCRIPT.replace("SERVED", str(served))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as command:
        worker, imported = command.stdout.readline().split()
        assert imported == str(served)
        command.kill()
        command.wait()
        deadline = time.monotonic() + 10
        while is_running(int(worker)) and time.monotonic() < deadline:
            time.sleep(0.02)
        command.stdout.close()
    assert not is_running(int(worker))


DYING = """
import os, signal, sys
from recontrast.execution.processes import in_processes, start_server
start_server(["colorsys"], 2)
def work(number, tried):
    if number == 1 and not os.path.exists(tried):
        open(tried, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "colorsys" in sys.modules, os.environ["OMP_NUM_THREADS"]
for outcome in in_processes(work, {str(n): (n, sys.argv[1]) for n in range(3)}, workers=2):
    print(outcome.case, *outcome.value, outcome.error)
print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
def test_a_forked_process_that_dies_takes_only_its_own_case(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", DYING, tmp_path / "tried"], capture_output=True, text=True, timeout=300, check=True
    )
    *outcomes, environment = done.stdout.splitlines()
    assert sorted(outcomes) == [f"{number} True 7 None" for number in range(3)]
    assert environment == "7 None"
    assert "1: its worker process died (SIGKILL(-9)); it is tried again at the end" in done.stderr


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
