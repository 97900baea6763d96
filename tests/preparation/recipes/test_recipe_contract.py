"""What every way to prepare a case must do."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.preparation.recipes import PREPARATIONS, RecipeOptions
from recontrast.volume import same_grid


@pytest.fixture(params=PREPARATIONS.names())
def recipe(request):
    return PREPARATIONS.get(request.param)


def test_all_contrasts_on_one_grid_along_ras(recipe, head):
    images = {"T1w": head("T1w").reoriented("LPS"), "T2w": head("T2w").reoriented("PSR")}
    placed = recipe(images, RecipeOptions(grid="T1w"), "sub-01")
    assert list(placed) == ["T1w", "T2w"]
    for image in placed.values():
        assert image.volume.orientation == "RAS"
        assert same_grid(image.volume, placed["T1w"].volume, 0)
        assert same_grid(image.head, image.volume, 0)
        assert image.head.data.dtype == np.bool_
        assert image.volume.data.dtype == np.float32
        assert image.transform.shape == (4, 4)


def test_inputs_are_untouched(recipe, head):
    images = {"T1w": head("T1w"), "T2w": head("T2w")}
    before = {label: image.data.copy() for label, image in images.items()}
    recipe(images, RecipeOptions(grid="T1w"), "sub-01")
    for label, image in images.items():
        np.testing.assert_array_equal(image.data, before[label])
