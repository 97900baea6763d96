"""Cases run side by side; a failed one does not stop the others."""

from __future__ import annotations

import logging
import os
import signal
from types import SimpleNamespace

import pytest

from recontrast.errors import ConfigError, DataError, OutputError
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
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return SimpleNamespace(half=half, broken=broken, hungry=hungry, full=full, suicidal=suicidal)


JOBS = jobs()


@pytest.mark.parametrize("how", [{"workers": 1}, {"workers": 2}, {"workers": 2, "threads": True}])
def test_outcomes_keep_the_order_of_the_cases(how):
    outcomes = run_cases(JOBS.half, {"a": (4,), "b": (-1,), "c": (2,)}, description="test", **how)
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


@pytest.mark.parametrize("how", [{"workers": 1}, {"workers": 2}, {"workers": 2, "threads": True}])
def test_a_full_disk_stops_the_rest(how):
    with pytest.raises(OutputError, match="disk is full"):
        run_cases(JOBS.full, {str(i): (i,) for i in range(4)}, description="test", **how)


def test_no_case_is_no_error():
    assert run_cases(JOBS.half, {}, workers=2, description="test") == []


def test_a_killed_worker_fails_its_case_and_no_other():
    outcomes = run_cases(JOBS.suicidal, {"a": (1,), "b": (2,), "c": (3,)}, workers=2, description="test")
    assert list(failures(outcomes)) == ["a"]
    assert [outcome.value for outcome in outcomes] == [None, 2, 3]


def test_a_limit_that_starts_no_worker_is_refused():
    with pytest.raises(ConfigError, match=r"--memory-gb 0\.1"):
        run_cases(JOBS.half, {"a": (1,)}, workers=1, memory_gb=0.1, description="test")
