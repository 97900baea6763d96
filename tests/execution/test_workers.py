"""Cases run side by side; a failed one does not stop the others."""

from __future__ import annotations

import logging
import os
import signal
from types import SimpleNamespace

import pytest

from recontrast.errors import DataError, OutputError, RecontrastError
from recontrast.execution.workers import failures, run_cases


def jobs():
    """Functions for cases; made here so that worker processes get them by value and need not import this file."""

    def half(number):
        if number < 0:
            raise DataError(f"{number} is negative")
        return number / 2

    def broken(number):
        return [][number]

    def hungry(number):
        raise MemoryError

    def full(number):
        if number == 1:
            raise OutputError("cannot write out/a.nii: the disk is full")
        return number

    def suicidal(number):
        os.kill(os.getpid(), signal.SIGKILL)

    return SimpleNamespace(half=half, broken=broken, hungry=hungry, full=full, suicidal=suicidal)


JOBS = jobs()


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_keep_the_order_of_the_cases(workers):
    outcomes = run_cases(JOBS.half, {"a": (4,), "b": (-1,), "c": (2,)}, workers=workers, description="test")
    assert [(o.case, o.value, o.error) for o in outcomes] == [
        ("a", 2.0, None), ("b", None, "-1 is negative"), ("c", 1.0, None),
    ]  # fmt: skip
    assert failures(outcomes) == {"b": "-1 is negative"}
    assert all(o.seconds >= 0 for o in outcomes)


def test_a_bug_is_listed_and_its_traceback_logged(caplog):
    with caplog.at_level(logging.ERROR):
        outcome = run_cases(JOBS.broken, {"a": (3,)}, workers=1, description="test")[0]
    assert outcome.error == "bug: IndexError: list index out of range"
    assert "Traceback" in caplog.text


def test_lack_of_memory_says_what_to_do():
    assert "fewer workers" in str(run_cases(JOBS.hungry, {"a": (1,)}, workers=1, description="test")[0].error)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_the_rest(workers):
    with pytest.raises(OutputError, match="disk is full"):
        run_cases(JOBS.full, {str(i): (i,) for i in range(4)}, workers=workers, description="test")


def test_no_case_is_no_error():
    assert run_cases(JOBS.half, {}, workers=2, description="test") == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_killed_worker_is_explained():
    with pytest.raises(RecontrastError, match="fewer workers"):
        run_cases(JOBS.suicidal, {"a": (1,), "b": (2,)}, workers=2, description="test")
