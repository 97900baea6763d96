"""The fewest steps: own grid, and no interpolation that is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.test_align import centred, rigid, scan

from recontrast.errors import GeometryError, RecontrastWarning
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.recipes import RecipeOptions
from recontrast.preparation.recipes.native import native
from recontrast.volume import Volume

GRID = (centred((4.0, 4.0, 4.0), (40, 46, 42)), (40, 46, 42))


def test_images_in_place_keep_every_bit(head):
    images = {"T1w": head("T1w"), "T2w": head("T2w").reoriented("LPS")}
    placed = native(images, RecipeOptions(grid="T1w", trusted=True), "sub-01")
    for label in images:
        np.testing.assert_array_equal(placed[label].volume.data, head(label).data)
        assert not placed[label].interpolated
        np.testing.assert_array_equal(placed[label].transform, np.eye(4))
    assert placed["T2w"].residual is not None


@pytest.mark.slow
def test_a_head_that_stayed_is_left_alone_and_one_that_moved_is_put_back():
    fixed = scan("T1w", *GRID)
    moved = rigid((2, -3, 4), (5, -4, 3))
    images = {"T1w": fixed, "T2w": scan("T2w", *GRID, seed=1), "FLAIR": scan("FLAIR", *GRID, moved, seed=2)}
    placed = native(images, RecipeOptions(grid="T1w"), "sub-01")
    np.testing.assert_array_equal(placed["T2w"].volume.data, images["T2w"].data)
    assert placed["FLAIR"].interpolated
    assert mean_displacement(placed["FLAIR"].transform, moved, placed["T1w"].head) < 1.0
    assert placed["FLAIR"].moved_mm > 4
    assert mean_displacement(placed["FLAIR"].residual, np.eye(4), placed["T1w"].head) < 1.0


def test_a_trusted_image_is_not_moved_even_when_it_looks_moved():
    images = {"T1w": scan("T1w", *GRID), "T2w": scan("T2w", *GRID, rigid((0, 0, 5), (6, 0, 0)), seed=1)}
    placed = native(images, RecipeOptions(grid="T1w", trusted=True), "sub-01")
    np.testing.assert_array_equal(placed["T2w"].volume.data, images["T2w"].data)
    assert mean_displacement(placed["T2w"].residual, np.eye(4), placed["T1w"].head) > 3


def test_another_grid_is_aligned_or_refused():
    images = {"T1w": scan("T1w", *GRID), "T2w": scan("T2w", centred((3.0, 3, 6), (58, 60, 28)), (58, 60, 28), seed=1)}
    placed = native(images, RecipeOptions(grid="T1w"), "sub-01")["T2w"]
    assert placed.interpolated
    assert placed.volume.data.min() >= 0
    assert placed.seen is not None
    with pytest.raises(GeometryError, match=r"sub-01 T2w to T1w: the grids differ .*prepare with align"):
        native(images, RecipeOptions(grid="T1w", align=False), "sub-01")


def test_without_align_nothing_is_looked_for(head):
    images = {"T1w": head("T1w"), "T2w": head("T2w")}
    assert native(images, RecipeOptions(grid="T1w", align=False), "sub-01")["T2w"].residual is None


def test_few_slices_are_placed_as_the_headers_say(head):
    thin = Volume(head().data[:, :, 7:9], head().affine)
    same = native({"T1w": thin, "T2w": thin}, RecipeOptions(grid="T1w"), "sub-01")["T2w"]
    assert not same.interpolated
    with pytest.warns(RecontrastWarning, match="sub-01 T2w to T1w: too few slices"):
        moved = native({"T1w": head(), "T2w": thin}, RecipeOptions(grid="T1w"), "sub-01")["T2w"]
    assert moved.interpolated
    np.testing.assert_array_equal(moved.transform, np.eye(4))
