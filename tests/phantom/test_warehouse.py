"""Scanners and grades of a simulated warehouse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.phantom.acquisition import Motion, wandering
from recontrast.phantom.cohort import GRADES, SimulateSettings, grades_of, plan_subject, simulate
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.phantom.warehouse import (
    SCANNERS,
    Grades,
    as_on,
    check_shares,
    draw_grades,
    draw_wander,
    scanner_of,
)
from recontrast.preparation.tiers import read_grades

SETTINGS = {"spacing_mm": 6.0, "contrasts": ("T1w", "ce-gadolinium_T1w"), "workers": 1, "scanners": tuple(SCANNERS)}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """Three subjects, every second scan after gadolinium of low quality."""
    out = tmp_path_factory.mktemp("warehouse") / "bids"
    assert not simulate(SimulateSettings(out=out, subjects=3, medium_quality=0.3, low_quality=0.5, **SETTINGS)).failed
    return out


def contrast_of(scan, field_strength_t):
    grey, white = scan.sequence.signal(Relaxation.of([tissues_at(field_strength_t)[name] for name in ("GM", "WM")]))
    return (white - grey) / white


@pytest.mark.parametrize("name", list(SCANNERS))
def test_each_grade_weakens_the_contrast_of_white_and_grey_matter(name):
    scanner = scanner_of(name)
    (scan,) = scans_of("T1w")
    found = [contrast_of(as_on(scan, scanner, Grades(contrast=grade)), scanner.field_strength_t) for grade in range(3)]
    assert found[0] > 0.15
    assert found[1] / found[0] == pytest.approx(0.6, abs=0.01)
    assert found[2] / found[0] == pytest.approx(0.3, abs=0.01)
    assert found[2] < 0.1  # less than in any good scan


def test_a_scanner_changes_its_t1w_alone():
    scanner = scanner_of("spgr-3t")
    assert as_on(scans_of("T1w")[0], scanner, Grades()).sequence == scanner.t1w
    assert as_on(scans_of("ce-gadolinium_T1w")[0], scanner, Grades()).sequence == scanner.t1w
    for label in ("acq-localizer_T1w", "FLAIR"):
        (scan,) = scans_of(label)
        assert as_on(scan, scanner, Grades()) == scan


def test_shares_of_tiers_are_as_asked_for(rng):
    tiers = [draw_grades(rng, 0.3, 0.2).tier for _ in range(4000)]
    assert tiers.count("low") / 4000 == pytest.approx(0.2, abs=0.02)
    assert tiers.count("medium") / 4000 == pytest.approx(0.3, abs=0.02)


def test_a_contrast_that_cannot_be_weakened_is_not_graded_as_weak(rng):
    found = [draw_grades(rng, 0.5, 0.5, weakened=False) for _ in range(300)]
    assert all(grades.contrast == 0 for grades in found)
    assert {"medium", "low"} == {grades.tier for grades in found}
    settings = SimulateSettings(out=Path("none"), contrasts=("T1w", "FLAIR", "T2starw"), low_quality=0.9, seed=1)
    for index in range(20):
        grades = grades_of(settings, index)
        for label in ("FLAIR", "T2starw"):
            (scan,) = scans_of(label)
            assert grades[label].contrast == 0
            assert as_on(scan, None, Grades(contrast=2)) == scan


def test_the_middle_of_k_space_keeps_its_place(rng):
    still = np.zeros((12, 32, 10), np.complex64)
    still[4:8, 10:22, 3:7] = 1
    moved = np.roll(still, 3, axis=1)
    found = wandering([still, moved, moved], rng)
    assert np.abs(found - still).max() > 0.05
    assert abs(found.mean() - still.mean()) < 1e-6
    np.testing.assert_allclose(wandering([still, still], rng), still, atol=1e-6)


def test_a_still_head_does_not_wander(rng):
    assert draw_wander(rng, Motion(), Grades(noise=2)) == ()
    assert len(draw_wander(rng, Motion(shift_mm=(1.0, 0.0, 0.0)), Grades(motion=1))) == 4


@pytest.mark.slow
def test_sidecars_name_the_scanner_and_its_field(warehouse):
    settings = SimulateSettings(out=warehouse, subjects=3, **SETTINGS)
    for index in range(3):
        scanner = scanner_of(plan_subject(settings, index)["scanner"])
        sidecar = read_sidecar(warehouse / f"sub-0{index + 1}" / "anat" / f"sub-0{index + 1}_T1w.nii.gz")
        assert sidecar["ManufacturersModelName"] == scanner.model
        assert sidecar["MagneticFieldStrength"] == scanner.field_strength_t
    table = read_table(warehouse / "participants.tsv")
    assert set(table["scanner"]) <= set(SCANNERS)


def test_true_grades_are_a_table_that_prepare_reads(warehouse):
    grades = read_grades(warehouse / "derivatives" / "truth" / GRADES)
    assert len(grades) == 6
    assert all(row["tier"] != "low" for (_, contrast), row in grades.items() if contrast == "T1w")
    assert {row["tier"] for row in grades.values()} > {"low"}
    record = json.loads(
        (warehouse / "derivatives" / "truth" / "sub-01" / "sub-01_simulation.json").read_text(encoding="utf-8")
    )
    settings = SimulateSettings(out=warehouse, subjects=3, medium_quality=0.3, low_quality=0.5, **SETTINGS)
    for label, found in grades_of(settings, 0).items():
        assert found.tier == "good" or record["Quality"][label]["noise"] == found.noise


@pytest.mark.slow
def test_low_quality_is_seen_in_the_image(tmp_path):
    """The same head in the same scanner, good and noisy."""
    contrasts = ("T1w", "ce-gadolinium_T1w")
    heads = []
    for name, low in (("good", 0.0), ("low", 1.0)):
        settings = SimulateSettings(out=tmp_path / name, subjects=1, motion=0.0, low_quality=low, **SETTINGS)
        simulate(settings)
        volume = read_volume(tmp_path / name / "sub-01" / "anat" / "sub-01_ce-gadolinium_T1w.nii.gz")
        heads.append(volume.data / np.percentile(volume.data, 99))
    assert grades_of(settings, 0)[contrasts[1]].tier == "low"
    assert np.abs(heads[0] - heads[1]).mean() > 0.01


def test_what_cannot_be_simulated_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="mprage-3t"):
        simulate(SimulateSettings(out=tmp_path, scanners=("mprage",)))
    for medium, low, message in ((1.2, 0.0, "medium_quality"), (0.0, -0.1, "low_quality"), (0.6, 0.6, "together")):
        with pytest.raises(ConfigError, match=message):
            check_shares(medium, low)
    with pytest.raises(ConfigError, match="snr is 0"):
        simulate(SimulateSettings(out=tmp_path, snr=0.0, low_quality=0.5))
