from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from recontrast.errors import ConfigError, DependencyError, RecontrastWarning, UnknownNameError
from recontrast.translation.engines import choice, openvino
from recontrast.translation.engines.choice import TOLERANCE, Engines, EngineSettings
from recontrast.translation.engines.openvino import OpenVINOEngine

PROBE = np.linspace(0, 1, 3 * 8 * 8, dtype=np.float32).reshape(3, 1, 8, 8)


class Off:
    """An engine that is off by a constant."""

    version = "1"

    def __init__(self, name: str, precision: Any, offset: float) -> None:
        self.name, self.precision, self.offset = name, precision, offset

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return batch + np.float32(self.offset)

    def adapt(self, batch: np.ndarray) -> None:
        assert self.precision == "int8"
        self.learned = batch


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend a machine: which engines and precisions there are, and how far each is off."""

    def build(
        *, fast: bool = True, bf16: bool = True, off: dict[tuple[str, str], float] | None = None, **asked: Any
    ) -> Any:
        errors = off or {}
        monkeypatch.setattr(openvino, "installed", lambda: fast)
        monkeypatch.setattr(choice, "has_bf16", lambda device: bf16)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(
            openvino, "OpenVINOEngine", lambda _, p, b: Off("openvino", p, errors.get(("openvino", p), 0.0))
        )
        monkeypatch.setattr(
            choice,
            "PyTorchEngine",
            lambda _, p, d, compiled=False: Off("compiled" if compiled else "torch", p, errors.get(("torch", p), 0.0)),
        )
        chosen = Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(**asked)).choose(PROBE)
        return chosen.engine.name, chosen.engine.precision, chosen.rms

    return build


def test_auto_takes_the_fastest_that_agrees(machine: Any) -> None:
    too_far = 2 * TOLERANCE
    assert machine()[:2] == ("openvino", "bf16")
    assert machine(fast=False)[:2] == ("torch", "bf16")
    assert machine(bf16=False)[:2] == ("openvino", "fp32")
    assert machine(fast=False, bf16=False) == ("torch", "fp32", 0.0)
    assert machine(off={("openvino", "bf16"): too_far})[:2] == ("openvino", "fp32")
    assert machine(fast=False, off={("torch", "bf16"): too_far}) == ("torch", "fp32", 0.0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [((0.2, 0.1), [1, 2, 2, 2]), ((0.1, 0.2), [1, 2, 1, 1]), ((0.4, 0.1), [1, 1, 1])],
    ids=["two are faster", "one is faster", "too long to try"],
)
def test_the_reference_of_single_volumes_is_computed_in_the_faster_way(
    machine: Any, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], shown: list[int]
) -> None:
    machine()
    seen: list[int] = []
    clock = [0.0]
    plain = Off.__call__

    def watched(self: Off, batch: np.ndarray) -> np.ndarray:
        if (self.name, self.precision) == ("torch", "fp32"):
            seen.append(len(batch))
            clock[0] += seconds[len(batch) - 1]
        return plain(self, batch)

    monkeypatch.setattr(Off, "__call__", watched)
    monkeypatch.setattr(choice.time, "perf_counter", lambda: clock[0])
    volume = PROBE.reshape(1, 1, 3, 8, 8)
    engines = Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(), volumes=True)
    for _ in range(3):
        found = engines.choose(volume)
        assert (found.engine.name, found.engine.precision, found.rms) == ("openvino", "bf16", 0.0)
    assert seen == shown


def test_slices_are_their_own_reference(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(Off, "__call__", lambda self, batch: seen.append(batch.shape) or batch)
    Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings()).choose(PROBE)
    assert seen == [PROBE.shape] * 2


def test_a_difference_that_is_not_a_number_is_not_agreement(machine: Any) -> None:
    assert machine(fast=False, off={("torch", "bf16"): np.nan})[:2] == ("torch", "fp32")


def test_the_difference_is_measured_relative_to_the_range(machine: Any) -> None:
    assert machine(off={("openvino", "bf16"): 0.002})[2] == pytest.approx(0.002, rel=1e-3)


def test_fp32_and_torch_are_always_one_option_away(machine: Any) -> None:
    assert machine(precision="fp32")[:2] == ("openvino", "fp32")
    assert machine(precision="fp32", engine="torch") == ("torch", "fp32", 0.0)
    assert machine(engine="torch")[:2] == ("torch", "bf16")


def test_what_was_asked_for_is_used_even_when_it_is_off_but_not_silently(machine: Any) -> None:
    with pytest.warns(RecontrastWarning, match="differs from PyTorch in fp32 by 0.1000 of the range"):
        assert machine(engine="openvino", precision="bf16", off={("openvino", "bf16"): 0.1})[:2] == ("openvino", "bf16")


def test_openvino_asked_for_but_absent(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "installed", lambda: False)
    with pytest.raises(DependencyError, match=r"recontrast\[fast\]"):
        Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(engine="openvino"))


def test_auto_falls_back_to_pytorch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Off):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            raise DependencyError("OpenVINO cannot run this network")

    monkeypatch.setattr(openvino, "installed", lambda: True)
    monkeypatch.setattr(openvino, "OpenVINOEngine", lambda _, p, b: Fails("openvino", p, 0.0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engines = Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(precision="fp32"))
    with caplog.at_level(logging.WARNING):
        assert engines.choose(PROBE).engine.name == "torch"
        assert engines.choose(PROBE).engine.name == "torch"
    assert caplog.text.count("PyTorch is used instead") == 1


def test_int8_is_used_where_it_agrees_and_only_when_asked_for(machine: Any) -> None:
    too_far = 2 * TOLERANCE
    assert machine(precision="int8")[:2] == ("openvino", "int8")
    assert machine(precision="int8", engine="openvino")[:2] == ("openvino", "int8")
    assert machine(precision="int8", off={("openvino", "int8"): too_far})[:2] == ("openvino", "bf16")
    both = {("openvino", "int8"): too_far, ("openvino", "bf16"): too_far}
    assert machine(precision="int8", off=both)[:2] == ("openvino", "fp32")
    assert machine(precision="int8", bf16=False, off=both)[:2] == ("openvino", "fp32")


def test_int8_learns_from_more_than_the_probe_where_there_is_more(machine: Any) -> None:
    machine()
    engines = Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(precision="int8"))
    wider = np.concatenate([PROBE, PROBE])
    for more, expected in ((None, PROBE), (lambda: wider, wider)):
        engine: Any = engines.choose(PROBE, more).engine
        assert engine.learned is expected


def test_a_network_without_work_for_integers_is_run_by_the_same_engine(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    engines = Engines(torch.nn.Conv2d(1, 1, 3, 1, 1).eval(), (0.0, 1.0), EngineSettings(precision="int8"))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = engines.choose(PROBE).engine
            assert found.name == "openvino"
            assert found.precision != "int8"
    assert caplog.text.count("no convolution after the first") == 1


def test_int8_says_what_it_needs(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in ({"engine": "torch"}, {"engine": "compiled"}, {"device": "cuda"}):
        with pytest.raises(ConfigError, match="int8 needs OpenVINO and a processor"):
            EngineSettings(precision="int8", **wrong)
    with pytest.raises(ConfigError, match="see slices"):
        Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(precision="int8"), volumes=True)
    monkeypatch.setattr(choice, "supports_int8", lambda: False)
    with caplog.at_level(logging.WARNING):
        machine(precision="int8")
    assert "VNNI" in caplog.text
    monkeypatch.setattr(openvino, "installed", lambda: False)
    monkeypatch.setattr(openvino, "OpenVINOEngine", OpenVINOEngine)
    with pytest.raises(DependencyError, match=r"recontrast\[fast\]"):
        Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(precision="int8"))


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        EngineSettings(engine="openvin")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="precision"):
        EngineSettings(precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        EngineSettings(batch=-1)


def test_a_gpu_asked_for_but_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DependencyError, match="--device cpu"):
        Engines(torch.nn.Identity(), (0.0, 1.0), EngineSettings(device="cuda"))
