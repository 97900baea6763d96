"""`prepare` from end to end: what is made, what fails, what is kept."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.preparation.conftest import write_raw

from recontrast.errors import (
    ConfigError,
    DataError,
    LayoutError,
    MissingContrastError,
    OutputError,
    RecontrastWarning,
    UnknownNameError,
)
from recontrast.io.bids import Case, read_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.preparation.case import LEDGER
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.placement import Placement
from recontrast.preparation.quality import QUALITY_COLUMNS
from recontrast.preparation.splits import read_splits
from recontrast.volume import Volume, same_grid


@pytest.fixture
def settings(raw, tmp_path):
    return PrepareSettings(bids=raw(4), out=tmp_path / "out", align=False, workers=1)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the provenance, which holds the time of day."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "provenance.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def status(folder: Path) -> dict[str, str]:
    table = read_table(folder / "cases.tsv", text_columns=("case", "status", "message"))
    return dict(zip(table["case"], table["status"], strict=True))


def image(tmp_path: Path, subject: str, contrast: str) -> Path:
    return tmp_path / "raw" / f"sub-{subject}" / "anat" / f"sub-{subject}_{contrast}.nii.gz"


def test_a_cohort_is_prepared(settings):
    summary = prepare(settings)
    assert summary.failed == {}
    assert summary.done[0] == f"prepared 4 of 4 cases in {settings.out}"
    assert summary.done[2] == "subjects: 2 train, 1 validation, 1 test"
    assert set(status(settings.out).values()) == {"ok"}
    provenance = json.loads((settings.out / "provenance.json").read_text())
    assert provenance["stage"] == "prepare"
    assert len(provenance["inputs"]) == 8
    assert json.loads((settings.out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert len(read_table(settings.out / "quality.tsv")) == 8


@pytest.mark.slow
def test_two_workers_give_the_same_bytes_as_one(settings, tmp_path):
    prepare(settings)
    prepare(replace(settings, out=tmp_path / "two", workers=2))
    assert contents(settings.out) == contents(tmp_path / "two")


def test_alignment_is_part_of_it_and_repeatable(settings, tmp_path):
    for out in ("a", "b"):
        prepare(replace(settings, out=tmp_path / out, align=True, subjects=("01",), test=("01",)))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    quality = read_table(tmp_path / "a" / "quality.tsv")
    assert quality["shift_left_mm"].notna().tolist() == [False, True]


def test_finished_cases_are_kept(settings, tmp_path):
    prepare(settings)
    before = contents(settings.out)
    assert prepare(replace(settings, workers=2)).done[0].endswith("(4 kept)")
    assert contents(settings.out) == before


def test_new_subjects_join_and_old_ones_keep_their_split(settings, head):
    prepare(settings)
    before = {case.key: case.split for case in read_cohort(settings.out).cases}
    for number in range(5, 9):
        for contrast in ("T1w", "T2w"):
            write_raw(settings.bids, Case(f"{number:02d}"), contrast, head(contrast, seed=number))
    assert prepare(settings).done[0].endswith("(4 kept)")
    after = {case.key: case.split for case in read_cohort(settings.out).cases}
    assert len(after) == 8
    assert {key: after[key] for key in before} == before


def test_other_settings_are_not_mixed_in(settings):
    prepare(settings)
    with pytest.raises(ConfigError, match=r"other settings \(seed was 0, is now 1\)"):
        prepare(replace(settings, seed=1))
    path = settings.out / "provenance.json"
    known = json.loads(path.read_text())
    del known["settings"]["low_quality"]  # of a version that did not have it
    path.write_text(json.dumps(known))
    assert prepare(settings).done[0].endswith("(4 kept)")


def test_a_folder_with_other_files_is_left_alone(settings):
    settings.out.mkdir()
    (settings.out / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        prepare(settings)
    assert [path.name for path in settings.out.iterdir()] == ["thesis.txt"]


def spoil(tmp_path: Path, how: str, head) -> None:
    path = image(tmp_path, "02", "T2w")
    volume = head("T2w", seed=2)
    if how == "missing":
        path.unlink()
    elif how == "zero":
        write_volume(path, volume.with_data(np.zeros_like(volume.data)))
    elif how == "nan":
        write_volume(path, volume.with_data(np.where(volume.data > 500, np.nan, volume.data)))
    elif how == "4D":
        import nibabel as nib

        nib.save(nib.Nifti1Image(np.stack([volume.data] * 2, -1), volume.affine), path)
    elif how == "grid":
        write_volume(path, Volume(volume.data[1:], volume.affine))
    elif how == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif how == "twice":
        write_raw(tmp_path / "raw", Case("02"), "T2w", volume, run="1")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "has no T2w without a space entity; there is: T1w"),
        ("zero", "sub-02_T2w.nii.gz: all voxels are zero"),
        ("nan", "voxels are not finite"),
        ("4D", "has 4 axes"),
        ("grid", "T2w to T1w: the grids differ"),
        ("truncated", "truncated or damaged"),
        ("twice", "2 files are T2w"),
    ],
)
def test_one_bad_case_is_listed_and_the_rest_goes_on(settings, tmp_path, head, how, words):
    spoil(tmp_path, how, head)
    summary = prepare(replace(settings, contrasts=("T1w", "T2w")))
    assert list(summary.failed) == ["sub-02"]
    assert words in summary.failed["sub-02"]
    assert "\n" not in summary.failed["sub-02"]
    assert not summary.failed["sub-02"].startswith(("sub-02: ", "sub-02 "))  # the tables name the case beside it
    assert status(settings.out) == {"sub-01": "ok", "sub-02": "failed", "sub-03": "ok", "sub-04": "ok"}
    assert [case.key for case in read_cohort(settings.out).cases] == ["sub-01", "sub-03", "sub-04"]
    assert read_cohort(settings.out).failed["sub-02"] == summary.failed["sub-02"]


def test_a_mended_case_is_made_at_the_next_start(settings, tmp_path, head):
    spoil(tmp_path, "zero", head)
    assert prepare(settings).failed
    write_raw(settings.bids, Case("02"), "T2w", head("T2w", seed=2))
    summary = prepare(settings)
    assert summary.failed == {}
    assert summary.done[0].endswith("(3 kept)")


def test_a_contrast_that_is_not_common_is_left_out_with_a_warning(settings, tmp_path):
    image(tmp_path, "03", "T2w").unlink()
    with pytest.warns(RecontrastWarning, match="T2w is left out: sub-03 has none"):
        prepare(settings)
    assert read_cohort(settings.out).contrasts == ("T1w",)


def test_no_common_contrast(settings, tmp_path):
    image(tmp_path, "03", "T2w").unlink()
    image(tmp_path, "04", "T1w").unlink()
    with pytest.raises(MissingContrastError, match=r"T1w is absent in sub-04; T2w is absent in sub-03"):
        prepare(settings)


def test_all_cases_failed(settings):
    with pytest.raises(DataError, match=r"not one of 4 cases could be prepared: sub-01: has no FLAIR"):
        prepare(replace(settings, contrasts=("T1w", "FLAIR")))
    assert set(status(settings.out).values()) == {"failed"}


def test_stray_names_give_a_warning(settings):
    stray = settings.bids / "sub-01" / "anat" / "sub-01_T1w_desc-cord_mask.nii.gz"
    stray.write_bytes(b"")
    with pytest.warns(RecontrastWarning, match="1 files are left out.*desc-cord_mask"):
        assert not prepare(settings).failed


def test_a_subject_without_an_image_of_a_bids_name_is_named(settings):
    stray = settings.bids / "sub-07" / "anat" / "sub-07_T1w (1).nii.gz"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    (settings.bids / "sub-08").mkdir()
    with pytest.warns(RecontrastWarning) as told:
        prepare(settings)
    words = [str(one.message) for one in told]
    assert any("1 files are left out" in word and "sub-07_T1w (1).nii.gz" in word for word in words)
    assert any("2 subjects are left out, they have no image: sub-07, sub-08" in word for word in words)
    prepare(replace(settings, out=settings.out.with_name("some"), subjects=("01", "02", "03")))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"recipe": "nativ"}, UnknownNameError, "did you mean 'native'"),
        ({"grid": "FLAIR"}, UnknownNameError, "contrast in --grid"),
        ({"subjects": ("99",)}, UnknownNameError, "--subjects"),
        ({"test": ("99",)}, UnknownNameError, "--test"),
        ({"contrasts": ("run-1_T1w",)}, ConfigError, "run-1"),
        ({"workers": 0}, ConfigError, "workers"),
        ({"regions": Path("absent")}, ConfigError, "--regions absent"),
        ({"splits": Path("absent")}, ConfigError, "--splits absent"),
        ({"subjects": ("01",)}, ConfigError, "--test 01"),
        ({"test": ("01",), "validation": ("01",)}, LayoutError, "two splits"),
        ({"bids": Path("absent")}, LayoutError, "no such folder"),
    ],
)
def test_wrong_settings_write_nothing(settings, change, error, words):
    with pytest.raises(error, match=words):
        prepare(replace(settings, **change))
    assert not settings.out.exists() or not any(settings.out.rglob("*.nii.gz"))


@pytest.mark.parametrize(
    ("recipe", "option", "others"),
    [
        ("native", "size", "brats, localizer, t1-linear"), ("fixed-scale", "size", "brats, localizer, t1-linear"),
        ("native", "slices", "brats, localizer"), ("t1-linear", "slices", "brats, localizer"),
    ],
)  # fmt: skip
def test_what_the_recipe_has_no_use_for_is_refused(settings, tmp_path, recipe, option, others):
    """It was ignored without a word, by the default recipe, too."""
    table = tmp_path / "slices.tsv"
    table.write_text("case\tfirst\tlast\nsub-01\t3\t5\n")
    given = {"size": (16, 16, 4), "slices": table}[option]
    with pytest.raises(ConfigError, match=rf"--{option}: the recipe {recipe} has no use for it.*--recipe {others}\)"):
        prepare(replace(settings, recipe=recipe, align=False, **{option: given}))
    assert not settings.out.exists()


def test_an_output_that_is_a_file(settings):
    settings.out.write_text("")
    with pytest.raises(OutputError, match="a file of that name"):
        prepare(settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_output(settings):
    settings.out.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        prepare(settings)


def test_a_full_disk_stops_at_once_and_a_second_start_finishes(settings, tmp_path, monkeypatch):
    prepare(replace(settings, out=tmp_path / "whole"))

    def full(path, *arguments, **options):
        if "sub-03" in path.name:
            raise OutputError(f"cannot write {path}: {os.strerror(errno.ENOSPC)}")
        write_volume(path, *arguments, **options)

    monkeypatch.setattr("recontrast.preparation.case.write_volume", full)
    with pytest.raises(OutputError, match="No space left"):
        prepare(settings)
    assert sorted(path.name for path in (settings.out / LEDGER).iterdir()) == ["sub-01.json", "sub-02.json"]
    monkeypatch.undo()
    assert prepare(settings).done[0].endswith("(2 kept)")
    assert contents(settings.out) == contents(tmp_path / "whole")


SCRIPT = """
import sys
from pathlib import Path
from recontrast.preparation.pipeline import PrepareSettings, prepare
prepare(PrepareSettings(bids=Path(sys.argv[1]), out=Path(sys.argv[2]), align=False, workers=int(sys.argv[3])))
"""


def start(settings, workers="1", **options):
    command = [sys.executable, "-c", SCRIPT, str(settings.bids), str(settings.out), workers]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


@pytest.mark.slow
def test_a_limit_on_file_size_is_one_clear_error(settings):
    limit = 2000  # bytes: tables fit, images do not

    def bound():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with start(settings, preexec_fn=bound) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "OutputError: cannot write" in errors.splitlines()[-1]
    assert "too large for this file system or limit" in errors.splitlines()[-1]
    assert not [path for path in settings.out.rglob("*.nii.gz") if path.stat().st_size >= limit]
    assert not list(settings.out.rglob(".partial-*"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_in_the_middle_loses_nothing_and_ends_in_the_same_bytes(settings, tmp_path, head, workers):
    for number in range(5, 13):
        for contrast in ("T1w", "T2w"):
            write_raw(settings.bids, Case(f"{number:02d}"), contrast, head(contrast, seed=number))
    prepare(replace(settings, out=tmp_path / "whole"))
    whole = contents(tmp_path / "whole")
    with start(settings, workers) as process:
        deadline = time.monotonic() + 300
        while not list((settings.out / LEDGER).glob("sub-*.json")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    made = contents(settings.out)
    finished = [name for name in made if name.startswith(LEDGER) and ".partial-" not in name]
    assert 1 <= len(finished) <= 12
    assert all(whole[name] == made[name] for name in made if ".partial-" not in name)
    assert f"({len(finished)} kept)" in prepare(settings).done[0]
    assert contents(settings.out) == whole


def test_a_recipe_brings_its_scale_and_what_is_needed_to_go_back(settings, head, tmp_path):
    for number in range(1, 5):
        path = settings.bids / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_desc-brain_mask.nii.gz"
        write_volume(path, head().with_data((head(seed=number).data > 450).astype(np.uint8)), np.uint8)
    (tmp_path / "slices.tsv").write_text("".join(["case\tfirst\tlast\n", *(f"sub-0{n}\t3\t12\n" for n in range(1, 5))]))
    prepare(replace(settings, recipe="brats", size=(24, 20), slices=tmp_path / "slices.tsv", test=("01",)))
    cohort = read_cohort(settings.out)
    assert cohort.scale_settings.name == "minmax"
    path = cohort.cases[0].images["T2w"]
    placement = Placement.from_dict(read_sidecar(path))
    raw = read_volume(settings.bids / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    assert same_grid(placement.to_source(read_volume(path)), raw)


def test_one_scale_for_all_subjects_comes_from_the_training_ones_and_stays(settings, head, tmp_path):
    fixed = replace(settings, recipe="fixed-scale", test=("04",), validation=("03",))
    loud = head("T1w", seed=4)
    write_raw(settings.bids, Case("04"), "T1w", loud.with_data(loud.data * 50))
    prepare(fixed)
    scales = [case.scales["T1w"] for case in read_cohort(settings.out).cases]
    assert len(set(scales)) == 1
    assert scales[0].factor < 2000  # the loud test subject was not asked
    assert read_cohort(settings.out).scale_settings.contrasts[0].startswith("T1w=")
    assert prepare(fixed).done[0].endswith("(4 kept)")


def test_test_subjects_alone_fail_for_their_own_reason_without_a_scale(settings):
    alone = replace(settings, recipe="fixed-scale", subjects=("01",), test=("01",))
    with (
        pytest.warns(RecontrastWarning, match=r"no training subject, .*--scale.contrasts"),
        pytest.raises(DataError, match=r"sub-01: scale 'fixed' of T1w needs .*scale.contrasts T1w=RANGE"),
    ):
        prepare(alone)
    gone = replace(alone, contrasts=("T1w", "FLAIR"), out=settings.out.with_name("gone"))
    with (
        pytest.warns(RecontrastWarning, match="no training subject"),
        pytest.raises(DataError, match="sub-01: has no FLAIR"),
    ):
        prepare(gone)
    table = read_table(gone.out / "cases.tsv", text_columns=("case", "status", "message"))
    assert table["message"][0].startswith("has no FLAIR")


def test_copies_and_grades_by_hand_are_in_the_quality_table(settings, head, tmp_path):
    write_raw(settings.bids, Case("03"), "T1w", head("T1w", seed=2))
    grades = tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\ttier\nsub-01\tT1w\tlow\n")
    with pytest.warns(RecontrastWarning, match="sub-0. T1w: the same voxels as sub-0."):
        prepare(replace(settings, grades=grades))
    table = read_table(settings.out / "quality.tsv", text_columns=("case", "contrast", "tier", "duplicate_of"))
    assert tuple(table.columns) == QUALITY_COLUMNS
    rows = table.set_index(["case", "contrast"])
    assert rows.loc[("sub-02", "T1w"), "duplicate_of"] == "sub-03"
    assert rows.loc[("sub-01", "T1w"), "tier"] == "low"
    assert rows.loc[("sub-01", "T1w"), "graded_by"] == "person"


def test_a_rejected_image_is_not_learned_from(settings, tmp_path):
    """Also where an earlier run, before anybody rejected it, prepared it."""
    grades = tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\ttier\nsub-01\tT1w\tgood\n")
    asked = replace(settings, grades=grades)
    prepare(asked)
    assert (settings.out / "sub-01").is_dir()
    grades.write_text("case\tcontrast\ttier\nsub-01\tT1w\treject\nsub-02\tFLAIR\treject\n")
    told = "1 cases are left out, an image of theirs was rejected|1 of 2 rows mean no image"
    with pytest.warns(RecontrastWarning, match=told):
        summary = prepare(asked)
    assert summary.failed == {}
    assert status(settings.out) == {**{f"sub-0{n}": "ok" for n in (2, 3, 4)}, "sub-01": "rejected"}
    cohort = read_cohort(settings.out)
    assert cohort.rejected == {"sub-01": f"a person rejected T1w (tier reject in {grades})"}
    assert cohort.failed == {}
    assert set(read_splits(settings.out / "splits.tsv")) == {"02", "03", "04"}
    assert not list((settings.out / "sub-01").rglob("*.nii.gz"))


@pytest.mark.parametrize("option", ["test", "validation"])
def test_a_rejected_subject_that_is_named_for_a_split_is_not_called_unknown(settings, tmp_path, option):
    grades = tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\ttier\nsub-01\tT1w\treject\n")
    said = rf"--{option} sub-01: left out, a person rejected sub-01 \(T1w\) \(tier reject in .*grades\.tsv\)"
    with pytest.warns(RecontrastWarning, match="1 cases are left out"), pytest.raises(ConfigError, match=said):
        prepare(replace(settings, grades=grades, **{option: ("sub-01",)}))
    assert not settings.out.exists()


def test_a_scale_that_low_subjects_take_part_in_is_said(settings):
    with pytest.warns(RecontrastWarning, match="the scale is fitted before quality is known"):
        prepare(replace(settings, recipe="fixed-scale", low_quality="test", contrasts=("T1w",)))


def test_subjects_with_a_low_image_are_tested_on_when_asked(settings, tmp_path):
    """As in Bottani 2024: good and medium pairs train, pairs with a low image are a test set of their own."""
    grades = tmp_path / "grades.tsv"
    lines = [
        f"sub-0{i}\t{c}\t{'low' if (i, c) == (1, 'T1w') else 'good'}\n" for i in range(1, 5) for c in ("T1w", "T2w")
    ]
    grades.write_text("case\tcontrast\ttier\n" + "".join(lines))
    asked = replace(settings, grades=grades, test=("04",), validation=("03",), low_quality="test")
    assert prepare(asked).done[2] == "subjects: 1 train, 1 validation, 2 test"
    assert read_splits(settings.out / "splits.tsv") == {"01": "test", "02": "train", "03": "validation", "04": "test"}
    assert prepare(asked).done[2] == "subjects: 1 train, 1 validation, 2 test"


def test_a_cohort_of_low_images_alone_cannot_be_learned_from(settings, tmp_path):
    grades = tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\ttier\n" + "".join(f"sub-0{i}\tT1w\tlow\n" for i in range(1, 5)))
    with pytest.raises(DataError, match=r"every subject to learn from has an image of low quality; see quality.tsv"):
        prepare(replace(settings, grades=grades, low_quality="test"))
    assert (settings.out / "quality.tsv").is_file()
    with pytest.raises(LayoutError, match="not finished"):  # or the low ones would be learned from
        read_cohort(settings.out)


def test_unknown_tools_are_refused(settings):
    with pytest.raises(UnknownNameError, match="unknown brain mask tool 'bet'"):
        prepare(replace(settings, brain="bet"))
