"""Cubic voxels for slices of three planes."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.preparation.recipes import RecipeOptions, traits_of
from recontrast.preparation.recipes.fixed_scale import fixed_scale
from recontrast.volume import Volume


def test_long_voxels_become_cubes_over_the_same_box(head):
    placed = fixed_scale({"T1w": head("T1w")}, RecipeOptions(grid="T1w", align=False), "sub-01")["T1w"]
    assert placed.volume.shape == (24, 30, 48)
    assert placed.volume.spacing == pytest.approx((1.0, 1.0, 1.0))
    assert placed.interpolated


def test_cubes_are_left_alone():
    rng = np.random.default_rng(0)
    image = Volume(rng.random((12, 10, 8), np.float32), np.diag([0.6, 0.6, 0.6, 1]))
    placed = fixed_scale({"T1w": image}, RecipeOptions(grid="T1w", align=False), "sub-01")["T1w"]
    np.testing.assert_array_equal(placed.volume.data, image.data)


def test_its_scale_is_one_for_all_subjects():
    assert traits_of("fixed-scale").scale.name == "fixed"
