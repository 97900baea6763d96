"""Figures of a prepared contrast, and the warnings they give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.preparation.conftest import mni_grid, mni_scan
from tests.preparation.test_align import rigid

from recontrast.errors import RecontrastWarning
from recontrast.preparation.mask import find_head
from recontrast.preparation.quality import (
    COLUMNS,
    describe_image,
    duplicates,
    measure_pair,
    rotation_angle,
    warn_of_doubt,
)
from recontrast.preparation.recipes import PlacedImage


@pytest.fixture
def placed(head):
    volume = head()
    return PlacedImage(volume, *find_head(volume), np.eye(4))


def test_figures_of_an_untouched_image(placed):
    row = describe_image("sub-01", "T1w", placed, placed.head)
    assert tuple(row) == COLUMNS
    assert (row["finite"], row["overlap"], row["coverage"], row["interpolated"]) == (1.0, 1.0, 1.0, "no")
    assert row["low"] < row["median"] < row["high"]
    voxel_ml = 1.0 * 1.5 * 3.0 / 1000
    assert row["head_ml"] == pytest.approx(placed.head.data.sum() * voxel_ml)
    assert row["shift_left_mm"] is None
    assert row["turn_left_deg"] is None


def test_movement_left_is_measured(placed):
    residual = np.eye(4)
    residual[:2, :2] = [[np.cos(0.02), -np.sin(0.02)], [np.sin(0.02), np.cos(0.02)]]
    row = describe_image("sub-01", "T2w", replace(placed, residual=residual), placed.head)
    assert row["turn_left_deg"] == pytest.approx(np.degrees(0.02))
    assert 0 < row["shift_left_mm"] < 2


def test_half_a_field_of_view_is_seen(placed):
    seen = np.ones(placed.volume.shape, bool)
    seen[:, :, 8:] = False
    assert describe_image("sub-01", "T2w", replace(placed, seen=seen), placed.head)["coverage"] < 0.7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"levels": 8}, "only 8 distinct values"),
        ({"coverage": 0.5}, "covers only 50 % of the head"),
        ({"overlap": 0.4}, r"overlaps the head of the case by only 0\.40"),
        ({"shift_left_mm": 5.0}, r"still displaced by about 5\.0 mm"),
        ({"turn_left_deg": 2.0}, r"still turned by about 2\.0 degrees"),
        ({"gadolinium": "suspected"}, "looks as after contrast agent"),
    ],
)
def test_doubts_name_case_and_contrast(placed, change, words):
    row = {**describe_image("sub-01", "T2w", placed, placed.head), "levels": 100, **change}
    with pytest.warns(RecontrastWarning, match=f"sub-01 T2w: .*{words}"):
        warn_of_doubt(row, (1.0, 1.0, 1.0))


def test_a_good_image_gives_no_warning(placed):
    warn_of_doubt(describe_image("sub-01", "T1w", placed, placed.head), (1.0, 1.0, 1.0))


SHIFTS = [(1.5, -2.0, 0.8), (0.0, 0.6, -0.4), (-4.0, 3.0, 5.0)]
TURNS = [(2.0, -1.0, 3.0), (0.0, 0.0, 0.0), (-4.0, 5.0, 2.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "turn"), list(zip(SHIFTS, TURNS, strict=True)))
def test_a_planted_movement_is_found(shift, turn):
    """Within 0.25 voxel and 0.3 degrees."""
    step = 3.0
    movement = rigid(turn, shift)
    source = mni_scan("T1w", *mni_grid(step))
    target = mni_scan("T2w", *mni_grid(step), movement, seed=5)
    found = measure_pair(source, target)
    centre = np.append(np.argwhere(find_head(target)[0].data).mean(axis=0), 1) @ target.affine.T
    planted = (centre - np.linalg.inv(movement) @ centre)[:3]
    assert np.abs(np.array(found.shift_mm) - planted).max() < 0.25 * step
    assert found.rotation_deg == pytest.approx(rotation_angle(movement), abs=0.3)
    assert found.moved == (np.linalg.norm(shift) > 2)
    assert found.overlap > 0.85
    assert found.coverage == 1.0


def test_copies_among_subjects_are_named():
    rows = [
        {"case": "sub-01_ses-1", "contrast": "T1w", "image_hash": "aa"},
        {"case": "sub-01_ses-2", "contrast": "T1w", "image_hash": "aa"},  # the same person: no leak
        {"case": "sub-02", "contrast": "T1w", "image_hash": "bb"},
        {"case": "sub-03", "contrast": "FLAIR", "image_hash": "bb"},
    ]
    assert duplicates(rows) == {("sub-02", "T1w"): "sub-03", ("sub-03", "FLAIR"): "sub-02"}


def test_the_angle_is_that_of_the_rotation_alone():
    turn = rigid((0, 0, 10), (1, 2, 3))
    assert rotation_angle(turn) == pytest.approx(10)
    assert rotation_angle(turn @ np.diag([1.004, 0.997, 1.01, 1])) == pytest.approx(10, abs=0.1)
    assert rotation_angle(np.diag([1.0, 1.0, 1.01, 1.0])) == pytest.approx(0, abs=1e-9)
