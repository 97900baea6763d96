"""Bias field."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_brain, mni_grid, mni_scan

from recontrast.errors import ConfigError, IntensityError
from recontrast.preparation.bias import BiasSettings, correct_bias
from recontrast.preparation.mask import head_mask

GRID = mni_grid(4.0)


@pytest.fixture(scope="module")
def uneven():
    clean = mni_scan("T1w", *GRID)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in clean.shape], indexing="ij")
    field = np.exp(0.4 * i - 0.3 * j * k + 0.2 * k**2).astype(np.float32)
    return clean, field, clean.with_data(clean.data * field)


@pytest.mark.slow
def test_a_planted_field_is_taken_out(uneven):
    clean, _, image = uneven
    white = mni_brain(*GRID) & (clean.data > 800)
    made = correct_bias(image)
    before, after = (float(v[white].std() / v[white].mean()) for v in (image.data, made.volume.data))
    flat = float(clean.data[white].std() / clean.data[white].mean())
    assert before > 4 * flat
    assert after < 1.8 * flat


@pytest.mark.slow
def test_field_times_result_is_the_input_and_the_mean_stays(uneven):
    image = uneven[2]
    made = correct_bias(image)
    np.testing.assert_allclose(made.volume.data * made.field.data, image.data, rtol=1e-5, atol=1e-3)
    assert made.field.data.min() > 0
    head = head_mask(image).data
    assert made.volume.data[head].mean() == pytest.approx(image.data[head].mean(), rel=1e-4)


@pytest.mark.slow
def test_the_axes_make_no_difference(uneven):
    image = uneven[2]
    made, turned = correct_bias(image), correct_bias(image.reoriented("PIL"))
    assert turned.volume.orientation == "PIL"
    np.testing.assert_allclose(turned.volume.reoriented("RAS").data, made.volume.data, rtol=1e-5, atol=1e-2)


def test_bad_settings_and_images(head):
    with pytest.raises(ConfigError, match="must all be positive"):
        correct_bias(head(), BiasSettings(step_mm=0))
    with pytest.raises(IntensityError, match="sub-01: all voxels are zero"):
        correct_bias(head().with_data(np.zeros((24, 20, 16))), what="sub-01")
