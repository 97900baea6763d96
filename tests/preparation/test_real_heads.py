"""Preparation of real scans: skull-stripped 1 mm brains, and whole heads in thick slices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import RecontrastWarning
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.brain import find_brain
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.mask import find_head, head_mask
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.placement import Placement
from recontrast.preparation.quality import measure_pair, rotation_angle

pytestmark = pytest.mark.realdata


def released_transform(path: Path) -> np.ndarray:
    """World of the FLAIR to world of the other image (RAS+), from an ITK transform file."""
    text = path.read_text()
    values = {key: np.array(line.split(), float) for key, line in re.findall(r"^(\w*Parameters): (.*)$", text, re.M)}
    linear, centre = values["Parameters"][:9].reshape(3, 3), values["FixedParameters"]
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = values["Parameters"][9:] + centre - linear @ centre
    flip = np.diag([-1.0, -1, 1, 1])
    return flip @ matrix @ flip


@pytest.mark.slow
def test_brains_in_a_common_space(realdata, tmp_path):
    contrasts = ("T1w", "T2w", "ce-gadolinium_T1w")
    settings = PrepareSettings(
        bids=realdata, out=tmp_path / "out", contrasts=contrasts, space="MNI", subjects=("C07", "C26"), test=("C26",)
    )
    assert prepare(settings).failed == {}
    cohort = read_cohort(tmp_path / "out")
    assert {case.key: case.split for case in cohort.cases} == {"sub-C07": "train", "sub-C26": "test"}
    for case in cohort.cases:
        assert set(case.regions) == {"head", "brain", "lesion"}
        assert set(case.images) == set(contrasts)
        brain = read_volume(case.regions["brain"], np.uint8).data > 0
        head = read_volume(case.regions["head"], np.uint8).data > 0
        assert 2 * (brain & head).sum() / (brain.sum() + head.sum()) > 0.97
        raw = read_volume(realdata / case.case.folder / "anat" / f"{case.key}_space-MNI_T2w.nii.gz")
        made = read_volume(case.images["T2w"])
        assert (raw.orientation, made.orientation) == ("LAS", "RAS")
        np.testing.assert_array_equal(made.data, raw.reoriented("RAS").data)
        assert json.loads(case.images["T2w"].with_name(f"{case.key}_desc-prepared_T2w.json").read_text())[
            "SkullStripped"
        ]
    quality = read_table(tmp_path / "out" / "quality.tsv")
    assert quality["shift_left_mm"].count() == 4  # two pairs of each brain, all aligned: no false alarm
    assert quality["shift_left_mm"].max() < 0.5
    assert quality["turn_left_deg"].max() < 0.5
    assert quality["overlap"].min() > 0.99


@pytest.mark.slow
def test_whole_heads_and_a_session_without_t2w(realdata, tmp_path):
    settings = PrepareSettings(
        bids=realdata,
        out=tmp_path / "out",
        contrasts=("T1w", "T2w"),
        space="FLAIR",
        subjects=("sub-L01", "L20"),
        test=("L01",),
    )
    summary = prepare(settings)
    assert list(summary.failed) == ["sub-L20_ses-2"]
    assert "has no T2w in space 'FLAIR'; there is: FLAIR, T1w" in summary.failed["sub-L20_ses-2"]
    cases = read_cohort(tmp_path / "out").cases
    assert len(cases) == 2
    for case in cases:
        assert {"head", "brain"} <= set(case.regions)
        assert not json.loads(case.images["T1w"].with_name(f"{case.key}_desc-prepared_T1w.json").read_text())[
            "SkullStripped"
        ]
    quality = read_table(tmp_path / "out" / "quality.tsv")
    assert quality["head_ml"].between(2000, 3500).all()
    assert quality["overlap"].min() > 0.9
    assert (quality["interpolated"] == "no").all()


@pytest.mark.slow
def test_our_alignment_agrees_with_the_released_one(realdata, tmp_path):
    settings = PrepareSettings(
        bids=realdata, out=tmp_path / "out", contrasts=("FLAIR", "T1w"), subjects=("L01", "L12"), test=("L12",)
    )
    summary = prepare(settings)
    assert sorted(summary.failed) == ["sub-L01_ses-2", "sub-L12_ses-2"]  # released on the FLAIR grid only
    for case in read_cohort(tmp_path / "out").cases:
        anat = realdata / case.case.folder / "anat"
        released = released_transform(anat / f"{case.key}_from-T1w_to-FLAIR_xfm.txt")
        sidecar = case.images["T1w"].with_name(f"{case.key}_desc-prepared_T1w.json")
        ours = np.array(json.loads(sidecar.read_text())["Transform"])
        head = read_volume(case.regions["head"], np.uint8)
        assert mean_displacement(ours, released, head) < 0.5, case.key
        assert rotation_angle(ours @ np.linalg.inv(released)) < 0.5, case.key


def test_names_that_are_not_bids_give_a_warning(realdata, tmp_path):
    settings = PrepareSettings(
        bids=realdata, out=tmp_path / "out", contrasts=("T2starw",), subjects=("SC01",), test=("SC01",), workers=1
    )
    with pytest.warns(RecontrastWarning, match="2 files are left out, .*desc-cord_mask"):
        assert prepare(settings).failed == {}


@pytest.mark.parametrize(
    ("path", "share", "stripped"),
    [
        ("sub-L01/ses-1/anat/sub-L01_ses-1_FLAIR", (0.30, 0.39), False),
        ("sub-L12/ses-1/anat/sub-L12_ses-1_T1w", (0.30, 0.75), False),
        ("sub-C07/anat/sub-C07_space-MNI_FLAIR", (0.15, 0.17), True),
        ("sub-SF02/anat/sub-SF02_res-1p4mm_T1w", (0.36, 0.44), False),
        ("sub-SC01/anat/sub-SC01_T2starw", (0.40, 0.50), False),
        ("sub-SC01/anat/sub-SC01_T1w", (1.0, 1.0), False),
    ],
)
def test_the_head_takes_its_share_of_the_field_of_view(realdata, path, share, stripped):
    found, zero_background = find_head(read_volume(realdata / f"{path}.nii.gz"))
    assert share[0] <= found.data.mean() <= share[1]
    assert zero_background == stripped


def test_the_mask_of_a_stripped_brain_is_its_support(realdata):
    image = read_volume(realdata / "sub-C26" / "anat" / "sub-C26_space-MNI_T1w.nii.gz")
    mask = head_mask(image).data
    support = image.data != 0
    assert mask[support].mean() > 0.999
    assert mask.sum() < 1.02 * support.sum()


PAIRS = [
    (f"sub-{who}/ses-1/anat/sub-{who}_ses-1_", ("space-FLAIR_T1w", "space-FLAIR_T2w", "FLAIR"))
    for who in ("L01", "L04", "L12")
]
"""The brains are looked at when they are prepared, above; all sessions by benchmarks/pair_quality.py."""


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "contrasts"), PAIRS, ids=[stem.split("/")[-1].rstrip("_") for stem, _ in PAIRS])
def test_no_false_alarm_on_aligned_pairs(realdata, stem, contrasts):
    first, *others = [read_volume(realdata / f"{stem}{contrast}.nii.gz") for contrast in contrasts]
    for contrast, other in zip(contrasts[1:], others, strict=True):
        found = measure_pair(other, first, f"{stem} {contrast}")
        assert not found.moved, (contrast, found)
        assert found.overlap > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("path", ["sub-L01/ses-1/anat/sub-L01_ses-1", "sub-L12/ses-2/anat/sub-L12_ses-2"])
def test_the_built_in_brain_mask_against_the_released_one(realdata, path):
    brain = find_brain(read_volume(realdata / f"{path}_FLAIR.nii.gz")).data
    released = read_volume(realdata / f"{path}_space-FLAIR_brainmask.nii.gz", np.uint8).data > 0
    assert 2 * (brain & released).sum() / (brain.sum() + released.sum()) > 0.90


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "space", "subjects", "contrasts"),
    [
        ("t1-linear", "FLAIR", ("L04",), ("FLAIR", "T1w")),
        ("brats", "MNI", ("C07",), ("T1w", "FLAIR")),
        ("localizer", "FLAIR", ("L04",), ("FLAIR", "T1w")),
        ("fixed-scale", "FLAIR", ("L20",), ("FLAIR", "T1w")),
    ],
)
def test_recipes_and_the_way_back(realdata, tmp_path, recipe, space, subjects, contrasts):
    """Prepared images brought back agree with the raw ones inside the head that was kept."""
    settings = PrepareSettings(
        bids=realdata, out=tmp_path / "out", recipe=recipe, contrasts=contrasts, space=space, subjects=subjects,
        splits=tmp_path / "splits.tsv",
    )  # fmt: skip
    (tmp_path / "splits.tsv").write_text(f"subject\tsplit\n{subjects[0]}\ttrain\n")
    assert prepare(settings).failed == {}
    (case,) = read_cohort(tmp_path / "out").cases
    for label, path in case.images.items():
        sidecar = read_sidecar(path)
        raw = read_volume(realdata / sidecar["Sources"][0])
        placement = Placement.from_dict(sidecar)
        back = placement.to_source(read_volume(path))
        head = placement.to_source(read_volume(case.regions["head"], np.uint8), "nearest").data > 0
        correlation = np.corrcoef(back.data[head], raw.data[head])[0, 1]
        assert correlation > (0.93 if recipe == "t1-linear" else 0.97), (label, correlation)
