"""Local correlation, by hand and against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.metrics.correlation import lncc, lncc_map


def test_one_window_equals_pearson(rng: np.random.Generator) -> None:
    x, y = rng.random((9, 9, 9)), rng.random((9, 9, 9))
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    assert lncc_map(x, y, data_range=1.0, k=0.0)[4, 4, 4] == pytest.approx(expected, abs=1e-9)
    assert lncc(x, y, data_range=1.0, k=0.0) == pytest.approx(expected, abs=1e-9)
    plane = np.corrcoef(x[..., 3].ravel(), y[..., 3].ravel())[0, 1]
    assert lncc_map(x, y, data_range=1.0, axis=2, k=0.0)[4, 4, 3] == pytest.approx(plane, abs=1e-9)


def test_brightness_contrast_and_smooth_shading_do_not_count(rng: np.random.Generator) -> None:
    x = rng.random((30, 30))
    assert lncc(x, 1000 + 50 * x, data_range=1.0) == pytest.approx(1, abs=1e-4)
    assert lncc(x, -x, data_range=1.0) == pytest.approx(-1, abs=1e-4)
    shading = np.linspace(0.5, 1.5, 30)[:, None]
    assert lncc(x, x * shading, data_range=1.0) > 0.98


def test_flat_in_both_images_is_one_and_in_one_of_them_near_zero(rng: np.random.Generator) -> None:
    flat, noise = np.zeros((15, 15)), rng.random((15, 15))
    assert lncc(flat, flat, data_range=1.0) == 1.0
    assert lncc(flat, noise, data_range=1.0) == pytest.approx(1.0)  # nothing to correlate with: C / C
    assert abs(lncc(0.01 * rng.random((15, 15)), noise, data_range=1.0)) < 0.2


def test_wrong_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="odd"):
        lncc(np.ones((9, 9)), np.ones((9, 9)), data_range=1.0, width=4)
