"""The log can be read while it grows, and is cut back when a run is resumed."""

from __future__ import annotations

import builtins
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import DependencyError
from recontrast.training import log as log_module
from recontrast.training.log import LiveLine, RunLog, read_log


def fill(run: Path, steps: range, **options: Any) -> None:
    with RunLog(run, **options) as log:
        for step in steps:
            log.write("step", step=step, loss=1 / step, lr=0.1, seconds=0.0, parts={"mse": 1 / step})
        log.write("validation", step=steps[-1], metrics={"psnr": float("nan")}, best=False)
        log.write("end", step=steps[-1], reason="done")


def test_lines_are_json_and_undefined_values_null(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 4))
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["step"] * 3 + ["validation", "end"]
    assert events[3]["metrics"] == {"psnr": None}


def test_resumed_log_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 7))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    fill(tmp_path, range(5, 8), resumed_at=4)
    assert [event["step"] for event in read_log(tmp_path) if event["event"] == "step"] == list(range(1, 8))
    assert [event["event"] for event in read_log(tmp_path)].count("end") == 1


def test_new_run_starts_a_new_log(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 4))
    fill(tmp_path, range(1, 2))
    assert len(read_log(tmp_path)) == 3
    assert read_log(tmp_path / "none") == []


def test_missing_tensorboard_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if "tensorboard" in name:
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DependencyError, match=r"recontrast\[tensorboard\]"):
        RunLog(tmp_path, tensorboard=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fill(tmp_path, range(1, 4), tensorboard=True)
    assert any((tmp_path / "tensorboard").iterdir())


def test_live_line_on_a_terminal_shows_loss_validation_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = log_module.Console
    monkeypatch.setattr(log_module, "Console", lambda **_: console(file=screen, force_terminal=True, width=120))
    with LiveLine() as line:
        line.validation(20, 0.5, "psnr", 27.123, True, 0.25, 30.0)
    shown = screen.getvalue()
    for part in ("step 20", "loss 0.5", "psnr 27.12 (best)", "0:01:30 left"):
        assert part in shown


def test_elsewhere_each_validation_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), LiveLine() as line:
        line.step(1, 0.5, 0.1, 1.0)
        line.validation(2, 0.5, "psnr", 20.0, False, 0.2, 2.0)
    assert [record.message for record in caplog.records] == ["step 2 · loss 0.5 · validation psnr 20 · 0:00:08 left"]
    caplog.clear()
    with caplog.at_level(logging.INFO), LiveLine(enabled=False) as line:
        line.validation(2, 0.5, "psnr", 20.0, False, 0.2, 2.0)
    assert caplog.records == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_loses_no_step_of_a_run_that_goes_on(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fill(tmp_path, range(1, 7), tensorboard=True)
    fill(tmp_path, range(5, 8), tensorboard=True, resumed_at=4)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("training/loss")] == list(range(1, 8))
