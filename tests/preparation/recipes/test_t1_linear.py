"""N4, affine to MNI space, cut."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_grid, mni_scan
from tests.preparation.test_align import rigid

from recontrast.errors import ConfigError
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.recipes import RecipeOptions
from recontrast.preparation.recipes.t1_linear import ORIGIN_MM, SHAPE, grid_of, t1_linear
from recontrast.preparation.template import template_brain


def test_the_box_is_that_of_the_paper():
    box = grid_of()
    assert (box.shape, box.origin, box.spacing) == (SHAPE, ORIGIN_MM, (1.0, 1.0, 1.0))
    small = grid_of((128, 128, 128))
    assert small.spacing == pytest.approx((169 / 128, 208 / 128, 179 / 128))
    outer = [grid.affine @ [*(np.array(grid.shape) - 0.5), 1] for grid in (box, small)]
    np.testing.assert_allclose(*outer)
    with pytest.raises(ConfigError, match="three positive numbers"):
        grid_of((128, 128))


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["aligned pair", "each on its own"])
def test_a_pair_comes_to_mni_space(together):
    planted = rigid((4, -3, 6), (6, -8, 10)) @ np.diag([0.95, 0.98, 0.93, 1.0])
    moved = rigid((1, 2, -1), (2, 1, -2)) @ planted
    images = {
        "T1w": mni_scan("T1w", *mni_grid(), planted),
        "ce-gadolinium_T1w": mni_scan("ce-gadolinium_T1w", *mni_grid(), moved, seed=3),
    }
    options = RecipeOptions(grid="T1w", size=(48, 48, 48), align=together)
    placed = t1_linear(images, options, "sub-01")
    brain = template_brain()
    assert mean_displacement(placed["T1w"].transform, planted, brain) < 1.5
    assert mean_displacement(placed["ce-gadolinium_T1w"].transform, moved, brain) < 1.5
    assert placed["T1w"].steps[0] == "N4 bias field, knots 600 mm"
    assert placed["ce-gadolinium_T1w"].residual is not None
    left = mean_displacement(placed["ce-gadolinium_T1w"].residual, np.eye(4), placed["T1w"].head)
    assert left < 1.5
