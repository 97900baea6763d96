"""Motion, coil, k-space, noise, gain."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, GeometryError
from recontrast.phantom.acquisition import (
    FULL_SCALE,
    Motion,
    add_noise,
    draw_motion,
    move,
    receiver_gain,
    sensitivity,
    slice_profile,
    to_integers,
    truncate,
)
from recontrast.phantom.grids import Grid

GRID = Grid((24, 30, 20), (1.0, 1.0, 1.5), (-12.0, -15.0, -14.0))


def wave(shape: tuple[int, int, int], cycles: int) -> np.ndarray:
    """A cosine along the first axis that fits the field of view."""
    return np.broadcast_to(np.cos(2 * np.pi * cycles * np.arange(shape[0]) / shape[0])[:, None, None], shape).astype(
        np.float32
    )


def test_low_frequencies_survive_truncation_and_high_ones_do_not():
    kept = truncate(1 + wave((24, 30, 20), 2), (16, 20, 20))
    np.testing.assert_allclose(kept.real, 1 + wave((16, 20, 20), 2), atol=1e-5)
    np.testing.assert_allclose(kept.imag, 0, atol=1e-5)
    lost = truncate(wave((24, 30, 20), 9), (16, 20, 20))
    np.testing.assert_allclose(lost, 0, atol=1e-5)


def test_truncation_of_an_edge_rings():
    edge = np.zeros((48, 6, 6), np.float32)
    edge[12:36] = 1
    image = truncate(edge, (32, 6, 6)).real
    assert image.max() > 1.02
    assert image.min() < -0.01
    assert image.mean() == pytest.approx(edge.mean(), abs=1e-5)


def test_truncation_cannot_enlarge():
    with pytest.raises(GeometryError, match="which is larger"):
        truncate(np.zeros((4, 4, 4), np.float32), (4, 4, 6))


def test_slices_average_their_thickness_and_skip_the_gap():
    image = np.zeros((2, 2, 20), np.complex64)
    image[..., 4:8] = 1
    grid = Grid((2, 2, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    target = Grid((2, 2, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 1.5))
    np.testing.assert_allclose(slice_profile(image, grid, target, 4.0)[0, 0].real, [0, 0.75, 0, 0], atol=1e-6)


def test_motion_carries_a_point_where_its_matrix_says():
    motion = Motion((0.0, 0.0, 90.0), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(motion.matrix @ [5, 0, 0, 1], [2, 5, 0, 1], atol=1e-12)
    image = np.zeros(GRID.shape, np.float32)
    axes = GRID.axes()
    start = tuple(int(np.argmin(np.abs(axis - p))) for axis, p in zip(axes, (5, 0, 1), strict=True))
    image[start] = 1
    end = np.unravel_index(move(image, GRID, motion).argmax(), image.shape)
    np.testing.assert_allclose([axis[i] for axis, i in zip(axes, end, strict=True)], [2, 5, 1], atol=0.6)
    assert move(image, GRID, Motion()) is image


def test_motion_is_drawn_with_the_amount_asked_for(rng):
    assert draw_motion(rng, 0.0).is_none
    turns = [draw_motion(rng, 2.0).rotation_deg for _ in range(300)]
    assert np.std(turns) == pytest.approx(2.0, rel=0.1)


def test_magnitude_follows_a_rice_distribution(rng):
    noise = np.abs(add_noise(np.zeros((40, 40, 40), np.complex64), 2.0, rng))
    assert noise.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)
    bright = np.abs(add_noise(np.full((40, 40, 40), 100, np.complex64), 2.0, rng))
    assert bright.std() == pytest.approx(2.0, rel=0.02)
    assert bright.mean() == pytest.approx(np.sqrt(100**2 + 4), rel=0.001)


@pytest.mark.parametrize("sigma", [-1.0, float("nan")])
def test_impossible_noise_is_refused(rng, sigma):
    with pytest.raises(ConfigError, match="at least 0"):
        add_noise(np.zeros((2, 2, 2), np.complex64), sigma, rng)


def test_coil_is_smooth_uneven_and_of_the_strength_asked_for(rng):
    region = Grid((10, 12, 11), (20.0, 20.0, 20.0), (-96.0, -126.0, -118.0))
    field = sensitivity(region, rng, 0.3, region)
    assert np.log(field).std() == pytest.approx(0.3, rel=0.3)
    assert field[0, 6, 6] != pytest.approx(field[-1, 6, 6], rel=0.01)
    np.testing.assert_array_equal(sensitivity(region, rng, 0.0, region), 1)


def test_integers_use_twelve_bits_with_a_gain_of_their_own(rng):
    image = rng.random((10, 10, 10)).astype(np.float32)
    gains = [receiver_gain([image], rng) for _ in range(20)]
    assert max(gains) > 1.2 * min(gains)
    stored = to_integers(image * 100, gains[0])
    assert stored.dtype == np.int16
    assert stored.max() == FULL_SCALE
    assert receiver_gain([np.zeros((2, 2, 2), np.float32)], rng) == 1
