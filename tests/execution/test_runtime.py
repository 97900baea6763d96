"""What the machine can do is read, not assumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import RecontrastWarning, UnknownNameError
from recontrast.execution import runtime


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: some\nflags\t\t: fpu {flags} sse2\n")
    return path


@pytest.mark.parametrize(
    ("flags", "bf16", "tiles", "int8"),
    [
        ("avx512f avx512_bf16 avx512_vnni", True, False, True),
        ("amx_bf16 amx_int8", True, True, True),
        ("avx2 avx_vnni", False, False, True),
        ("avx2", False, False, False),
    ],
)
def test_bf16_tiles_and_int8_are_read_from_the_processor_flags(
    tmp_path: Path, flags: str, bf16: bool, tiles: bool, int8: bool
) -> None:
    assert runtime.supports_int8(cpuinfo(tmp_path, flags)) is int8
    assert runtime.supports_bf16(cpuinfo(tmp_path, flags)) is bf16
    assert runtime.has_matrix_tiles(cpuinfo(tmp_path, flags)) is tiles


def test_no_cpuinfo_means_no_bf16(tmp_path: Path) -> None:
    assert not runtime.supports_bf16(tmp_path / "absent")
    assert not runtime.has_matrix_tiles(tmp_path / "absent")


def test_auto_takes_bf16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "supports_bf16", lambda: True)
    assert runtime.choose_precision("auto") == "bf16"
    assert runtime.choose_precision("fp32") == "fp32"
    monkeypatch.setattr(runtime, "supports_bf16", lambda: False)
    assert runtime.choose_precision("auto") == "fp32"
    assert runtime.choose_precision("auto", accelerated=True) == "bf16"
    with pytest.warns(RecontrastWarning, match="imitated and slow"):
        assert runtime.choose_precision("bf16") == "bf16"


def test_cores_are_those_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 64)
    assert runtime.available_cores() == 3
    monkeypatch.delattr(runtime.os, "sched_getaffinity")
    assert runtime.available_cores() == 64


@pytest.mark.parametrize(("given", "expected"), [("", 4), ("2", 2), ("3,1", 3), ("16", 4), ("0", 1), ("many", 4)])
def test_a_worker_keeps_to_its_share_of_the_cores(given: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert runtime.threads_of_process() == expected


def test_unknown_precision_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bf16'"):
        runtime.choose_precision("bf17")


def test_a_process_with_the_settings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert not runtime.is_tuned()
    for name, value in runtime.allocator_environment().items():
        monkeypatch.setenv(name, value)
        assert runtime.is_tuned()


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
    assert runtime.allocator_environment() == {}
