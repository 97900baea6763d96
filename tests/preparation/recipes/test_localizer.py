"""A localizer on the grid of its target."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.test_align import centred, rigid, scan

from recontrast.errors import ConfigError, GeometryError, RecontrastWarning
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.mask import find_head
from recontrast.preparation.recipes import RecipeOptions
from recontrast.preparation.recipes.localizer import localizer

TARGET = (centred((3.0, 4.0, 4.0), (56, 46, 48)), (56, 46, 48))
COARSE = (centred((5.0, 5.0, 5.0), (36, 36, 38)), (36, 36, 38))


@pytest.fixture(scope="module")
def images():
    movement = rigid((2, -1, 3), (3, -2, 2))
    return {"T1w": scan("T1w", *TARGET), "acq-localizer_T1w": scan("T1w", *COARSE, movement, seed=1)}, movement


def options(images, **more):
    return RecipeOptions(grid="T1w", brain=find_head(images["T1w"])[0], **more)


def test_the_localizer_follows_and_the_target_keeps_its_voxels(images):
    images, movement = images
    placed = localizer(images, options(images, size=(64, 64)), "sub-01")
    target, local = placed["T1w"], placed["acq-localizer_T1w"]
    assert target.volume.shape[:2] == (64, 64)
    assert not target.interpolated
    first = round((target.volume.origin[2] - TARGET[0][2, 3]) / 4)
    np.testing.assert_array_equal(
        target.volume.data[4:60, 9:55], images["T1w"].data[:, :, first : first + target.volume.shape[2]]
    )
    assert mean_displacement(local.transform, movement, target.head) < 1.25  # a quarter of the coarse voxel
    assert local.volume.shape == target.volume.shape


def test_a_window_too_small_gives_a_warning(images):
    images, _ = images
    with pytest.warns(RecontrastWarning, match="% of the head lie outside slices of 30 x 30"):
        localizer({"T1w": images["T1w"]}, options(images, size=(30, 30)), "sub-01")


def test_slices_beyond_the_grid_are_refused(images):
    images, _ = images
    with pytest.raises(GeometryError, match=r"sub-01: slices 40 to 48 .* the grid has 0 to 47"):
        localizer({"T1w": images["T1w"]}, options(images, size=(64, 64), span=(40, 48)), "sub-01")


def test_a_wrong_size_is_refused(images):
    images, _ = images
    with pytest.raises(ConfigError, match="needs two numbers"):
        localizer(images, options(images, size=(64,)), "sub-01")
