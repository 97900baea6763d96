"""Cases in this process: one after the other, and in threads."""

from __future__ import annotations

import os
import threading
import time

import pytest

from recontrast.errors import OutputError
from recontrast.execution.here import in_threads, in_turn


def test_in_turn_is_lazy():
    done = []
    outcomes = in_turn(done.append, {"a": (1,), "b": (2,)})
    assert next(outcomes).case == "a"
    assert done == [1]


def test_threads_share_the_process_and_keep_to_their_number():
    busy, most, lock = 0, 0, threading.Lock()

    def work(_):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1
        return os.getpid()

    outcomes = list(in_threads(work, {str(i): (i,) for i in range(6)}, workers=2))
    assert {outcome.value for outcome in outcomes} == {os.getpid()}
    assert most == 2


def test_a_full_disk_lets_running_threads_finish_and_starts_no_other(tmp_path):
    def full(number):
        if number == 1:
            raise OutputError("cannot write out/a.nii: the disk is full")
        time.sleep(0.5)
        (tmp_path / f"{number}").touch()

    with pytest.raises(OutputError, match="full"):
        list(in_threads(full, {str(i): (i,) for i in range(8)}, workers=2))
    assert {path.name for path in tmp_path.iterdir()} == {"0"}
