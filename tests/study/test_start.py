"""A second stage starts from one set of weights, however the study's folder is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recontrast.errors import CheckpointError
from recontrast.study.start import start_override
from recontrast.training.former import RECORD


def checkpoint(run: Path, weights: bytes, step: int = 1) -> None:
    folder = run / "checkpoints" / "last"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{step:08d}.safetensors"
    (folder / name).write_bytes(weights)
    (folder / "state.json").write_text(json.dumps({"tensors": name, "step": step}))


def provenance(run: Path, start: str = "", created: str = "") -> None:
    run.mkdir(parents=True, exist_ok=True)
    content = {"created": created, "plan": {"recipe": {"options": {"start": start}}}}
    (run / "provenance.json").write_text(json.dumps(content))


def test_other_weights_of_the_first_stage_are_noticed(tmp_path: Path) -> None:
    first, run = tmp_path / "first", tmp_path / "second"
    checkpoint(first, b"half trained")
    start_override(run, first)
    assert json.loads((run / RECORD).read_text())["job"] == "first"
    checkpoint(first, b"further on", step=2)
    start_override(run, first)  # nothing was learned yet
    checkpoint(run, b"learned")
    start_override(run, first)
    checkpoint(first, b"finished", step=3)
    with pytest.raises(CheckpointError, match="began with other weights of first"):
        start_override(run, first)


def test_a_finished_run_without_checkpoints_is_noticed_too(tmp_path: Path) -> None:
    first, run = tmp_path / "first", tmp_path / "second"
    checkpoint(first, b"half trained")
    start_override(run, first)
    (run / "translator").mkdir()
    (run / "translator" / "translator.json").write_text("{}")
    checkpoint(first, b"finished", step=2)
    with pytest.raises(CheckpointError, match="other weights"):
        start_override(run, first)


def test_a_run_of_an_older_version_has_no_record(tmp_path: Path) -> None:
    first, run = tmp_path / "first", tmp_path / "second"
    checkpoint(first, b"finished")
    checkpoint(run, b"learned")
    provenance(first, created="2026-01-02T00:00:00+00:00")
    provenance(run, created="2026-01-01T00:00:00+00:00")
    with pytest.raises(CheckpointError, match="other weights"):  # it was done before what it starts from
        start_override(run, first)
    provenance(run, created="2026-01-03T00:00:00+00:00")
    start_override(run, first)


def test_one_folder_written_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, run = Path("out/first"), Path("out/second")
    checkpoint(first, b"finished")
    there = f'recipe.options.start="{(tmp_path / first).resolve()}"'
    assert start_override(run, first) == start_override(tmp_path / run, tmp_path / first) == there
    provenance(run, start="out/first")  # as an older version wrote it: the run's settings stay the same
    assert start_override(run, first) == start_override(tmp_path / run, tmp_path / first)
    assert start_override(run, first) == 'recipe.options.start="out/first"'
    provenance(run, start="elsewhere/first")
    assert start_override(run, first) == there


def test_a_first_stage_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to start from"):
        start_override(tmp_path / "second", tmp_path / "first")
