"""How the program ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recontrast import cli


def ended(tmp_path: Path, before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m recontrast` in a process in which something was done before."""
    script = tmp_path / "program.py"
    lines = [
        "import atexit, runpy, sys, tempfile, threading",
        before,
        f"sys.argv[1:] = {list(arguments)!r}",
        "runpy.run_module('recontrast', run_name='__main__')",
    ]
    script.write_text("\n".join(lines))
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)


def test_what_is_registered_for_the_end_is_done_and_nothing_is_taken_apart(tmp_path: Path) -> None:
    before = (
        "class Large:\n    def __del__(self): print('taken apart')\n"
        "large = Large()\n"
        f"folder = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
        "atexit.register(print, 'registered')\n"
    )
    finished = ended(tmp_path, before, "list", "models")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "unet" in finished.stdout
    assert finished.stdout.endswith("registered\n")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_another_thread_is_waited_for(tmp_path: Path) -> None:
    thread = "threading.Thread(target=lambda: (threading.main_thread().join(), print('a thread is done'))).start()"
    finished = ended(tmp_path, thread, "list", "models")
    assert finished.returncode == 0
    assert finished.stdout.endswith("a thread is done\n")


@pytest.mark.parametrize(
    ("arguments", "status"), [((), cli.MENDABLE), (("--version",), cli.DONE), (("list", "nothing"), 2)]
)
def test_the_status_is_that_of_the_command(arguments: tuple[str, ...], status: int, tmp_path: Path) -> None:
    assert ended(tmp_path, "", *arguments).returncode == status
