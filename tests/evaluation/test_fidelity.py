"""Segmentation fidelity of the hand-made heads, by label maps and by the built-in segmenters, through the command."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.conftest import AFFINE, SHAPE, head

from recontrast.errors import DependencyError, LayoutError, UnknownNameError
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.fidelity import FidelityJob, FidelitySettings, check_segmenters, find_labels, segment_case
from recontrast.evaluation.matching import read_reference, read_synthetic
from recontrast.io.bids import Case
from recontrast.io.nifti import write_volume
from recontrast.io.tables import read_table
from recontrast.volume import Volume


@pytest.fixture
def settings(prepared: Path, write_synthetic: Callable[..., Path], tmp_path: Path) -> EvaluateSettings:
    for subject in ("04", "05", "06"):
        write_synthetic(subject)
    return EvaluateSettings(
        synthetic=tmp_path / "synthetic", reference=prepared, out=tmp_path / "evaluation", workers=1, controls=(),
    )  # fmt: skip


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Label maps: hippocampus (17) of 27 voxels, in the synthetic image moved by one voxel of 2 mm along i."""
    for subject in ("04", "05", "06"):
        for side, start in (("reference", 8), ("synthetic", 9)):
            data = np.zeros(SHAPE, np.int16)
            data[start : start + 3, 10:13, 8:11] = 17
            data[2, 2, 2] = 9999  # no structure of FreeSurfer's
            write_volume(tmp_path / "labels" / side / f"sub-{subject}_dseg.nii.gz", Volume(data, AFFINE), np.int16)
    return tmp_path / "labels"


def test_label_maps_through_the_command(settings: EvaluateSettings, labels: Path) -> None:
    summary = evaluate(dataclasses.replace(settings, segmenter=("labels",), labels=labels))
    assert summary.failed == {}
    assert any("mean Dice Left-Hippocampus 0.667" in line for line in summary.done)
    volumes = read_table(settings.out / "volumes.tsv", ("subject", "session"))
    assert list(volumes["case"]) == ["sub-04", "sub-05", "sub-06"]
    row = volumes.iloc[0]
    assert (row["segmenter"], row["segmenter_version"], row["structure"]) == ("labels", "as given", "Left-Hippocampus")
    assert row["volume_reference_ml"] == row["volume_synthetic_ml"] == pytest.approx(27 * 16 / 1000)
    assert row["dice"] == pytest.approx(2 / 3)
    assert (row["aspc"], row["hd95_mm"], row["status"]) == (0, 2.0, "ok")
    assert np.isnan(row["avd"])  # no GM, WM and CSF: no intracranial volume
    assert row["leak_check"]
    summary_rows = read_table(settings.out / "volume_summary.tsv")
    bias = summary_rows[summary_rows["measure"] == "bias_ml"].iloc[0]
    assert (bias["mean"], bias["subjects"]) == (0, 3)


def test_a_mean_over_some_subjects_says_over_how_many(settings: EvaluateSettings, labels: Path) -> None:
    for side in ("reference", "synthetic"):
        data = np.zeros(SHAPE, np.int16)
        data[8:11, 10:13, 8:11] = 53
        write_volume(labels / side / "sub-06_dseg.nii.gz", Volume(data, AFFINE), np.int16)
    summary = evaluate(dataclasses.replace(settings, segmenter=("labels",), labels=labels))
    (line,) = [line for line in summary.done if "mean Dice" in line]
    assert line.endswith("Left-Hippocampus 0.667 (2 of 3 subjects), Right-Hippocampus 1.000 (1 of 3 subjects)")


def test_avd_uses_the_mean_head_of_the_cohort(settings: EvaluateSettings, tmp_path: Path) -> None:
    for number, subject in enumerate(("04", "05", "06")):
        for side, grey in (("reference", 10), ("synthetic", 12)):
            data = np.zeros(SHAPE, np.int16)
            data.reshape(-1)[:grey] = 1
            data.reshape(-1)[100 : 120 + 10 * number] = 2
            data.reshape(-1)[300:310] = 3
            path = tmp_path / "labels" / side / f"sub-{subject}_dseg.nii.gz"
            write_volume(path, Volume(data, AFFINE), np.int16)
            path.with_name(f"sub-{subject}_dseg.tsv").write_text("index\tname\n1\tGM\n2\tWM\n3\tCSF\n")
    evaluate(dataclasses.replace(settings, segmenter=("labels",), labels=tmp_path / "labels"))
    volumes = read_table(settings.out / "volumes.tsv")
    grey = volumes[volumes["structure"] == "GM"]
    # Heads of 40, 50 and 60 voxels, 50 on average; grey matter 10 voxels, made 12; a voxel has 0.016 ml.
    np.testing.assert_allclose(grey["vd"], [-2 / n * 50 * 0.016 for n in (40, 50, 60)])
    np.testing.assert_allclose(grey["avd"], -grey["vd"])
    np.testing.assert_allclose(grey["aspc"], 200 * 2 / 22)


@pytest.mark.slow
def test_tissues_of_both_images_in_two_processes(settings: EvaluateSettings) -> None:
    summary = evaluate(dataclasses.replace(settings, segmenter=("tissue",), workers=2))
    assert summary.failed == {}
    volumes = read_table(settings.out / "volumes.tsv")
    assert list(volumes["structure"]) == ["GM", "WM", "CSF"] * 3
    assert set(volumes["segmenter"]) == {"tissue"}
    assert volumes.loc[volumes["structure"] == "WM", "dice"].min() > 0.8


def test_a_case_that_cannot_be_segmented_is_listed(settings: EvaluateSettings, labels: Path) -> None:
    (labels / "synthetic" / "sub-05_dseg.nii.gz").unlink()
    summary = evaluate(dataclasses.replace(settings, segmenter=("labels",), labels=labels))
    assert list(summary.failed) == ["segmentation of sub-05, labels"]
    volumes = read_table(settings.out / "volumes.tsv")
    failed = volumes[volumes["case"] == "sub-05"].iloc[0]
    assert failed["status"].startswith("failed: ")
    assert np.isnan(failed["dice"])
    assert len(volumes) == 3


def test_what_cannot_be_done_is_refused_before_any_work(settings: EvaluateSettings, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="tissue"):
        evaluate(dataclasses.replace(settings, segmenter=("tisue",)))
    with pytest.raises(LayoutError, match="--labels FOLDER"):
        check_segmenters(FidelitySettings(("labels",), tmp_path))
    with pytest.raises(DependencyError, match="recon-all"):
        check_segmenters(FidelitySettings(("freesurfer",)))
    assert not settings.out.exists()


def test_a_finished_case_is_taken_up_until_an_input_changes(settings: EvaluateSettings, tmp_path: Path) -> None:
    reference = read_reference(settings.reference, "T2w", "test")
    expected = reference.expected[0]
    synthetic = read_synthetic(settings.synthetic).images[expected.case][0]
    job = FidelityJob(expected, synthetic, "T2w", "tissue", part=tmp_path / "part.json")
    first = segment_case(job)
    text = job.part.read_text().replace('"notes": ""', '"notes": "kept"') if job.part else ""
    (tmp_path / "part.json").write_text(text)
    assert segment_case(job).notes == "kept"
    assert str(segment_case(job).structures) == str(first.structures)  # nan is not itself
    write_volume(synthetic, head(7)[1])
    assert segment_case(job).notes == ""


def test_one_label_map_a_case(tmp_path: Path) -> None:
    for name in ("sub-01_space-orig_dseg.nii.gz", "sub-01_T1w.nii.gz", "sub-01_ses-2_dseg.nii.gz", "sub-011_dseg.nii"):
        (tmp_path / name).touch()
    assert find_labels(tmp_path, Case("01")).name == "sub-01_space-orig_dseg.nii.gz"
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "sub-01_dseg.nii.gz").touch()
    with pytest.raises(LayoutError, match="found sub-01_"):
        find_labels(tmp_path, Case("01"))


def test_a_table_of_lesions_that_is_not_written_again_does_not_stay(settings: EvaluateSettings, labels: Path) -> None:
    settings.out.mkdir()
    (settings.out / "lesions.tsv").write_text("case\n")
    evaluate(dataclasses.replace(settings, segmenter=("labels",), labels=labels))
    assert (settings.out / "volumes.tsv").is_file()
    assert not (settings.out / "lesions.tsv").exists()
