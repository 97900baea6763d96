"""Checkpoints come back bit for bit, and a killed or failed save leaves the former one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recontrast import atomic
from recontrast.errors import CheckpointError, OutputError
from recontrast.training import checkpoint
from recontrast.training.checkpoint import (
    has_checkpoint,
    load_checkpoint,
    read_step,
    save_checkpoint,
)


def test_tensors_and_state_come_back(tmp_path: Path) -> None:
    tensors = {
        "network.weight": torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last),
        "network.bias": torch.randn(4),
        "optimizer.0.step": torch.tensor(7.0),
        "flags": torch.tensor([True, False]),
    }
    save_checkpoint(tmp_path / "last", tensors, {"step": 7, "best_score": None, "seconds": 0.1 + 0.2})
    found = load_checkpoint(tmp_path / "last")
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())
    assert found.state["seconds"] == 0.1 + 0.2
    assert found.state["best_score"] is None
    assert set(found.part("network")) == {"weight", "bias"}


def test_only_the_newest_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"a": torch.full((2,), float(step))}, {"step": step})
    assert read_step(tmp_path) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "step-00000003.safetensors"]


@pytest.mark.parametrize("dies_at", ["tensors", "state", "cleaning"])
def test_killed_in_the_middle_of_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(2)}, {"step": 1})

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    if dies_at == "tensors":
        monkeypatch.setattr(checkpoint, "save", die)
    elif dies_at == "state":
        monkeypatch.setattr(checkpoint, "write_json", die)
    else:
        monkeypatch.setattr(Path, "glob", die)
    with pytest.raises(Killed):
        save_checkpoint(tmp_path, {"a": torch.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    (tmp_path / f"{atomic.PARTIAL}123-step-00000002.safetensors").write_bytes(b"half")
    found = load_checkpoint(tmp_path)
    step = 2 if dies_at == "cleaning" else 1
    assert found.state["step"] == step
    assert found.tensors["a"].tolist() == [2.0 - step] * 2
    save_checkpoint(tmp_path, {"a": torch.zeros(2)}, {"step": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "step-00000003.safetensors"]


def test_full_disk_leaves_the_former_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(2)}, {"step": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_checkpoint(tmp_path, {"a": torch.zeros(2)}, {"step": 2})
    assert load_checkpoint(tmp_path).state["step"] == 1


def test_absent_and_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        load_checkpoint(tmp_path / "none")
    save_checkpoint(tmp_path, {"a": torch.ones(200)}, {"step": 1})
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)
