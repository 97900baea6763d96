"""A few hundred rounds of `make fuzz`, always the same ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_files_give_errors_of_ours(tmp_path):
    script = Path(__file__).with_name("fuzz_readers.py")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fuzz_readers; "
    code += "sys.exit(fuzz_readers.fuzz(9.0, rounds=600))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(script.parent)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "600 damaged files, 0 failures" in done.stdout
