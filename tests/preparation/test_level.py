"""The level of tissue signal."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.preparation.level import at_level, signal_level


def head(vessels: float) -> np.ndarray:
    """Tissue around 100 in a cube of air, and some very bright vessels."""
    rng = np.random.default_rng(0)
    image = np.zeros((20, 20, 20), np.float32)
    image[4:16, 4:16, 4:16] = rng.normal(100, 5, (12, 12, 12))
    image[4:6, 4, 4:16] = vessels
    return image


def test_vessels_and_air_do_not_move_it() -> None:
    assert signal_level(head(100)) == pytest.approx(signal_level(head(900)), rel=0.01)
    padded = np.pad(head(100), 6)
    assert signal_level(padded) == pytest.approx(signal_level(head(100)))
    noisy = padded + np.abs(np.random.default_rng(1).normal(0, 0.5, padded.shape))
    assert signal_level(noisy) == pytest.approx(100, rel=0.01)


def test_it_follows_the_gain_and_can_be_set() -> None:
    image = head(300)
    assert signal_level(3 * image) == pytest.approx(3 * signal_level(image))
    assert signal_level(at_level(image, 0.7)) == pytest.approx(0.7)
    assert np.allclose(at_level(7 * image, 0.7), at_level(image, 0.7), rtol=1e-5)


def test_nothing_stays_nothing() -> None:
    nothing = np.zeros((3, 3, 3), np.float32)
    assert signal_level(nothing) == 0
    assert at_level(nothing, 5.0) is nothing
