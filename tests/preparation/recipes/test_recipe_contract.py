"""What every way to prepare a case must do."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_grid, mni_scan
from tests.preparation.test_align import centred, scan

from recontrast.preparation.mask import find_head
from recontrast.preparation.normalize import SCALES
from recontrast.preparation.placement import Placement
from recontrast.preparation.recipes import PREPARATIONS, RecipeOptions, traits_of
from recontrast.volume import Volume, same_grid

GRID = (centred((4.0, 4.0, 4.0), (40, 46, 42)), (40, 46, 42))


def inputs(name: str) -> tuple[dict[str, Volume], RecipeOptions]:
    """Images that the recipe can work on, stored along other axes than RAS."""
    if name == "t1-linear":
        images = {label: mni_scan(label, *mni_grid(4.0)) for label in ("T1w", "T2w")}
    else:
        images = {label: scan(label, *GRID, seed=len(label)) for label in ("T1w", "T2w")}
    if name == "synthetic-mri":
        plain = images["T2w"]
        images = {
            f"acq-delay{delay}echo{echo}_MESE": plain.with_data(plain.data * share * (1 - 0.4 * (echo == 2)))
            for delay, share in ((146, 0.24), (546, 0.27), (1879, 0.87), (3879, 0.98))  # T1 0.75 s
            for echo in (1, 2)
        } | {"T1w": images["T1w"]}
    stored = {label: image.reoriented("LPS" if label != "T2w" else "PSR") for label, image in images.items()}
    grid = next(iter(stored))
    brain = find_head(stored[grid])[0] if traits_of(name).needs_brain else None
    return stored, RecipeOptions(grid=grid, brain=brain)


SLOW = ("t1-linear",)
"""Recipes that register to a template."""


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in PREPARATIONS.names()]
)
def prepared(request):
    images, options = inputs(request.param)
    before = {label: image.data.copy() for label, image in images.items()}
    return images, options, PREPARATIONS.get(request.param)(images, options, "sub-01"), before


@pytest.mark.slow
def test_all_contrasts_on_one_grid_along_ras(prepared):
    images, options, placed, _ = prepared
    assert list(placed) == list(images)
    for image in placed.values():
        assert image.volume.orientation == "RAS"
        assert same_grid(image.volume, placed[options.grid].volume, 0)
        assert same_grid(image.head, image.volume, 0)
        assert image.head.data.dtype == np.bool_
        assert image.volume.data.dtype == np.float32
        assert image.transform.shape == (4, 4)
        assert image.head.data.any()


def test_inputs_are_untouched(prepared):
    images, _, _, before = prepared
    for label, image in images.items():
        np.testing.assert_array_equal(image.data, before[label])


def test_there_is_a_way_back(prepared):
    """Inside the head, the prepared image brought back is the raw image but for what interpolation costs."""
    images, _, placed, _ = prepared
    for label in images:
        back = Placement.of(images[label], placed[label].transform).to_source(placed[label].volume)
        assert same_grid(back, images[label])
        assert back.orientation == images[label].orientation
        seen = back.data != 0
        apart = np.abs(back.data - images[label].data)[seen]
        assert np.median(apart) < 0.05 * np.percentile(images[label].data, 99), label
        assert seen.mean() > 0.2, label


@pytest.mark.parametrize("name", PREPARATIONS.names())
def test_its_scale_exists(name):
    assert traits_of(name).scale.name in SCALES
