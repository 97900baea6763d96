"""Rigid alignment finds planted movements."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import signal, tissue

from recontrast.errors import GeometryError, RecontrastWarning
from recontrast.preparation.align import AlignSettings, align, head_overlap, mean_displacement
from recontrast.preparation.mask import head_mask
from recontrast.preparation.resample import resample
from recontrast.volume import Volume


def rigid(degrees, shift):
    x, y, z = np.deg2rad(degrees)
    turn_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    turn_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn_x @ turn_y @ turn_z
    matrix[:3, 3] = shift
    return matrix


def scan(contrast, affine, shape, movement=None, seed=0):
    """An image of a fixed 160 mm head, sampled on a grid; `movement` takes the head's world to the scan's."""
    fine = np.diag([2.0, 2, 2, 1])
    fine[:3, 3] = -80
    clean = Volume(signal(tissue((81, 81, 81)), contrast, noise=0), fine)
    inverse = None if movement is None else np.linalg.inv(movement)
    out = resample(clean, Volume(np.zeros(shape, np.uint8), affine), inverse, "linear")
    rng = np.random.default_rng([seed, 7])
    return out.with_data(np.abs(out.data + 10 * rng.standard_normal(shape)).astype(np.float32))


def centred(spacing, shape):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(spacing, shape, strict=True)]
    return affine


THICK = ((3.0, 3.0, 6.0), (60, 60, 30))
CUBIC = ((4.0, 4.0, 4.0), (44, 46, 44))


@pytest.mark.slow
@pytest.mark.parametrize("grid", [THICK, CUBIC], ids=["thick slices", "cubes"])
@pytest.mark.parametrize(
    "movement", [((2, -3, 4), (5, -4, 3)), ((0.5, 0, -0.5), (0.6, -0.8, 0.4))], ids=["far", "near"]
)
def test_a_planted_movement_is_found_within_a_quarter_voxel(grid, movement):
    spacing, shape = grid
    planted = rigid(*movement)
    fixed = scan("T1w", centred((4.0, 4, 4), (44, 44, 46)), (44, 44, 46))
    moving = scan("T2w", centred(spacing, shape), shape, planted, seed=1)
    found = align(moving, fixed)
    head = head_mask(fixed)
    assert mean_displacement(found.transform, planted, head) < 0.25 * min(spacing)
    assert found.moved_mm == pytest.approx(mean_displacement(planted, np.eye(4), head), rel=0.2, abs=0.3)
    assert found.overlap > 0.9
    np.testing.assert_allclose(found.transform[:3, :3] @ found.transform[:3, :3].T, np.eye(3), atol=1e-9)


@pytest.mark.slow
def test_same_images_and_seed_give_the_same_bits():
    fixed = scan("T1w", centred(*CUBIC), CUBIC[1])
    moving = scan("FLAIR", centred(*CUBIC), CUBIC[1], rigid((1, 2, 3), (1, 2, 3)))
    first, second = (align(moving, fixed).transform for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_heads_that_start_apart_are_brought_together():
    far = rigid((0, 0, 0), (150, 0, 60))
    fixed = scan("T1w", centred(*CUBIC), CUBIC[1])
    moved = fixed.affine.copy()
    moved[:3, 3] += far[:3, 3]
    with pytest.warns(RecontrastWarning, match="sub-01 T2w: alignment moved the head by 16. mm"):
        found = align(Volume(scan("T2w", fixed.affine, CUBIC[1]).data, moved), fixed, what="sub-01 T2w")
    assert mean_displacement(found.transform, far, head_mask(fixed)) < 1.0


def test_a_result_in_which_the_heads_do_not_meet_is_called_doubtful():
    fixed = scan("T1w", centred(*CUBIC), CUBIC[1])
    settings = AlignSettings(suspicious_overlap=0.999)
    with pytest.warns(RecontrastWarning, match=r"sub-09.*overlap by only 0\.9"):
        align(scan("T2w", fixed.affine, CUBIC[1], rigid((0, 0, 0), (0, 6, 0))), fixed, settings, "sub-09")


def test_displacement_and_overlap_of_known_movements(make_volume):
    head = head_mask(make_volume())
    shift = rigid((0, 0, 0), (3, 4, 0))
    assert mean_displacement(shift, np.eye(4), head) == pytest.approx(5)
    assert head_overlap(head, head, np.eye(4)) == 1
    assert head_overlap(head, head, rigid((0, 0, 0), (500, 0, 0))) == 0


def test_failure_names_the_pair(monkeypatch):
    fixed = scan("T1w", centred(*CUBIC), CUBIC[1])

    def fail(*_):
        raise RuntimeError("itk::ERROR\nAll samples map outside moving image buffer.")

    monkeypatch.setattr("recontrast.preparation.align._refine", fail)
    with pytest.raises(GeometryError, match="sub-01: alignment failed \\(All samples"):
        align(fixed, fixed, what="sub-01")
