"""Mutual information by hand and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import normalized_mutual_information

from recontrast.errors import ConfigError
from recontrast.metrics.information import nmi, nmi_map


def test_four_voxels_by_hand() -> None:
    """H(X) = H(Y) = ln 2; independent: H(X, Y) = ln 4."""
    x = np.array([0.0, 0.0, 1.0, 1.0])
    y = np.array([0.0, 1.0, 0.0, 1.0])
    assert nmi(x, y, data_range=1.0) == pytest.approx(1.0)
    assert nmi(x, 1 - x, data_range=1.0) == pytest.approx(2.0)
    assert nmi(x, y, data_range=1.0, normalisation="arithmetic") == pytest.approx(0.0)
    half = np.array([0.0, 0.0, 0.5, 1.0])  # H(Y) = 1.5 ln 2, H(X, Y) = 1.5 ln 2
    assert nmi(x, half, data_range=1.0) == pytest.approx(2.5 / 1.5)
    assert nmi(x, half, data_range=1.0, normalisation="arithmetic") == pytest.approx(2 / 2.5)


def test_equals_scikit_image_where_its_bins_are_ours(rng: np.random.Generator) -> None:
    x = rng.random((12, 12, 12))
    y = np.clip(x + 0.2 * rng.standard_normal(x.shape), 0, 1)
    for image in (x, y):
        image.flat[:2] = (0.0, 1.0)  # scikit-image bins from minimum to maximum
    assert nmi(x, y, data_range=1.0, bins=32) == pytest.approx(normalized_mutual_information(x, y, bins=32))


def test_the_mapping_between_intensities_does_not_matter(rng: np.random.Generator) -> None:
    x = rng.integers(0, 64, 5000) / 63
    assert nmi(x, np.sort(np.unique(x))[::-1][np.unique(x, return_inverse=True)[1]], data_range=1.0) == pytest.approx(2)


def test_values_beyond_the_range_fall_into_the_end_bins() -> None:
    x = np.array([-5.0, 0.0, 1.0, 7.0])
    assert nmi(x, np.array([0.0, 0.0, 1.0, 1.0]), data_range=1.0) == pytest.approx(2.0)


def test_one_bin_is_undefined_and_options_are_checked() -> None:
    value, reason = nmi.score(np.zeros(9), np.zeros(9), data_range=1.0)
    assert math.isnan(value)
    assert "one bin" in reason
    with pytest.raises(ConfigError, match="bins"):
        nmi(np.zeros(9), np.zeros(9), data_range=1.0, bins=1)


def test_the_mean_of_the_map_is_the_number_and_a_wrong_voxel_is_low(rng: np.random.Generator) -> None:
    x = np.repeat([0.1, 0.5, 0.9], 400).reshape(30, 40)
    y = 1 - x
    y[3, 5] = 0.5  # bright where all others like it are dark
    mask = np.zeros(x.shape, bool)
    mask[:20] = True
    values = nmi_map(x, y, data_range=1.0, mask=mask)
    assert values[mask].mean() == pytest.approx(nmi(x, y, data_range=1.0, mask=mask))
    assert np.isnan(values[~mask]).all()
    assert values[3, 5] == np.nanmin(values) < 1
