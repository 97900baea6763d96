"""What was finished is kept when `translate` is started again, and only that."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.translation.conftest import TORCH, UNET, contents

from recontrast.atomic import PARTIAL
from recontrast.errors import ConfigError, OutputError
from recontrast.io.bids import find_images
from recontrast.io.nifti import write_volume
from recontrast.translation import command
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import Member
from recontrast.translation.output import read_cases
from recontrast.volume import Volume


def test_finished_cases_are_kept_and_changed_ones_made_again(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    run, out = save(model=UNET), tmp_path / "out"
    settings = TranslateSettings(run=run, input=data_set, out=out, **TORCH)
    translate(settings)
    images = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    write_volume(data_set / "sub-02/anat/sub-02_T1w.nii.gz", make_volume(seed=9))
    (out / "sub-01/anat/sub-01_desc-synthetic_T2w.json").unlink()
    summary = translate(settings)
    assert "1 were finished before" in summary.done[0]
    changed = {path.name for path in out.rglob("*.nii.gz") if path.stat().st_mtime_ns != images[path.name]}
    assert changed == {"sub-01_desc-synthetic_T2w.nii.gz", "sub-02_desc-synthetic_T2w.nii.gz"}
    undisturbed = tmp_path / "undisturbed"
    translate(TranslateSettings(run=run, input=data_set, out=undisturbed, **TORCH))
    assert contents(out) == contents(undisturbed)


def test_another_translator_makes_all_again_but_never_mixes(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run, out = save(model=UNET), tmp_path / "out"
    translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    save(run, model=Member(name="unet", options={"width": 2, "depth": 2}))
    with pytest.raises(ConfigError, match="another translator"):
        translate(TranslateSettings(run=run, input=data_set, out=out, subjects=("01",), **TORCH))
    summary = translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    assert "finished before" not in summary.done[0]
    with pytest.raises(ConfigError, match="dtype was 'float32', is now 'source'"):
        translate(TranslateSettings(run=run, input=data_set, out=out, dtype="source", **TORCH))


def test_a_case_that_cannot_be_made_again_loses_its_outdated_image(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    """Else the image of the former translator would stand beside those of the new one."""
    run, out = save(model=UNET), tmp_path / "out"
    translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    save(run, model=Member(name="unet", options={"width": 2, "depth": 2}))
    anat = data_set / "sub-02" / "anat"
    shutil.copy(anat / "sub-02_T1w.nii.gz", anat / "sub-02_run-2_T1w.nii.gz")
    link = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    link.rename(tmp_path / "away.nii.gz")
    link.symlink_to(data_set / "nowhere.nii.gz")  # as DataLad leaves it
    summary = translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    assert {"sub-01", "sub-02"} <= set(summary.failed)
    assert {path.name[:6] for path in out.rglob("*.nii.gz")} == {"sub-03"}
    assert not list((out / "sub-02").rglob("*.json"))


def test_a_source_that_is_away_for_a_moment_costs_no_image(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    """Its image is no result of a run that could not read the source, but is taken back when the source is back."""
    settings = TranslateSettings(run=save(model=UNET), input=data_set, out=tmp_path / "out", **TORCH)
    link = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    link.rename(data_set / "real.nii.gz")
    link.symlink_to(data_set / "real.nii.gz")
    translate(settings)
    before = {path.name: path.stat().st_mtime_ns for path in settings.out.rglob("*.nii.gz")}
    (data_set / "real.nii.gz").rename(tmp_path / "away.nii.gz")
    for _ in range(2):
        summary = translate(settings)
        assert "waits in .kept until it can be read" in summary.failed["sub-01"]
        assert {image.name.case.subject for image in find_images(settings.out)} == {"02", "03"}
    (tmp_path / "away.nii.gz").rename(data_set / "real.nii.gz")
    assert "3 were finished before" in translate(settings).done[0]
    assert {path.name: path.stat().st_mtime_ns for path in settings.out.rglob("*.nii.gz")} == before
    (data_set / "real.nii.gz").rename(tmp_path / "away.nii.gz")
    translate(settings)
    shutil.copy(data_set / "sub-02" / "anat" / "sub-02_T1w.nii.gz", data_set / "real.nii.gz")
    assert "2 were finished before" in translate(settings).done[0]  # it came back with other content
    assert not list((settings.out / ".kept").rglob("*.nii.gz"))


def test_stopped_in_the_middle_nothing_finished_is_lost(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, disk_of_one_image: Callable[..., Any]
) -> None:
    """The disk is full at the second image: the first stays whole, and the next run makes only the rest."""
    run, out = save(model=UNET), tmp_path / "out"
    settings = TranslateSettings(run=run, input=data_set, out=out, **TORCH)
    with disk_of_one_image(), pytest.raises(OutputError, match="the disk is full"):
        translate(settings)
    images = list(out.rglob("*.nii.gz"))
    assert len(images) == 1
    before = images[0].stat().st_mtime_ns
    assert not list(out.rglob(f"{PARTIAL}*"))
    assert "1 were finished before" in translate(settings).done[0]
    assert images[0].stat().st_mtime_ns == before
    assert len(list(out.rglob("*.nii.gz"))) == 3


def test_two_runs_into_one_folder_keep_the_rows_and_hashes_of_each_other(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a job array with some `--subjects` each: one starts and ends while the other is at work."""
    settings = TranslateSettings(run=save(), input=data_set, out=tmp_path / "out", subjects=("01",), **TORCH)
    translate_all = command._translate_all

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(command, "_translate_all", translate_all)
        translate(dataclasses.replace(settings, subjects=("02", "03")))
        return translate_all(*arguments)

    monkeypatch.setattr(command, "_translate_all", meanwhile)
    translate(settings)
    table = read_cases(settings.out)
    assert dict(zip(table["case"], table["status"], strict=True)) == {
        "sub-01": "ok", "sub-02": "ok", "sub-03_ses-1": "failed", "sub-03_ses-2": "ok",
    }  # fmt: skip
    assert len(json.loads((settings.out / "provenance.json").read_text())["inputs"]) == 3


def test_derivatives_of_the_input_are_a_good_place(save: Callable[..., Path], data_set: Path) -> None:
    out = data_set / "derivatives" / "recontrast"
    settings = TranslateSettings(run=save(), input=data_set, out=out, **TORCH)
    translate(settings)
    assert "3 were finished before" in translate(settings).done[0]


def test_moved_together_input_and_output_are_still_known(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run, out = save(), tmp_path / "out"
    translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in (run, data_set, out):
        shutil.move(folder, moved / folder.name)
    summary = translate(
        TranslateSettings(run=moved / run.name, input=moved / data_set.name, out=moved / out.name, **TORCH)
    )
    assert "3 were finished before" in summary.done[0]
