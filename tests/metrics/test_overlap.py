"""Dice and surface distances by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.metrics.overlap import asd, dice, hd95, surface_distances


def test_half_overlap() -> None:
    assert dice(np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])) == 0.5
    assert dice(np.array([1, 1, 0]), np.array([0, 0, 1])) == 0.0


def test_labels_above_127_and_one_label_of_many() -> None:
    reference, estimate = np.array([200, 200, 17, 0], np.uint8), np.array([200, 17, 17, 0], np.int32)
    assert dice(reference, estimate, label=200) == 2 / 3
    assert dice(reference, estimate, label=17) == 2 / 3
    assert dice(reference, estimate) == 1.0


def test_two_empty_regions_are_undefined() -> None:
    value, reason = dice.score(np.zeros(4), np.zeros(4))
    assert math.isnan(value)
    assert "empty in both" in reason


def cube(*start: int, size: int = 5) -> np.ndarray:
    region = np.zeros((16, 14, 12), np.uint8)
    region[tuple(slice(s, s + size) for s in start)] = 1
    return region


def test_a_cube_moved_along_an_axis() -> None:
    # Moved by 2 voxels of 1.5 mm along j. The faces across j lie 3 mm apart; of the other surface voxels those within
    # the overlap of both cubes are shared.
    reference, estimate = cube(4, 4, 4), cube(4, 6, 4)
    there, back = surface_distances(reference > 0, estimate > 0, (1.0, 1.5, 2.0))
    assert there.size == back.size == 5**3 - 3**3
    assert there.max() == back.max() == 3.0
    assert hd95(reference, estimate, spacing=(1.0, 1.5, 2.0)) == 3.0
    # Rows of the cube at j = 4 (25 voxels: the face itself) and at j = 5 (16 at the rim) are outside the other cube.
    # Row 4 is 3 mm from the other's face, row 5 1.5 mm; at row 6, 9 inner voxels of the other's face are no surface of
    # this cube; row 8 of this cube is its face: its 9 inner voxels lie within the other cube, nearest to its rim by
    # 1 or 2 voxels of 1 mm (i) or 2 mm (k), or 3 mm along j.
    face_inside = sum(min(1.0 * min(i + 1, 3 - i), 2.0 * min(k + 1, 3 - k), 3.0) for i in range(3) for k in range(3))
    assert there.sum() == pytest.approx(25 * 3.0 + 16 * 1.5 + face_inside)
    total = 2 * (25 * 3.0 + 16 * 1.5 + face_inside)
    assert asd(reference, estimate, spacing=(1.0, 1.5, 2.0)) == pytest.approx(total / (2 * 98))


def test_the_worse_direction_counts() -> None:
    reference = cube(2, 2, 2)
    estimate = reference.copy()
    estimate[12:15, 10:13, 8:11] = 1  # 26 surface voxels far away: more than 5 % of the estimate, none of the reference
    there, back = surface_distances(reference > 0, estimate > 0, (1, 1, 1))
    assert there.max() == 0
    assert hd95(reference, estimate) == np.percentile(back, 95) > 5
    assert hd95(estimate, reference) == hd95(reference, estimate)


def test_agrees_with_distance_maps(rng: np.random.Generator) -> None:
    from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

    spacing = (0.9, 1.3, 2.1)
    regions = [gaussian_filter(rng.standard_normal((20, 18, 14)), 1.5) > 0.05 for _ in range(2)]
    edges = [region & ~binary_erosion(region) for region in regions]
    maps = [distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    there, back = maps[1][edges[0]], maps[0][edges[1]]
    assert asd(*regions, spacing=spacing) == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-12)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hd95(*regions, spacing=spacing) == pytest.approx(expected, abs=1e-12)


def test_an_empty_region_has_no_surface() -> None:
    value, reason = hd95.score(cube(2, 2, 2), np.zeros((16, 14, 12)))
    assert math.isnan(value)
    assert "empty in the estimate" in reason
    assert "empty in the reference" in asd.score(np.zeros((16, 14, 12)), cube(2, 2, 2))[1]


def test_labels_and_masks_choose_voxels() -> None:
    reference, estimate = 200 * cube(4, 4, 4), 200 * cube(4, 6, 4)
    reference[0, 0, 0] = 7
    assert hd95(reference, estimate, label=200) == 2.0
    inside = np.zeros(reference.shape, bool)
    inside[:, 6:9] = True
    assert hd95(reference, estimate, mask=inside) == 0.0


def test_a_spacing_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 axes"):
        hd95(cube(2, 2, 2), cube(2, 2, 2), spacing=(1.0, 1.0))
