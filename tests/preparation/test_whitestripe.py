"""White stripe."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_brain, mni_grid, mni_scan

from recontrast.errors import IntensityError
from recontrast.preparation.whitestripe import deep, highest_peak, last_peak, white_stripe
from recontrast.volume import Volume


def test_white_matter_is_found_in_a_whole_head_and_in_a_brain():
    grid = mni_grid(3.0)
    whole, brain = mni_scan("T1w", *grid), mni_brain(*grid)
    from recontrast.preparation.mask import head_mask

    for mask in (head_mask(whole).data, brain):
        mean, deviation = white_stripe(whole, whole.with_data(mask), "T1w")
        assert mean == pytest.approx(900, rel=0.04)  # SIGNALS of white matter
        assert 0 < deviation < 30


def test_the_peak_depends_on_the_contrast():
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(300, 20, 30_000), rng.normal(600, 20, 12_000), rng.uniform(0, 1000, 300)]
    assert last_peak(values) == pytest.approx(600, abs=12)
    assert highest_peak(values) == pytest.approx(300, abs=12)


def test_the_width_of_the_stripe_is_that_of_the_equation():
    """Of a uniform distribution the stripe holds 10 % around its peak: standard deviation 0.1 range / sqrt(12)."""
    grid = np.linspace(0, 1000, 64000).reshape(40, 40, 40).astype(np.float32)
    rng = np.random.default_rng(1)
    volume = Volume(rng.permuted(grid.ravel()).reshape(grid.shape), np.eye(4))
    everywhere = volume.with_data(np.ones(grid.shape, bool))
    assert white_stripe(volume, everywhere, "T2w")[1] == pytest.approx(100 / np.sqrt(12), rel=0.1)


def test_the_inner_part_of_a_ball():
    i, j, k = np.meshgrid(*[np.arange(-40, 41)] * 3, indexing="ij")
    ball = i**2 + j**2 + k**2 <= 40**2
    inner = deep(Volume(ball, np.eye(4)), 20.0)
    radius = (3 * inner.sum() / (4 * np.pi)) ** (1 / 3)
    assert radius == pytest.approx(20, abs=2)


def test_too_little_to_look_at():
    with pytest.raises(IntensityError, match="too few voxels"):
        white_stripe(Volume(np.ones((4, 4, 4)), np.eye(4)), Volume(np.ones((4, 4, 4), bool), np.eye(4)))
