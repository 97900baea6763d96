"""Cases on a Dask cluster: inside this process, and as real scheduler and worker programs that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from recontrast.errors import ConfigError, DataError, OutputError, RecontrastError
from recontrast.execution.cluster import _Crew, attempt_there, on_cluster
from recontrast.execution.workers import failures, run_cases
from recontrast.provenance import version

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

pytestmark = [
    pytest.mark.usefixtures("nothing_is_left_to_collect"),
    # Dask leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def jobs():
    """Functions for cases; made here so that workers get them by value and need not import this file."""

    def half(number):
        if number < 0:
            raise DataError(f"{number} is negative")
        return number / 2

    def full(number):
        if number == 1:
            raise OutputError("cannot write out/a.nii: the disk is full")
        return number

    def here(name):
        with open(name) as file:
            return file.read()

    def suicidal(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    def slow(name):
        with open(name, "w"):
            time.sleep(600)

    return SimpleNamespace(half=half, full=full, here=here, suicidal=suicidal, slow=slow)


JOBS = jobs()


@pytest.fixture(scope="module")
def inside():
    """A cluster in this process: one worker with two threads."""
    # Port 0: without a dashboard the scheduler still opens port 8787, and warns where another has it.
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2}
    options["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(host="tcp://127.0.0.1", silence_logs=50, **options) as cluster:
        yield cluster.scheduler_address


def test_outcomes_as_on_this_machine(inside):
    outcomes = run_cases(JOBS.half, {"a": (4,), "b": (-1,), "c": (2,)}, workers=1, scheduler=inside, description="test")
    assert [(o.case, o.value, o.error) for o in outcomes] == [
        ("a", 2.0, None), ("b", None, "-1 is negative"), ("c", 1.0, None),
    ]  # fmt: skip
    assert failures(outcomes) == {"b": "-1 is negative"}


def test_a_full_disk_stops_the_rest(inside):
    with pytest.raises(OutputError, match="disk is full"):
        list(on_cluster(JOBS.full, {str(i): (i,) for i in range(4)}, inside))


def test_relative_paths_count_from_the_folder_of_the_command(inside, tmp_path, monkeypatch):
    (tmp_path / "note.txt").write_text("seen")
    monkeypatch.chdir(tmp_path)
    assert [o.value for o in on_cluster(JOBS.here, {"a": ("note.txt",)}, inside)] == ["seen"]


def test_a_worker_that_does_not_fit_refuses(tmp_path):
    other = attempt_there(abs, "a", (-1,), str(tmp_path), "0.0.0")
    assert other.error == f"a worker has Recontrast {version()}, the command 0.0.0; install the same"
    blind = attempt_there(abs, "a", (-1,), str(tmp_path / "absent"), version())
    assert "does not see the folder" in str(blind.error)


@pytest.mark.slow
def test_nobody_at_the_address(monkeypatch, tmp_path):
    monkeypatch.setattr("recontrast.execution.cluster._CONNECT_S", 0.5)
    with pytest.raises(ConfigError, match=r"--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        list(on_cluster(abs, {"a": (1,)}, "tcp://127.0.0.1:9"))
    with pytest.raises(ConfigError, match=r"scheduler\.json: there is no such scheduler file"):
        list(on_cluster(abs, {"a": (1,)}, str(tmp_path / "scheduler.json")))
    (tmp_path / "other.json").write_text('["not a scheduler"')
    with pytest.raises(ConfigError, match=r"other\.json: is not a scheduler file"):
        list(on_cluster(abs, {"a": (1,)}, str(tmp_path / "other.json")))


def test_the_file_of_a_scheduler_that_is_starting_is_waited_for(inside, tmp_path, caplog):
    file = tmp_path / "scheduler.json"
    parts = (json.dumps({"id": "Scheduler-1", "address": inside})[:20], json.dumps({"address": inside}))
    writers = [threading.Timer(delay, file.write_text, [part]) for delay, part in zip((0.3, 0.8), parts, strict=True)]
    for writer in writers:
        writer.start()
    assert [outcome.value for outcome in on_cluster(JOBS.half, {"a": (4,)}, str(file))] == [2.0]
    assert "for the scheduler to write this file" in caplog.text
    for writer in writers:
        writer.join()


@contextmanager
def programs(tmp_path, workers):
    """A scheduler and its workers as programs of their own; yields the scheduler's file and process."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "start_new_session": True}
    address = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", ":0"]
    scheduler = subprocess.Popen([*dask, "scheduler", *address, "--scheduler-file", str(file)], **common)
    command = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"]
    command += ["--memory-limit", "1GB", "--local-directory", str(tmp_path)]
    crew = [subprocess.Popen(command, **common) for _ in range(workers)]
    try:
        yield str(file), scheduler
    finally:
        for process in (*crew, scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_worker_program_that_dies_fails_its_case_and_no_other(tmp_path):
    with programs(tmp_path, workers=2) as (address, _):
        outcomes = run_cases(
            JOBS.suicidal, {str(i): (i,) for i in range(8)}, workers=1, scheduler=address, description="test"
        )
        assert list(failures(outcomes)) == ["3"]
        assert "died again when this case was tried alone" in failures(outcomes)["3"]
        assert [outcome.value for outcome in outcomes if outcome.error is None] == [0, 1, 2, 4, 5, 6, 7]


class _Forgetful:
    """A client whose scheduler is there but drops the first tasks it is given, as when all workers leave at once."""

    status = "running"

    def __init__(self, drops):
        self.drops, self.given = drops, 0

    def submit(self, _, function, case, arguments, folder, wanted, *, key, pure):
        self.given += 1
        dropped = self.given <= self.drops
        future = SimpleNamespace(key=key, status="cancelled" if dropped else "finished")
        future.exception = lambda: None
        future.result = lambda: attempt_there(function, case, arguments, folder, wanted)
        future.release = lambda: None
        future.add_done_callback = lambda put: put(future)
        return future

    def cancel(self, futures):
        pass


@pytest.mark.parametrize(("drops", "given"), [(0, 1), (1, 2), (3, 4)])
def test_a_case_the_scheduler_dropped_is_given_again(drops, given):
    client = _Forgetful(drops)
    done = list(_Crew(client, JOBS.half, "tcp://here:1").finish({"a": (3,)}, 10))
    assert [(key, outcome.value) for key, outcome in done] == [("a", 1.5)]
    assert client.given == given


def test_a_case_dropped_again_and_again_ends_the_command():
    with pytest.raises(RecontrastError, match="connection to the Dask scheduler was lost"):
        list(_Crew(_Forgetful(99), JOBS.half, "tcp://here:1").finish({"a": (3,)}, 10))


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("recontrast.execution.cluster._LOOK_S", 0.5)
    with programs(tmp_path, workers=1) as (address, scheduler):
        running = tmp_path / "running"

        def kill():
            deadline = time.monotonic() + 200
            while not running.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            os.killpg(scheduler.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(RecontrastError, match="connection to the Dask scheduler was lost"):
            list(on_cluster(JOBS.slow, {"a": (str(running),)}, address))
        killer.join()


@pytest.mark.slow
def test_the_page_about_clusters_runs_as_printed(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "twenty-thousand-cases-on-a-cluster.md"
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    with socket.socket() as probe:  # several of these tests may run at once
        probe.bind(("127.0.0.1", 0))
        commands = commands.replace("8790", str(probe.getsockname()[1]))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            errors = process.communicate(timeout=600)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors[-3000:]
    made = {path.name: path.read_bytes() for path in (tmp_path / "prepared").rglob("*.nii.gz")}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "prepared-on-cluster").rglob("*.nii.gz")}
    assert made
