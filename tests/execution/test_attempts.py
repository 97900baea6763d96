"""One case, tried."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from recontrast.errors import DataError, OutputError
from recontrast.execution.attempts import attempt, died_twice


def test_a_value_and_how_it_came():
    outcome = attempt(lambda a, b: a + b, "sub-01", (1, 2))
    assert (outcome.case, outcome.value, outcome.error) == ("sub-01", 3, None)
    assert outcome.seconds >= 0
    assert 10 < outcome.memory_mb < 1e6


def test_reasons_are_one_line():
    def fail():
        raise DataError("two\nlines")

    assert attempt(fail, "a", ()).error == "two lines"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("sub-01: the grids differ", "the grids differ"),
        ("sub-01 T1w: too dark", "T1w: too dark"),
        ("sub-01 T2w to T1w: the grids differ", "T2w to T1w: the grids differ"),
        ("sub-01_T1w.nii.gz: cannot be read", "sub-01_T1w.nii.gz: cannot be read"),
        ("sub-01 and sub-02 differ", "sub-01 and sub-02 differ"),
    ],
)
def test_a_reason_does_not_begin_with_its_case(message, reason):
    def fail():
        raise DataError(message)

    assert attempt(fail, "sub-01", ()).error == reason


def test_a_full_disk_is_not_the_case_s_own_trouble():
    def full():
        raise OutputError("full")

    with pytest.raises(OutputError):
        attempt(full, "a", ())


def test_memory_grows_with_what_is_held():
    code = "from recontrast.execution.attempts import peak_memory_mb; before = peak_memory_mb(); "
    code += "block = bytearray(80_000_000); block[::4096] = b'x' * len(block[::4096]); print(peak_memory_mb() - before)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 < float(child.stdout) < 100


def test_a_case_that_kills_its_worker_has_failed():
    assert "more memory" in (died_twice("a", "SIGKILL(-9)").error or "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system counts the parent too")
def test_memory_of_the_parent_is_not_counted():
    held = np.ones(40_000_000)  # 320 MB
    code = "from recontrast.execution.attempts import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert held.nbytes / 1e6 > 300 > float(child.stdout)
