"""Brain slices on squares of one size."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, GeometryError
from recontrast.preparation.recipes import RecipeOptions
from recontrast.preparation.recipes.brats import brats
from recontrast.volume import Volume


def stripped(shape=(60, 48, 12), step=(4.0, 4.0, 5.0)):
    """A brain in slices 3 to 8, everything else exactly zero."""
    i, j = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape[:2]], indexing="ij")
    disc = (i**2 + j**2) < 0.5
    data = np.zeros(shape, np.float32)
    ramp = np.linspace(100, 900, shape[0])[:, None]
    data[:, :, 3:9] = (disc * ramp)[:, :, None]
    return Volume(data, np.diag([*step, 1.0]))


def options(**more):
    return RecipeOptions(grid="T1w", align=False, **more)


def test_slices_with_brain_are_kept_and_the_field_of_view_is_resized_as_a_whole():
    image = stripped()
    placed = brats({"T1w": image}, options(size=(30, 30)), "sub-01")["T1w"]
    assert placed.volume.shape == (30, 30, 6)
    assert placed.volume.spacing == pytest.approx((8.0, 8.0, 5.0))
    assert placed.volume.origin[2] == pytest.approx(3 * 5.0)
    total = image.data.sum() * 4 * 4
    assert placed.volume.data.sum() * 8 * 8 == pytest.approx(total, rel=0.03)  # nothing is squeezed or cut
    assert placed.interpolated


def test_a_size_that_needs_no_resizing_only_fills_up():
    image = stripped()
    placed = brats({"T1w": image}, options(size=(60, 60)), "sub-01")["T1w"]
    assert not placed.interpolated
    np.testing.assert_array_equal(placed.volume.data[:, 6:54], image.data[:, :, 3:9])
    assert not placed.seen[:, :6].any()


def test_slices_by_hand_win():
    placed = brats({"T1w": stripped()}, options(size=(60, 60), span=(4, 5)), "sub-01")["T1w"]
    assert placed.volume.shape[2] == 2


@pytest.mark.parametrize("span", [(4, 12), (40, 60)])
def test_slices_beyond_the_grid_are_refused(span):
    """Empty slices were learned from, and heads that lie in none of them ended in a traceback."""
    with pytest.raises(GeometryError, match=r"sub-01: slices .* the grid has 0 to 11"):
        brats({"T1w": stripped()}, options(size=(60, 60), span=span), "sub-01")


def test_no_brain_and_wrong_sizes_are_errors():
    image = stripped()
    nothing = image.with_data(np.zeros(image.shape, bool))
    with pytest.raises(GeometryError, match="sub-01: no axial slice shows 500 mm² of brain"):
        brats({"T1w": image}, options(brain=nothing), "sub-01")
    with pytest.raises(ConfigError, match="needs two numbers"):
        brats({"T1w": image}, options(size=(30,)), "sub-01")
