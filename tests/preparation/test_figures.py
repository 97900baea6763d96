"""Figures of one image as acquired."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_brain, mni_grid, mni_scan

from recontrast.preparation.figures import bright_share, ghosting, image_figures, image_hash, noise_level
from recontrast.preparation.mask import head_mask
from recontrast.volume import Volume

GRID = mni_grid(3.0)


@pytest.fixture(scope="module")
def image():
    return mni_scan("T1w", *GRID)


@pytest.mark.parametrize("sigma", [10.0, 40.0])
def test_planted_noise_is_measured(image, sigma):
    rng = np.random.default_rng(0)
    inside = head_mask(image).data
    noisy = image.with_data(image.data + np.sqrt(sigma**2 - 100 + 1e-9) * rng.standard_normal(image.shape))
    assert noise_level(noisy, inside) == pytest.approx(sigma, rel=0.25)


def test_noise_is_looked_for_in_the_plane():
    """In thick slices, tissue changes from slice to slice are no noise."""
    rng = np.random.default_rng(0)
    data = 5 * rng.standard_normal((40, 40, 10)) + 300 * (np.arange(10) % 2)
    everywhere = np.ones(data.shape, bool)
    assert noise_level(Volume(data, np.diag([1.0, 1, 5, 1])), everywhere) == pytest.approx(5, rel=0.05)
    turned = Volume(np.moveaxis(data, 2, 0), np.diag([5.0, 1, 1, 1]))
    assert noise_level(turned, np.moveaxis(everywhere, 2, 0)) == pytest.approx(5, rel=0.05)


def test_snr_contrast_and_air_of_a_clean_head(image):
    figures = image_figures(image, head_mask(image), "T1w")
    assert figures.snr > 40
    assert 0.15 < figures.tissue_contrast < 2 * (900 - 600) / (900 + 600)  # white against grey, less by partial volume
    assert figures.ghosting < 0.01
    assert figures.bright_share is None  # no brain mask: not looked for


def test_contrast_fades_with_the_tissues(image):
    faded = image.with_data(np.where(image.data > 400, 700 + 0.2 * (image.data - 700), image.data).astype(np.float32))
    head = head_mask(image)
    assert image_figures(faded, head, "T1w").tissue_contrast < 0.4 * image_figures(image, head, "T1w").tissue_contrast


@pytest.mark.parametrize("axis", [0, 1])
def test_ghosts_are_seen_in_their_direction(image, axis):
    """Motion that repeats every other line shifts part of the signal by half the field of view."""
    head = head_mask(image)
    ghost = image.with_data(0.85 * image.data + 0.15 * np.roll(image.data, image.shape[axis] // 2, axis))
    assert ghosting(image, head, 700.0) < 0.01
    assert ghosting(ghost, head, 700.0) > 0.04


def test_air_that_was_set_to_zero_tells_nothing(image):
    head = head_mask(image)
    assert ghosting(image.with_data(np.where(head.data, image.data, 0)), head, 700.0) is None


def test_bright_vessels_are_counted(image):
    brain = image.with_data(mni_brain(*GRID))
    assert bright_share(image, brain) < 0.001
    vessels = np.random.default_rng(0).random(image.shape) < 0.02
    enhanced = image.with_data(np.where(vessels & brain.data, 1600, image.data).astype(np.float32))
    assert bright_share(enhanced, brain) == pytest.approx(0.02, rel=0.15)


def test_a_copy_has_the_same_hash_however_it_is_stored(image):
    assert image_hash(image) == image_hash(image.reoriented("LPS"))
    changed = image.data.copy()
    changed[3, 3, 3] += 1
    assert image_hash(image) != image_hash(image.with_data(changed))
