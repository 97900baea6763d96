"""How much memory may still be taken: machine, container and process each have a say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recontrast.io.memory import available_bytes, total_bytes


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    return tmp_path


def test_the_machine_alone(machine):
    assert available_bytes(machine / "meminfo", machine / "no-cgroup") == 1000 * 1024


def test_a_container_leaves_less_but_gives_back_pages_of_files(machine):
    (machine / "memory.max").write_text("500000\n")
    (machine / "memory.current").write_text("450000\n")
    (machine / "memory.stat").write_text("anon 1\ninactive_file 30000\n")
    assert available_bytes(machine / "meminfo", machine) == 80000
    (machine / "memory.max").write_text("max\n")
    assert available_bytes(machine / "meminfo", machine) == 1000 * 1024


def test_what_there_is_in_all_does_not_change_with_what_others_take(machine):
    assert total_bytes(machine / "meminfo", machine / "no-cgroup") == 2000 * 1024
    for used in (100, 450_000):
        (machine / "memory.max").write_text("500000\n")
        (machine / "memory.current").write_text(f"{used}\n")
        assert total_bytes(machine / "meminfo", machine) == 500_000
    (machine / "memory.max").write_text("max\n")
    assert total_bytes(machine / "meminfo", machine) == 2000 * 1024


def test_nothing_known(tmp_path):
    assert available_bytes(tmp_path / "a", tmp_path / "b") is None
    assert total_bytes(tmp_path / "a", tmp_path / "b") is None
    (tmp_path / "meminfo").write_text("MemAvailable: many\n")
    assert available_bytes(tmp_path / "meminfo", tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_limit_of_the_process_counts():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (300_000_000,) * 2)\n"
        "from recontrast.io.memory import available_bytes, total_bytes; print(available_bytes(), total_bytes())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    left, limit = map(int, shown.split())
    assert 0 < left < limit == 300_000_000
