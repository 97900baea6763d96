"""CW-SSIM: coefficients by hand, shifts forgiven, structure not."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.metrics.structure import ssim
from recontrast.metrics.wavelet import cw_ssim, cw_ssim_map


def stripes(shift: float = 0.0, size: int = 64) -> np.ndarray:
    return np.cos(2 * np.pi / 8 * (np.arange(size) - shift))[:, None] * np.ones(size)


def test_one_band_by_the_definition_written_out(rng: np.random.Generator) -> None:
    """Middle voxel, one wavelength: Gabor wavelets as sums over the neighbourhood, in four directions."""
    x, y = rng.random((31, 31)), rng.random((31, 31))
    wavelength, radius, sigma = 4.0, 6, 2.0
    i, j = np.meshgrid(*[np.arange(-radius, radius + 1)] * 2, indexing="ij")
    bell = np.exp(-0.5 * (i**2 + j**2) / sigma**2)
    bell /= bell.sum()
    values = []
    for a, b in ((1, 0), (0, 1), (np.sqrt(0.5), np.sqrt(0.5)), (np.sqrt(0.5), -np.sqrt(0.5))):
        gabor = bell * np.exp(2j * np.pi / wavelength * (a * i + b * j))
        gabor -= gabor.sum() * bell
        cx, cy = (
            np.array(
                [(gabor * image[r - 6 : r + 7, c - 6 : c + 7]).sum() for r in range(14, 17) for c in range(14, 17)]
            )
            for image in (x, y)
        )
        k = (0.01 * 1.0) ** 2
        common, energy = np.mean(cx * cy.conj()), np.mean(abs(cx) ** 2 + abs(cy) ** 2)
        values.append((2 * abs(common) + k) / (energy + k))
    field = cw_ssim_map(x, y, data_range=1.0, wavelengths=(wavelength,), width=3)
    assert field[15, 15] == pytest.approx(np.mean(values), abs=1e-5)


def test_a_small_shift_is_forgiven_where_ssim_does_not() -> None:
    moved = (0.5 + 0.4 * stripes(), 0.5 + 0.4 * stripes(2.0))
    assert cw_ssim(*moved, data_range=1.0) > 0.95
    assert ssim(*moved, data_range=1.0) < 0.4


def test_brightness_does_not_count_but_structure_does(rng: np.random.Generator) -> None:
    image = rng.random((64, 64))
    assert cw_ssim(image, image + 0.3, data_range=1.0) == pytest.approx(1, abs=1e-5)
    assert cw_ssim(image, rng.random((64, 64)), data_range=1.0) < 0.6
    assert cw_ssim(stripes(), stripes().T, data_range=1.0) < 0.5


def test_slices_of_a_volume_are_worked_on_one_by_one(rng: np.random.Generator) -> None:
    x, y = rng.random((40, 40, 3)), rng.random((40, 40, 3))
    field = cw_ssim_map(x, y, data_range=1.0, axis=2)
    # The mean of the volume is taken away before, not that of the slice: wavelets do not see it.
    assert field[..., 1] == pytest.approx(cw_ssim_map(x[..., 1], y[..., 1], data_range=1.0), abs=1e-4)


def test_wrong_options_and_small_images() -> None:
    image = np.zeros((64, 64))
    for wrong in ({"width": 4}, {"wavelengths": (1.0,)}, {"wavelengths": ()}):
        with pytest.raises(ConfigError, match="cw_ssim"):
            cw_ssim(image, image, data_range=1.0, **wrong)
    assert "fewer than the CW-SSIM" in cw_ssim.score(np.zeros((20, 20)), np.zeros((20, 20)), data_range=1.0)[1]
