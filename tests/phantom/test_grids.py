"""Grids and separable operations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from recontrast.phantom.grids import (
    Grid,
    apply_matrices,
    average_boxes,
    control_grid,
    covering,
    linear_matrix,
    resample_linear,
    smooth_field,
    spline_matrix,
)

FINE = Grid((12, 15, 18), (1.0, 1.0, 1.0), (-3.0, 4.0, 0.5))
COARSE = Grid((8, 10, 12), (1.5, 1.5, 1.5), (-3.0, 4.0, 0.5))


def test_axes_and_affine_agree():
    grid = Grid((3, 4, 5), (1.0, 2.0, 3.0), (-1.0, 0.0, 7.0))
    corner = grid.affine @ [2, 3, 4, 1]
    assert corner[:3] == pytest.approx([axis[-1] for axis in grid.axes()])


def test_covering_reaches_the_far_corner():
    grid = covering((0, 0, 0), (5, 6, 7), 2.0)
    assert all(axis[-1] >= high for axis, high in zip(grid.axes(), (5, 6, 7), strict=True))


def test_matrices_are_applied_along_their_axes(rng):
    data = rng.normal(size=(4, 5, 6)).astype(np.float32)
    matrices = tuple(rng.normal(size=(m, n)).astype(np.float32) for m, n in ((2, 4), (7, 5), (3, 6)))
    expected = np.einsum("ai,bj,ck,ijk->abc", *matrices, data)
    np.testing.assert_allclose(apply_matrices(data, matrices), expected, rtol=1e-4, atol=1e-4)


def test_linear_resampling_agrees_with_scipy(rng):
    data = rng.normal(size=FINE.shape).astype(np.float32)
    positions = np.stack(np.meshgrid(*COARSE.positions_in(FINE), indexing="ij"))
    expected = map_coordinates(data, positions, order=1, mode="nearest")
    np.testing.assert_allclose(resample_linear(data, FINE, COARSE), expected, atol=1e-5)


def test_ends_are_held():
    np.testing.assert_allclose(linear_matrix(3, np.array([-2.0, 9.0])) @ [1, 2, 3], [1, 3])


def test_splines_add_up_to_one_inside():
    np.testing.assert_allclose(spline_matrix(10, np.linspace(2, 7, 11)).sum(axis=1), 1, rtol=1e-6)


def test_box_average_keeps_totals(rng):
    data = np.zeros(FINE.shape, np.float32)
    data[3:8, 4:9, 5:12] = rng.random((5, 5, 7))
    averaged = average_boxes(data, FINE, COARSE)
    assert averaged.sum() * 1.5**3 == pytest.approx(data.sum(), rel=1e-4)
    assert averaged.max() <= data.max()


def test_smooth_field_has_unit_deviation_and_belongs_to_the_world():
    region = covering((0, 0, 0), (80, 80, 80), 8.0)
    wide = smooth_field(np.random.default_rng(1), covering((0, 0, 0), (80, 80, 80), 2.0), 5.0, region)
    assert wide.std() == pytest.approx(1, abs=0.1)
    sparse = smooth_field(np.random.default_rng(1), covering((0, 0, 0), (80, 80, 80), 4.0), 5.0, region)
    np.testing.assert_allclose(sparse, wide[::2, ::2, ::2], atol=1e-5)


def test_control_points_lie_on_multiples_of_their_spacing():
    control = control_grid(FINE, 5.0)
    assert all(value % 5 == 0 for value in control.origin)
